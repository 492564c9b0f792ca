"""Answers drawn before anything is learnt: for labels, for held-out comparisons, for the best of n."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from gnomon.overopt.planted import Pairs
from gnomon.overopt.settings import StartSettings
from gnomon.records import Conversation, Demonstration
from gnomon.rollouts.engine import Engine, Sample, Sampling

LETTERS = "abcdefghijklmnopqrstuvwxyz"

Prompts = Sequence[tuple[int, ...]]
"""The ids of each prompt."""


def letters(count: int) -> list[Conversation]:
    """Prompts that say nothing: so many letters, or pairs of them from the 27th on."""
    names = [*LETTERS, *(one + other for one in LETTERS for other in LETTERS)]
    return [Conversation.of(name) for name in names[:count]]


def words(settings: StartSettings, prompts: Sequence[Conversation], seed: int) -> list[Demonstration]:
    """Random words as answers, to the prompts in turn."""
    random = Random(seed)
    rows = []
    for k in range(settings.words):
        word = "".join(random.choices(settings.alphabet, k=settings.length))
        prompt = prompts[k % len(prompts)].messages[0].content
        rows.append(Demonstration(f"word-{k}", Conversation.of(prompt, word)))
    return rows


def draw(
    engine: Engine, prompts: Prompts, count: int, sampling: Sampling, entropy: Sequence[int]
) -> list[Sample]:
    """`count` answers to each prompt, prompt by prompt, by seeds that follow from the entropy."""
    rows = [prompt for prompt in prompts for _ in range(count)]
    seeds = np.random.SeedSequence(list(entropy)).generate_state(len(rows), dtype=np.uint64)
    return engine.sample(rows, sampling, [int(seed) for seed in seeds])


def draw_pairs(
    engine: Engine, prompts: Prompts, count: int, sampling: Sampling, entropy: Sequence[int]
) -> Pairs:
    """`count` pairs of answers, to the prompts in turn."""
    turns = -(-count // len(prompts))
    drawn = draw(engine, prompts, 2 * turns, sampling, entropy)
    by_turn = [drawn[k :: 2 * turns] for k in range(2 * turns)]
    first = [sample for turn in by_turn[0::2] for sample in turn]
    second = [sample for turn in by_turn[1::2] for sample in turn]
    return Pairs(first[:count], second[:count])


def to_row(sample: Sample) -> dict[str, Any]:
    """A sample as plain JSON values, without log-probs."""
    return {
        "prompt": list(sample.prompt_ids),
        "ids": list(sample.response_ids),
        "text": sample.text,
        "ended": sample.ended,
    }


def from_row(row: Mapping[str, Any]) -> Sample:
    """The sample of `to_row`."""
    return Sample(tuple(row["prompt"]), tuple(row["ids"]), (), row["text"], row["ended"])
