"""Direct AI reward: whoever labels scores each answer by principles, and no reward model stands between.

Lee et al. (arXiv:2309.00267, d-RLAIF) ask for a rating and found it as good as a reward model distilled from
the same labeller, or better. Principles are drawn as for comparisons, the same for all samples of a prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar, NamedTuple

from gnomon.constitution.labeller import Who
from gnomon.constitution.principles import Constitution
from gnomon.judges.direct import Asked, Grade
from gnomon.judges.judgement import Abstention, Criterion, Judgement, Said, answer_text, sigmoid
from gnomon.records import Comparison, Conversation, Prompt
from gnomon.rewards.told import Told, filled
from gnomon.rollouts.engine import Sample
from gnomon.settings.feedback import DirectSettings

NO_NUMBER = "no number"


class Held(NamedTuple):
    """An answer, and the key that its principles are drawn by."""

    key: str
    prompt: Conversation
    answer: str
    ended: bool = True


@dataclass(frozen=True)
class DirectScorer:
    """Whoever labels, asked about one answer at a time. As a judge of pairs it goes through the gate."""

    who: Who
    grade: Grade
    constitution: Constitution
    settings: DirectSettings
    seed: int = 0
    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True

    def scores(self, held: Sequence[Held]) -> list[float | None]:
        """The mean over the principles drawn for each answer; None where one of them tells nothing."""
        criteria = [self._criteria(one.key) for one in held]
        asked = [
            Asked(one.prompt, one.answer, criterion, one.ended)
            for one, own in zip(held, criteria, strict=True)
            for criterion in own
        ]
        left = iter(self.grade(asked) if asked else [])
        return [_mean([next(left) for _ in own]) for own in criteria]

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """Which answer scores higher. Each is read alone, so that their order cannot matter."""
        held = [
            Held(pair.id, pair.prompt, answer_text(answer))
            for pair in comparisons
            for answer in (pair.first, pair.second)
        ]
        scores = self.scores(held)
        pairs = zip(comparisons, scores[::2], scores[1::2], strict=True)
        return [self._judged(pair, first, second) for pair, first, second in pairs]

    def _judged(self, pair: Comparison, first: float | None, second: float | None) -> Said:
        if first is None or second is None:
            return Abstention(NO_NUMBER)
        lead = first - second
        p = sigmoid(lead) if self.settings.method == "contrast" else (1 + lead / 2) / 2
        named = "+".join(criterion.id for criterion in self._criteria(pair.id))
        return Judgement.of(p, p, named, (f"{first:.4f}", f"{second:.4f}"))

    def _criteria(self, key: str) -> list[Criterion]:
        drawn = self.constitution.several(key, self.seed, "comparison", self.settings.ensemble)
        return [Criterion(p.id, p.text, p.comparison) for p in drawn]


@dataclass(frozen=True)
class ConstitutionReward:
    """What the scorer says of samples, `samples` neighbours to a prompt; `prompts` are found by the ids that
    were sampled from.

    Principles are drawn by the prompt and by `drawn`, which says which batch this is: the same batch, asked
    about again, is paid the same. A sample that the labeller says no number of has the mean of the others of
    its prompt, and that is told of; where there is none of any, 0, the middle of a rating.
    """

    scorer: DirectScorer
    prompts: Mapping[tuple[int, ...], Prompt]
    samples: int
    drawn: str = ""

    def at(self, drawn: str) -> "ConstitutionReward":
        """The same, with the principles of a batch."""
        return replace(self, drawn=drawn)

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample: nats by contrast, from -1 to 1 by rating."""
        return [told.value for told in self.told(samples)]

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        """The same, with whether there was a number."""
        asked = [self.prompts[sample.prompt_ids] for sample in samples]
        scores = self.scorer.scores(
            [
                Held(f"{self.drawn}/{prompt.id}", prompt.conversation, sample.text, sample.ended)
                for prompt, sample in zip(asked, samples, strict=True)
            ]
        )
        values = filled(scores, [i // self.samples for i in range(len(samples))])
        return [
            Told(value, unread=(NO_NUMBER,)) if score is None else Told(value, read=1)
            for value, score in zip(values, scores, strict=True)
        ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
