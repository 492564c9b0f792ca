"""A title for an answer, taken from the request; none where that cannot be told."""

import re

_ABOUT = re.compile(
    r"\b(?:story|tale|fable|poem|verses?|song|shanty|rap|limerick|haiku|sonnet|ode|ballad|lullaby|essay|article"
    r"|speech|paragraph|legend|riddle|joke)(?: \w+){0,3}? (?:about|on) ([^.,;:!?()\n]+)",
    re.I,
)
_NAMED = re.compile(
    r"^(?:please )?(?:explain|describe|name|list|suggest|compare|discuss|recommend|outline)"
    r"(?: (?:to )?(?:me|us)| to (?:a|my) \w+)? ([^.,;:!?()\n]+)[.!]?$",
    re.I,
)
_ASKED = re.compile(
    r"(?!can you\b|who can\b)(?:how|why|what|which|who|where|when|is|are|do|does|can|should)\b"
    r"[^.?!,\n\"]*\?",
    re.I,
)
_REWORDED = (
    (re.compile(r"how (?:do|can|should|could) (?:i|we|you) (.+)", re.I), "how to {}"),
    (re.compile(r"what's the best way to (.+)", re.I), "how best to {}"),
    (re.compile(r"why do ((?!i |we |you |they ).+)", re.I), "why {}"),
    (re.compile(r"how do ((?!i |we |you |they ).+)", re.I), "how {}"),
    (re.compile(r"what(?:'s| is| are) ((?:the|an?) (?:\S+ ){1,4}\S+)", re.I), "{}"),
    (
        re.compile(
            r"((?:who|which|what) (?!is|are|do|does|did|can|was|were|will|should|has|have|would|could).+)",
            re.I,
        ),
        "{}",
    ),
)
_TRAILING = re.compile(
    r"\s+(?:please|pls|thanks|in the|for|to|and|or|with|that|who|which|of|on|in|at|by|from|is|are|the|an?)$",
    re.I,
)
_CLAUSE = re.compile(r"\s+(?:who|that|which|whose|where|when|because|so|if|using|without)\s.*", re.I)
_POINTING = re.compile(r"\b(?:i|me|us|you|it|this|these|him|her|them)\b|\"", re.I)
_SMALL = frozenset(
    ["a", "an", "the", "of", "on", "in", "at", "for", "to", "and", "or", "by", "with", "from", "as"]
)
LONGEST = 9
"""Words a title may have."""


def title(request: str) -> str | None:
    """What a text is to be about, or a short question, turned into a heading where that is easily done."""
    if asked := _ASKED.match(request):
        return _heading(asked[0].removesuffix("?"))
    named = _NAMED.match(request)
    found = named or _ABOUT.search(request)
    if found is None:
        return None
    topic = _TRAILING.sub("", _CLAUSE.sub("", found[1].strip()))
    if not 2 < len(topic.split()) <= LONGEST or _POINTING.search(topic):
        return None
    return _in_title_case(_addressed(topic) if named else topic)


def _heading(question: str) -> str | None:
    if len(question.split()) > LONGEST + 1:
        return None
    for pattern, heading in _REWORDED:
        if found := pattern.fullmatch(question):
            topic = _addressed(heading.format(found[1]))
            return None if _TRAILING.search(topic) else _in_title_case(topic)
    return f"{question[0].upper()}{question[1:]}?"


def _addressed(topic: str) -> str:
    """The asker's things as they are called in an answer."""
    return re.sub(r"\b(?:my|our)\b", "your", re.sub(r"\b(?:I|we)\b", "you", topic), flags=re.I)


def _in_title_case(topic: str) -> str:
    return " ".join(_cased(word, first=i == 0) for i, word in enumerate(topic.split()))


def _cased(word: str, *, first: bool) -> str:
    return word if word.lower() in _SMALL and not first else word[0].upper() + word[1:]
