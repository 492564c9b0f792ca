"""Constraints that an answer obeys as it is: words, sentences, letters, and what it says or does not say."""

import re
from collections.abc import Callable
from random import Random

from gnomon.data.composing.draft import Draft
from gnomon.data.composing.measure import capital_words, occurrences, sentences, telling, words
from gnomon.data.composing.steps import Step, applied
from gnomon.data.composing.wordings import FORBIDDEN, Constraint, Value

ENOUGH = 20
"""Words of an answer that does not give itself away by the words asked for."""

_ENGLISH = re.compile(r"\b(?:the|and|you|that|this|with|for|are|was|it|means?|your|or|have|if)\b", re.I)


def _holds(draft: Draft, kind: str, **values: Value) -> Step:
    return applied(draft, draft.answer, Constraint(kind, values))


def _round(low: float, high: float, rng: Random) -> int | None:
    """A number from low to high as people would ask for it; None where there is none."""
    step = 1 if high < 15 else 5 if high < 60 else 10 if high < 150 else 25
    for size in dict.fromkeys((step, max(1, step // 5))):
        found = [number for number in range(size, int(high) + 1, size) if number >= low]
        if found:
            return rng.choice(found)
    return None


def words_at_least(draft: Draft, rng: Random) -> Step:
    """Of the words there are, most."""
    there = words(draft.answer).least
    bound = _round(0.7 * there, there, rng)
    return None if bound is None else _holds(draft, "words_at_least", count=bound)


def words_at_most(draft: Draft, rng: Random) -> Step:
    """As many words as there are, or somewhat more."""
    there = words(draft.answer).most
    bound = _round(there, 1.4 * there + 1, rng)
    return None if bound is None else _holds(draft, "words_at_most", count=bound)


def words_less_than(draft: Draft, rng: Random) -> Step:
    """More words than there are."""
    there = words(draft.answer).most
    bound = _round(there + 1, 1.4 * there + 2, rng)
    return None if bound is None else _holds(draft, "words_less_than", count=bound)


def words_around(draft: Draft, rng: Random) -> Step:
    """A round number of which all ways of counting differ by a tenth at most."""
    there = words(draft.answer)
    step = 10 if there.least > 60 else 5
    near = [
        n for n in range(step, there.most + step, step) if 0.9 * n <= there.least and there.most <= 1.1 * n
    ]
    return _holds(draft, "words_around", count=rng.choice(near)) if near else None


def words_between(draft: Draft, rng: Random) -> Step:
    """Two round numbers with what there is between them."""
    there = words(draft.answer)
    low, high = _round(0.6 * there.least, there.least, rng), _round(there.most, 1.5 * there.most, rng)
    if low is None or high is None or high - low < 5:
        return None
    return _holds(draft, "words_between", low=low, high=high, below=low - 1)


def sentences_at_least(draft: Draft, rng: Random) -> Step:
    """Most of the sentences there surely are."""
    there = sentences(draft.answer).least
    if there < 2:
        return None
    return _holds(draft, "sentences_at_least", count=rng.randint(max(2, round(0.6 * there)), there))


def sentences_at_most(draft: Draft, rng: Random) -> Step:
    """As many sentences as there can be, or a few more."""
    there = sentences(draft.answer).most
    return _holds(draft, "sentences_at_most", count=there + rng.randint(0, 1 + there // 4))


def sentences_less_than(draft: Draft, rng: Random) -> Step:
    """More sentences than there can be."""
    there = sentences(draft.answer).most
    return _holds(draft, "sentences_less_than", count=there + rng.randint(1, 2 + there // 4))


def sentences_exactly(draft: Draft, _: Random) -> Step:
    """The sentences there are, where nobody could count otherwise."""
    there = sentences(draft.answer)
    return _holds(draft, "sentences_exactly", count=there.least) if there.least == there.most > 1 else None


def keywords(draft: Draft, rng: Random) -> Step:
    """One to three telling words of the answer."""
    there = [word for word in telling(draft.source) if occurrences(word, draft.answer).least]
    if words(draft.source).least < ENOUGH or len(there) < 3:
        return None
    chosen = rng.sample(there, rng.choice((1, 2, 2, 3)))
    return _holds(draft, "keywords", words=tuple(chosen))


def keyword_at_least(draft: Draft, rng: Random) -> Step:
    """A telling word that comes up twice or more, and how often at least."""
    counts = {word: occurrences(word, draft.answer).least for word in telling(draft.source)}
    repeated = [word for word, count in counts.items() if count > 1]
    if not repeated:
        return None
    word = rng.choice(repeated)
    return _holds(draft, "keyword_at_least", word=word, count=rng.randint(2, min(6, counts[word])))


def keyword_less_than(draft: Draft, rng: Random) -> Step:
    """A word of the request or of the answer, and a number it does not reach."""
    candidates = sorted({*telling(draft.request), *telling(draft.source)})
    if not candidates or words(draft.source).least < ENOUGH:
        return None
    word = rng.choice(candidates)
    count = max(2, occurrences(word, draft.answer).most + rng.randint(1, 2))
    return _holds(draft, "keyword_less_than", word=word, count=count)


def forbidden(draft: Draft, rng: Random) -> Step:
    """Words that writers fall back on, sometimes one of the request, and that the answer does without."""

    def absent(word: str) -> bool:
        return word[:5] not in draft.answer.lower()

    asked = [word for word in telling(draft.request) if absent(word)]
    chosen = [rng.choice(asked)] if asked and rng.random() < 0.5 else []
    others = [word for word in FORBIDDEN if absent(word) and word not in draft.request.lower()]
    chosen += rng.sample(others, min(len(others), rng.choice((0, 1, 1, 2, 3))))
    if not chosen:
        return None
    rng.shuffle(chosen)
    return _holds(draft, "forbidden", words=tuple(chosen))


def letter_at_least(draft: Draft, rng: Random) -> Step:
    """A letter that is there four times or more."""
    return _letter(draft, rng, "letter_at_least", 4, lambda there: rng.randint(round(0.6 * there), there))


def letter_at_most(draft: Draft, rng: Random) -> Step:
    """A letter, and as often as it is there or somewhat more."""
    return _letter(draft, rng, "letter_at_most", 1, lambda there: there + rng.randint(0, 2 + there // 4))


def letter_less_than(draft: Draft, rng: Random) -> Step:
    """A letter, and more often than it is there."""
    return _letter(draft, rng, "letter_less_than", 1, lambda there: there + rng.randint(1, 3 + there // 4))


def _letter(draft: Draft, rng: Random, kind: str, least: int, bound: Callable[[int], int]) -> Step:
    text = draft.answer.lower()
    there = {letter: text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"}
    usual = [letter for letter, count in there.items() if least <= count <= 40]
    if not usual:
        return None
    letter = rng.choice(usual)
    return _holds(draft, kind, letter=letter, count=bound(there[letter]))


def capital_words_at_most(draft: Draft, rng: Random) -> Step:
    """As many words in capitals as there can be, or a few more."""
    there = capital_words(draft.answer).most
    return _holds(draft, "capital_words_at_most", count=max(1, there + rng.randint(0, 3)))


def language(draft: Draft, _: Random) -> Step:
    """The language that the request asks for, where all of the answer is in it."""
    name = draft.language
    if name is None or _ENGLISH.search(draft.answer) or words(draft.answer).least < 2:
        return None
    asks = re.search(
        rf"\b(?:in|into|to) (?:\w+ )?{name}\b|\b{name} (?:for|translation|version)\b", draft.request, re.I
    )
    return _holds(draft, "language", language=name) if asks else None
