"""Whether a text is an answer at all, whatever checks it passes: rules of form, by request and text alone.

What is paid for passing checks learns to pass them without answering: it says one word over and over, gives
the request back, lists the words asked for, or says the same of everything. Against each of these is a rule.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from gnomon.data.composing.phrasing import HEADINGS, SUBJECTS
from gnomon.data.composing.wordings import ALL_WORDINGS
from gnomon.data.wording import gist, normal, root
from gnomon.judges.text import answers

OWN = 3
"""Different words, of two letters or more, that an answer has and the request has not."""

COPIED = 0.5
"""Share of an answer's runs of three words that may stand in the request."""

REPEATED = 0.3
"""Share of its pairs of neighbouring words that may have come before in it."""

COMMONEST = 1 / 3
"""Share of its words that one of them may make up, of six words or more."""

OFF_TOPIC = 0.5
"""What an answer is worth that has no word of what the request is about."""

_WORD = re.compile(r"\w+(?:'\w+)?")
_FIELD = re.compile(r"\{[^}]*\}")


def form(request: str, text: str, checks: Sequence[Mapping[str, Any]] = (), *, ended: bool = True) -> float:
    """1 for an answer, `OFF_TOPIC` for one that shares no word with what is asked about, 0 for none.

    It is none where it does not answer by the rules of `judges.text`, repeats itself, copies the request or
    has too few words of its own. A request that offers the answers to choose from may be answered by one of
    them. The words of constraints, and those that checks name, are not what a request is about.
    """
    if not answers(request, text, ended=ended) or _repeats(text):
        return 0.0
    if any(check["kind"] == "contains_one" for check in checks):
        return 1.0
    if _copies(request, text) or not _has_words_of_its_own(request, text):
        return 0.0
    topic = about(request, checks)
    return 1.0 if not topic or topic & gist(text).weights.keys() else OFF_TOPIC


def about(request: str, checks: Sequence[Mapping[str, Any]] = ()) -> frozenset[str]:
    """The words, in their common form, that tell a request's topic; none where nothing but form is asked."""
    said = Counter(root(word.split("'")[0]) for word in normal(request))
    named = Counter(root(word) for check in checks for value in _texts(check) for word in normal(value))
    carrying = (word for word, weight in gist(request).weights.items() if weight == 1 and word.isalpha())
    return frozenset(word for word in carrying if word not in _formal() and said[word] > named[word])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.replace("’", "'").casefold())


def _repeats(text: str) -> bool:
    found = _words(text)
    pairs = list(pairwise(found))
    if pairs and 1 - len(set(pairs)) / len(pairs) > REPEATED:
        return True
    return len(found) >= 6 and Counter(found).most_common(1)[0][1] > COMMONEST * len(found)


def _copies(request: str, text: str) -> bool:
    runs = _runs(_words(text))
    there = set(_runs(_words(request)))
    return bool(runs) and sum(run in there for run in runs) > COPIED * len(runs)


def _has_words_of_its_own(request: str, text: str) -> bool:
    own = {word for word in _words(text) if len(word) > 1} - set(_words(request))
    return len(own) >= OWN


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + 3]) for i in range(len(words) - 2)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in ("kind", "id", "pattern"):
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


@lru_cache(maxsize=1)
def _formal() -> frozenset[str]:
    """The words in which constraints are put."""
    said = [*SUBJECTS, *HEADINGS]
    said += [wording for forms in ALL_WORDINGS.values() for texts in forms.values() for wording in texts]
    return frozenset(word for text in said for word in gist(_FIELD.sub(" ", text)).weights)
