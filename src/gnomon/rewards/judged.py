"""A judge of pairs as a reward: how often a sample wins against the others of its prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gnomon.judges.judgement import Judgement, PairwiseJudge
from gnomon.records import Comparison, Message, Prompt
from gnomon.rollouts.engine import Sample


@dataclass(frozen=True)
class JudgeReward:
    """The mean probability that a judge prefers a sample to each other one of its prompt, both orders.

    Within a prompt it adds up to half the samples. Equal texts are a half and not asked about, and so is what
    a judge abstains from. `prompts` are found by the ids that were sampled from.
    """

    judge: PairwiseJudge
    prompts: Mapping[tuple[int, ...], Prompt]

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
        said = self.judge.prefer([self._comparison(samples[i], samples[j]) for i, j in asked])
        ahead = [0.0] * len(samples)
        for (i, j), judgement in zip(asked, said, strict=True):
            if isinstance(judgement, Judgement):
                ahead[i] += judgement.preference - 0.5
                ahead[j] -= judgement.preference - 0.5
        others = [len(groups[sample.prompt_ids]) - 1 for sample in samples]
        return [0.5 + own / max(1, count) for own, count in zip(ahead, others, strict=True)]

    def _comparison(self, first: Sample, second: Sample) -> Comparison:
        prompt = self.prompts[first.prompt_ids]
        one, other = (Message("assistant", first.text),), (Message("assistant", second.text),)
        return Comparison(prompt.id, prompt.conversation, one, other)
