"""Constraints that add to an answer: a title, an ending, blanks to fill in, one of given phrases."""

import re
from random import Random

from gnomon.data.composing.draft import Draft
from gnomon.data.composing.measure import bullets, items, paragraphs, split_sentences
from gnomon.data.composing.steps import Step, applied
from gnomon.data.composing.titles import title
from gnomon.data.composing.wordings import POOLS, Constraint, Value

MARKERS = ("P.S.", "P.S.", "P.P.S", "P.P.S.")

OPTIONS = (
    ("My answer is yes.", "My answer is no.", "My answer is maybe."),
    ("My answer is yes.", "My answer is no.", "My answer is maybe."),
    ("I say yes.", "I say no.", "I can't say."),
    ("Verdict: yes.", "Verdict: no.", "Verdict: open."),
    ("The answer is yes.", "The answer is no.", "There is no clear answer."),
)
"""What stands for yes, for no and for neither."""

SENDER = ("Your name", "Your address", "Postcode and town", "Phone number", "E-mail address", "Date")
SAMPLES = ("name", "date", "address", "phone number", "town")

_POSTED = re.compile(
    r"\b(?:letter|e-?mail|mail|write to|complaint|complain|application|apply|reference)\b", re.I
)
_BOLD_TITLE = re.compile(r"^\*\*([^*\n]+)\*\*\n+")
_DECIDED = re.compile(r"^(Yes|No)(?:\.|,|:|$) ?(.*)", re.S)
_POLAR = re.compile(
    r"(?:^|[.!?,] )(?:is|are|was|were|do|does|did|has|have|can|could|will|would|should|shall|may|must)\b"
    r"[^.?!]*\?$|\b(?:right|correct|true|agree)\?$",
    re.I,
)
_GOES_ON = re.compile(r"(?:but|and|or|if|though|although|because|so|as long as|I)\b")


def titled(draft: Draft, _: Random) -> Step:
    """A title between double angle brackets above the answer."""
    bold = _BOLD_TITLE.match(draft.answer) if draft.answer.count("**") == 2 else None
    if bold:
        heading, rest = bold[1], draft.answer[bold.end() :]
    else:
        heading, rest = title(draft.request) or "", draft.answer
    if not heading or ("," in heading and "," not in rest) or "<" in rest:
        return None
    return applied(draft, f"<<{heading}>>\n\n{rest}", Constraint("title", {}))


def postscript(draft: Draft, rng: Random) -> Step:
    """A line after the answer that claims nothing new."""
    if draft.voice == "work" or re.search(r"P\.\s?S\.", draft.answer):
        return None
    marker = rng.choice(MARKERS)
    line = _line(f"postscript_{draft.voice}", draft, rng)
    return applied(draft, f"{draft.answer}\n\n{marker} {line}", Constraint("postscript", {"marker": marker}))


def closing(draft: Draft, rng: Random) -> Step:
    """The answer's own last sentence, where that is a short one, or given last words."""
    if draft.shape == "prose" and rng.random() < 0.5:
        own = (split_sentences(paragraphs(draft.answer)[-1]) or [""])[-1]
        if 3 <= len(own.split()) <= 9 and not re.search(r'["*:]', own):
            return applied(draft, draft.answer, Constraint("closing", {"phrase": own}))
    phrase = _line(f"closing_{draft.voice}", draft, rng)
    if draft.answer.endswith(phrase):
        return None
    alone = bullets(draft.answer) or items(draft.answer) or draft.shape in ("verse", "marked")
    answer = f"{draft.answer}{chr(10) * 2 if alone else ' '}{phrase}"
    return applied(draft, answer, Constraint("closing", {"phrase": phrase}))


def _line(pool: str, draft: Draft, rng: Random) -> str:
    """A line of the pool, without commas where the answer has none."""
    return rng.choice([line for line in POOLS[pool] if "," in draft.answer or "," not in line])


def placeholders(draft: Draft, rng: Random) -> Step:
    """The head of a letter, its parts left to be filled in."""
    if "[" in draft.answer or not _POSTED.search(draft.request):
        return None
    number = rng.randint(2, len(SENDER) - 1)
    blanks = [SENDER[i] for i in sorted(rng.sample(range(len(SENDER)), number))]
    head = "\n".join(f"[{blank}]" for blank in blanks)
    values: dict[str, Value] = {
        "count": rng.randint(max(1, number - 2), number),
        "sample": rng.choice(SAMPLES),
    }
    return applied(draft, f"{head}\n\n{draft.answer}", Constraint("placeholders", values))


def options(draft: Draft, rng: Random) -> Step:
    """A yes or no in the words of one of three given phrases."""
    decided = _DECIDED.match(draft.answer) if _POLAR.search(draft.request) else None
    if decided is None or _GOES_ON.match(decided[2]):
        return None
    phrases = rng.choice(OPTIONS)
    chosen = phrases[0] if decided[1] == "Yes" else phrases[1]
    rest = decided[2]
    answer = f"{chosen} {rest[0].upper()}{rest[1:]}" if rest and rng.random() < 0.7 else chosen
    return applied(draft, answer, Constraint("options", {"options": phrases}))
