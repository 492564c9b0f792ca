"""Sampling in several processes: each samples its share of the prompts, and all get every sample."""

from collections.abc import Sequence

from gnomon.distributed import size, spread
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sample, Sampling, seeds_of
from gnomon.rollouts.local import LocalEngine


class SharedEngine:
    """The `Engine` of a model that every process has in memory; all must ask it for the same.

    Equal prompts go to one process, which reads them once. Samples are those of one process alone, since each
    follows from its prompt and seed.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        """Sample one response for each prompt of token ids."""
        if size() == 1:
            return self.engine.sample(prompts, sampling, seeds)
        equal: dict[tuple[int, ...], list[int]] = {}
        for i, prompt in enumerate(prompts):
            equal.setdefault(tuple(prompt), []).append(i)
        groups = list(equal.values())

        def sampled(places: list[int]) -> list[list[Sample]]:
            rows = [i for place in places for i in groups[place]]
            own = iter(self.engine.sample([prompts[i] for i in rows], sampling, [seeds[i] for i in rows]))
            return [[next(own) for _ in groups[place]] for place in places]

        costs = [len(prompt) + len(rows) * sampling.max_new_tokens for prompt, rows in equal.items()]
        found = {
            i: sample
            for rows, samples in zip(groups, spread(costs, sampled), strict=True)
            for i, sample in zip(rows, samples, strict=True)
        }
        return [found[i] for i in range(len(prompts))]

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int | Sequence[int] = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the chat template, or (`raw`) continue their last turn as plain text."""
        prompts = [self.engine.encode(conversation, raw=raw) for conversation in conversations]
        return self.sample(prompts, sampling, seeds_of(seed, len(prompts)))
