"""Why a revision is not kept. Small critics fall into loops, closers and critiques of themselves.

What a kept revision does wrong is learnt: a handful of "I'm sorry about your car. I'm sorry about your car."
is enough to have it said of bread. So the rules are strict, and a good revision lost costs little. They were
set against the demonstrations that come with the package, which are right: of 36 that answer a harmful
request 34 pass, and the other two only lack the request's words. Thresholds are settings.
"""

import re
from difflib import SequenceMatcher

from gnomon.judges.text import closers, evasive, loops, repetition, role_leak
from gnomon.records import Critique
from gnomon.settings.feedback import HygieneSettings

USUAL = HygieneSettings()
"""The thresholds of all that no recipe is asked about."""

_WORD = re.compile(r"\w+(?:'\w+)?")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff]|(?<!\\S)[:;]-?[()D](?!\\S)")
_LABELS = re.compile(
    r"^\W*(?:request|answer|problem|task|critique|criticism|revision|revised|new answer)\b[^\n]{0,20}:",
    re.I | re.M,
)
_ABOUT_ANSWERS = re.compile(
    r"""\b(?:the|this|that|your|assistant's)[ ](?:new[ ]|last[ ]|first[ ]|original[ ]|revised[ ])?
          (?:answer|response|reply)\b
          (?![ ](?:to|depends|is)\b(?![ ](?:too|not|very|a|un\w+|in\w+|\w+ful|rude|wrong|false|good)\b))
      | \bthe[ ](?:assistant|user|request)\b
    """,
    re.I | re.X,
)
"""Talk about an answer; "the answer is 7" and "the answer depends on" are answers."""

_NO_FAULT = re.compile(r"\W*(?:no|none|not|nothing|nowhere|it does(?:n't| not)|i(?:'(?:m|ll|d|ve))?)\b", re.I)
"""How a text opens that finds no fault, or that answers the user instead of speaking of the answer."""

_OWN_LIFE = re.compile(
    r"""\bi(?:'m|[ ]am)[ ](?!(?:not[ ]|also[ ]|so[ ]|very[ ]|really[ ])*
          (?:sorry|afraid|(?:un)?able|sure|certain|glad|happy|worried|concerned|here|(?!tak|hav|eat|drink|liv)\w+ing
            |not[ ]able|an?[ ](?:computer|language|program|model|machine|ai|assistant)|software)\b)\w
      | \bi(?:[ ]want|[ ]need|'d[ ]like|'d[ ]love)\b(?![ ](?:to[ ](?:help|know|be[ ]clear)|you|more|your)\b)
      | \bi[ ](?:wanted|needed|live|lived|went|owe|love|feel)\b""",
    re.I | re.X,
)
"""The first person of somebody with a life, which the user has and an assistant has not."""

_WANTS_A_VOICE = re.compile(r"\b(?:write|pretend|play|act|imagine|story|poem|letter)\b", re.I)

_QUOTED = re.compile(r'"[^"]*"|“[^”]*”')

_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """about after also because been before being could does doing down each from have having here into
        just like make more most much need only other over same should some such than that their them then
        there these they this those very want were what when where which while will with would your yours""",
    )
)


def rejections(
    row: Critique, *, ended: bool, shown: tuple[str, ...] = (), limits: HygieneSettings = USUAL
) -> tuple[str, ...]:
    """The reasons against keeping a row's revision, none where it is clean.

    `ended` says whether the model ended its turn; `shown` are texts that stood before the model as examples
    or requests, which a small model likes to say again.
    """
    request, response, revision = row.prompt.messages[-1].content, row.response, row.revision
    if not any(character.isalnum() for character in revision):
        return ("empty",)
    found = {
        "unchanged": within(revision, response, limits) and within(response, revision, limits),
        "role leak": role_leak(revision) or _LABELS.search(revision) is not None,
        "repetition": loops(revision) or repetition(revision) > limits.twice,
        "closer": bool(closers(revision)),
        "emoji": new_emoji(request, response, revision),
        "cut off": not ended,
        "critique instead of revision": critiques(request, row.critique, revision, limits),
        "echo": repeats(revision, request, limits) or any(copies(revision, text, request) for text in shown),
        "speaks as the user": speaks_as_user(request, revision),
        "declines and does it": evasive(revision) and copies(revision, response, request),
        "lost content": loses_content(request, response, revision),
    }
    return tuple(reason for reason, holds in found.items() if holds and reason not in limits.ignored)


def new_emoji(request: str, response: str, revision: str) -> bool:
    """Whether the revision has emoji or smileys where the response had none and nobody asked for them."""
    asked = re.search(r"\b(?:emojis?|smileys?)\b", request, re.I)
    return bool(_EMOJI.search(revision)) and not (_EMOJI.search(response) or asked)


def critiques(request: str, critique: str, revision: str, limits: HygieneSettings = USUAL) -> bool:
    """Whether the text says what is wrong with an answer: its first sentence speaks of answers, or it repeats
    the critique. A request that itself speaks of answers may be answered so."""
    opening = re.split(r"(?<=[.!?])\s", revision, maxsplit=1)[0]
    about = _ABOUT_ANSWERS.search(opening) is not None and not _ABOUT_ANSWERS.search(request)
    return about or repeats(revision, critique, limits) or within(revision, critique, limits)


def finds_no_fault(critique: str, shown: tuple[str, ...] = ()) -> bool:
    """Whether a critique gives nothing to revise by.

    That is: it has fewer than four words, opens by saying that there is no fault or by answering the user, or
    says again what it was shown.
    """
    plain = critique.replace("’", "'")
    short = len(words(plain)) < 4
    return short or _NO_FAULT.match(plain) is not None or any(repeats(plain, text) for text in shown)


def speaks_as_user(request: str, revision: str) -> bool:
    """Whether the text claims a life ("I'm fifteen", "I want") and the request asks for nobody's voice."""
    plain = _QUOTED.sub("", revision.replace("’", "'"))
    return _OWN_LIFE.search(plain) is not None and _WANTS_A_VOICE.search(request) is None


def loses_content(request: str, response: str, revision: str) -> bool:
    """Whether no word of weight in the request or the response comes back, as after a change of subject.

    Words count by their first five letters. A text that declines has a right to leave everything out.
    """
    subject = _subject(request) | _subject(response)
    return bool(subject) and not subject & _subject(revision) and not evasive(revision)


def repeats(text: str, other: str, limits: HygieneSettings = USUAL) -> bool:
    """Whether one text is mostly made of the other's words in the other's order."""
    mine, theirs = _windows(text), _windows(other)
    if not mine or not theirs:
        return bool(words(text)) and words(text) == words(other)
    return len(mine & theirs) > limits.shared * min(len(mine), len(theirs))


def within(text: str, other: str, limits: HygieneSettings = USUAL) -> bool:
    """Whether another text says all that this one says but for a word here and there."""
    mine, theirs = words(text), words(other)
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) >= limits.within * len(mine)


def copies(text: str, other: str, request: str) -> bool:
    """Whether four words in a row come from another text and not from the request."""
    return bool(_windows(text) & _windows(other) - _windows(request))


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return _WORD.findall(text.replace("’", "'").casefold())


def _windows(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + 4]) for i in range(len(found) - 3)}


def _subject(text: str) -> set[str]:
    return {word[:5] for word in words(text) if len(word) > 3 and word not in _STOP_WORDS}
