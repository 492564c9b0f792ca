"""Pairs of answers put before a judge: equal ones are ties, and what was judged once is not judged again."""

from collections.abc import Callable, Sequence

from gnomon.errors import StorageError
from gnomon.judges.judgement import (
    Judgement,
    PairwiseJudge,
    Said,
    answer_text,
    said_from_json,
    said_to_json,
)
from gnomon.records import Comparison
from gnomon.runs import AGAIN
from gnomon.store import KeptRows

BATCH = 32
"""Pairs judged at once; what is interrupted loses at most so many."""

IDENTICAL = "identical answers"
"""The criterion by which no judge is asked."""
ALIKE = Judgement.of(0.5, 0.5, IDENTICAL)

Progress = Callable[[int, int], None]
"""Called with the pairs done and those there are."""


def judged(
    judge: PairwiseJudge,
    pairs: Sequence[Comparison],
    kept: KeptRows,
    keys: Sequence[str],
    progress: Progress | None = None,
) -> list[Said]:
    """What the judge says of every pair, in order; what `kept` has under a pair's key is not asked again.

    Equal answers are a tie by themselves. StorageError where `kept` holds other things than judgements.
    """
    found = _known(kept)
    equal = [answer_text(pair.first) == answer_text(pair.second) for pair in pairs]
    missing = [i for i, key in enumerate(keys) if not equal[i] and key not in found]
    for start in range(0, len(missing), BATCH):
        places = missing[start : start + BATCH]
        said = judge.prefer([pairs[i] for i in places])
        new = {keys[i]: own for i, own in zip(places, said, strict=True)}
        kept.add({key: said_to_json(own) for key, own in new.items()})
        found |= new
        if progress:
            progress(len(pairs) - len(missing) + start + len(places), len(pairs))
    return [ALIKE if same else found[key] for same, key in zip(equal, keys, strict=True)]


def _known(kept: KeptRows) -> dict[str, Said]:
    try:
        return {row["id"]: said_from_json(row) for row in kept.rows}
    except (AttributeError, KeyError, TypeError) as problem:
        raise StorageError(f"{kept.path} holds other things than judgements; remove it {AGAIN}") from problem


def is_alike(said: Said) -> bool:
    """Whether nobody was asked, as both answers are the same."""
    return isinstance(said, Judgement) and said.criterion == IDENTICAL


def outcomes(judge: PairwiseJudge, said: Sequence[Said]) -> list[float | None]:
    """What each pair is worth to its first answer, from 0 to 1; None where the judge abstained.

    Probabilities count as the verdicts they come to, order by order; votes as their mean.
    """
    return [
        (own.verdict if judge.probabilistic else own.preference) if isinstance(own, Judgement) else None
        for own in said
    ]
