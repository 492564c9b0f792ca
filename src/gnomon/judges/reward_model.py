"""A reward model as the judge of two answers: each is scored alone, so their order cannot matter."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gnomon.judges.judgement import Judgement, answer_text
from gnomon.models.load import LanguageModel
from gnomon.models.reward_model import Score, Scorer
from gnomon.records import Comparison, Conversation, Message


@dataclass(frozen=True)
class RewardJudge:
    """The probability of its own model that the first answer is the better.

    `cut_off` has comparison id and text of the answers that did not end: they are scored without an end.
    """

    scorer: Scorer
    cut_off: Collection[tuple[str, str]] = frozenset()
    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """All answers in one batch."""
        rows = [
            answered(self.scorer.lm, c.prompt, answer, ended=(c.id, answer_text(answer)) not in self.cut_off)
            for c in comparisons
            for answer in (c.first, c.second)
        ]
        scores = self.scorer.scores(rows)
        return [self._judged(*both) for both in zip(scores[::2], scores[1::2], strict=True)]

    def _judged(self, first: Score, second: Score) -> Judgement:
        preference = self.scorer.chance(first, second)
        said = (f"{first.value:.4f}", f"{second.value:.4f}")
        return Judgement.of(preference, preference, "reward", said)


def answered(
    lm: LanguageModel, prompt: Conversation, answer: Sequence[Message], *, ended: bool
) -> tuple[int, ...]:
    """Ids of an answered prompt; without the turn's end where the answer was cut off."""
    ids = lm.encode(prompt.then(*answer)).ids
    return ids if ended else ids[:-1]
