"""Answers after prompts that they do not belong to: what KTO measures a policy's distance by."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from gnomon.records import EncodedRow
from gnomon.training.pairs import EncodedPair

TRIES = 64
"""Other pairs that are tried for one: where so many do not fit its prompt, hardly any does."""


def mismatched(pairs: Sequence[EncodedPair], seed: int) -> dict[int, EncodedPair]:
    """The prompt of each pair with the answers of another one, which the seed draws, by the pair's place.

    The other pair has another prompt, and its answers fit: no row is longer than the longest there is. A pair
    for which none of `TRIES` is such a pair is left out.
    """
    order = np.random.default_rng([seed, len(pairs)]).permutation(len(pairs)).tolist()
    longest = max(pair.length for pair in pairs)
    found: dict[int, EncodedPair] = {}
    for place, i in enumerate(order):
        others = (order[(place + step) % len(order)] for step in range(1, len(order)))
        for j in islice(others, TRIES):
            if _prompt(pairs[i].first) == _prompt(pairs[j].first):
                continue
            crossed = _crossed(pairs[i], pairs[j])
            if crossed.length <= longest:
                found[i] = crossed
                break
    return found


def _crossed(prompt: EncodedPair, answers: EncodedPair) -> EncodedPair:
    first, second = _joined(prompt.first, answers.first), _joined(prompt.second, answers.second)
    return replace(prompt, first=first, second=second)


def _joined(prompt: EncodedRow, answer: EncodedRow) -> EncodedRow:
    ids, start = _prompt(prompt), answer.response_mask.index(True)
    mask = (*[False] * len(ids), *answer.response_mask[start:])
    return EncodedRow((*ids, *answer.ids[start:]), mask)


def _prompt(row: EncodedRow) -> tuple[int, ...]:
    """What stands before the first trained token."""
    return row.ids[: row.response_mask.index(True)]
