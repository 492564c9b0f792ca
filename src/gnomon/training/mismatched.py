"""Answers after prompts that they do not belong to: what KTO measures a policy's distance by."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from gnomon.records import EncodedRow
from gnomon.training.judged import Judged

TRIES = 64
"""Other prompts whose answers are tried: where so many do not fit a prompt, hardly any do."""


def mismatched(judged: Sequence[Judged], seed: int) -> dict[int, Judged]:
    """Each prompt with the answers to another one, which the seed draws, by the prompt's place.

    The answers are to another prompt, and they fit: no row is longer than the longest there is. A prompt for
    which none of `TRIES` is such a one is left out.
    """
    order = np.random.default_rng([seed, len(judged)]).permutation(len(judged)).tolist()
    longest = max(one.length for one in judged)
    found: dict[int, Judged] = {}
    for place, i in enumerate(order):
        others = (order[(place + step) % len(order)] for step in range(1, len(order)))
        for j in islice(others, TRIES):
            if _prompt(judged[i]) == _prompt(judged[j]):
                continue
            crossed = _crossed(judged[i], judged[j])
            if crossed.length <= longest:
                found[i] = crossed
                break
    return found


def _crossed(prompt: Judged, answers: Judged) -> Judged:
    ids = _prompt(prompt)
    rows = tuple(_after(ids, row) for row in answers.answers)
    return replace(answers, id=prompt.id, answers=rows)


def _after(ids: tuple[int, ...], answer: EncodedRow) -> EncodedRow:
    start = answer.response_mask.index(True)
    mask = (*[False] * len(ids), *answer.response_mask[start:])
    return EncodedRow((*ids, *answer.ids[start:]), mask)


def _prompt(judged: Judged) -> tuple[int, ...]:
    """What stands before the first trained token."""
    row = judged.answers[0]
    return row.ids[: row.response_mask.index(True)]
