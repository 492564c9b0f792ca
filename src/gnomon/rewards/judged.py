"""A judge of pairs as a reward: how often a sample wins against the others of its prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gnomon.judges.judgement import Abstention, PairwiseJudge
from gnomon.records import Comparison, Message, Prompt
from gnomon.rewards.told import Told
from gnomon.rollouts.engine import Sample

SHOWN = 80
"""The last characters of a reply that is told of."""


@dataclass(frozen=True)
class JudgeReward:
    """The mean probability that a judge prefers a sample to each other one of its prompt, both orders.

    Within a prompt it adds up to half the samples. Equal texts are a half and not asked about. So is a pair
    without a verdict, which leaves both samples nearer to the mean of their prompt, and is told of. `prompts`
    are found by the ids that were sampled from; `samples` neighbours are compared, for a batch may have a
    prompt twice, and which process has both is by chance.
    """

    judge: PairwiseJudge
    prompts: Mapping[tuple[int, ...], Prompt]
    samples: int

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number from 0 to 1 for each sample; a half for one that is alone."""
        return [told.value for told in self.told(samples)]

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        """The same, with the verdicts on each sample's pairs that could be read, and what the others were."""
        asked = [
            (i, j)
            for start in range(0, len(samples), self.samples)
            for i, j in combinations(range(start, start + self.samples), 2)
            if samples[i].text != samples[j].text
        ]
        pairs = [self._comparison(samples[i], samples[j]) for i, j in asked]
        leads: list[list[float]] = [[] for _ in samples]
        unread: list[list[str]] = [[] for _ in samples]
        for (i, j), said in zip(asked, self.judge.prefer(pairs) if pairs else (), strict=True):
            if isinstance(said, Abstention):
                unread[i].append(_instead(said))
                unread[j].append(_instead(said))
            else:
                leads[i].append(said.preference - 0.5)
                leads[j].append(0.5 - said.preference)
        others = max(1, self.samples - 1)
        return [
            Told(0.5 + sum(own) / others, read=len(own), unread=tuple(silent))
            for own, silent in zip(leads, unread, strict=True)
        ]

    def _comparison(self, first: Sample, second: Sample) -> Comparison:
        prompt = self.prompts[first.prompt_ids]
        one, other = (Message("assistant", first.text),), (Message("assistant", second.text),)
        return Comparison(prompt.id, prompt.conversation, one, other)


def _instead(said: Abstention) -> str:
    """What there was in place of a verdict."""
    return " and ".join(repr(text[-SHOWN:]) for text in said.said) or said.reason
