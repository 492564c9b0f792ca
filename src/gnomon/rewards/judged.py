"""A judge of pairs as a reward: how often a sample wins against the others of its prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NoReturn

from gnomon.errors import DataError
from gnomon.judges.judgement import Abstention, Judgement, PairwiseJudge
from gnomon.records import Comparison, Message, Prompt
from gnomon.rollouts.engine import Sample

SHOWN = 80
"""The last characters of a reply that an error shows."""


@dataclass(frozen=True)
class JudgeReward:
    """The mean probability that a judge prefers a sample to each other one of its prompt, both orders.

    Within a prompt it adds up to half the samples. Equal texts are a half and not asked about. `prompts` are
    found by the ids that were sampled from. DataError, with the prompts and what was said, where the judge
    `name` gives no verdict.
    """

    judge: PairwiseJudge
    prompts: Mapping[tuple[int, ...], Prompt]
    name: str = "judge"

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number from 0 to 1 for each sample; a half for one that is alone."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, sample in enumerate(samples):
            groups.setdefault(sample.prompt_ids, []).append(i)
        asked = [
            pair
            for group in groups.values()
            for pair in combinations(group, 2)
            if samples[pair[0]].text != samples[pair[1]].text
        ]
        ahead = [0.0] * len(samples)
        pairs = [self._comparison(samples[i], samples[j]) for i, j in asked]
        for (i, j), judgement in zip(asked, self._judged(pairs), strict=True):
            ahead[i] += judgement.preference - 0.5
            ahead[j] -= judgement.preference - 0.5
        others = [len(groups[sample.prompt_ids]) - 1 for sample in samples]
        return [0.5 + own / max(1, count) for own, count in zip(ahead, others, strict=True)]

    def _judged(self, pairs: Sequence[Comparison]) -> list[Judgement]:
        said = self.judge.prefer(pairs) if pairs else ()
        found = [one for one in said if isinstance(one, Judgement)]
        if len(found) < len(pairs):
            self._refuse([(p.id, s) for p, s in zip(pairs, said, strict=True) if isinstance(s, Abstention)])
        return found

    def _refuse(self, silent: Sequence[tuple[str, Abstention]]) -> NoReturn:
        prompts, first = ", ".join(dict.fromkeys(prompt for prompt, _ in silent)), silent[0][1]
        told = " and ".join(repr(text[-SHOWN:]) for text in first.said)
        raise DataError(
            f"reward {self.name} gives no verdict ({first.reason}), for answers to the prompts {prompts}"
            f"{f': it said {told}' if told else ''}; nothing was learnt from this batch. Name a judge that "
            "keeps to the form it is asked for"
        )

    def _comparison(self, first: Sample, second: Sample) -> Comparison:
        prompt = self.prompts[first.prompt_ids]
        one, other = (Message("assistant", first.text),), (Message("assistant", second.text),)
        return Comparison(prompt.id, prompt.conversation, one, other)
