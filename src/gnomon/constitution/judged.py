"""Labels that ask no model for a letter: those of a judge that was trained, and the truth with noise.

Neither reads a principle. They stand where a labeller stands, behind the same gate, so that it can be seen
what a better or a worse one would have made of the same road.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from gnomon.constitution.labeller import Feedback, Opinion, Progress, Who, order_of
from gnomon.constitution.principles import Constitution
from gnomon.judges.judgement import Judgement, Said, answer_text
from gnomon.judges.refusal import declines
from gnomon.records import Comparison
from gnomon.settings.feedback import FeedbackSettings


class Prefers(Protocol):
    """What compares two answers without regard to where they stand."""

    def prefer(self, comparisons: Sequence[Comparison]) -> Sequence[Judgement]:
        """One judgement a comparison."""
        ...


@dataclass(frozen=True)
class Truth:
    """The known answer of a comparison; where it has none, the answer that declines is the better one, which
    holds for prompts that ask for harm, and two alike are a tie. Wrong with probability `noise`, drawn by the
    comparison's id."""

    noise: float
    seed: int = 0

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """The same in both orders."""
        return [self._judged(comparison) for comparison in comparisons]

    def _judged(self, pair: Comparison) -> Judgement:
        errs = Random(f"{self.seed}/noise/{pair.id}").random() < self.noise
        told = 1 - _truth(pair) if errs else _truth(pair)
        return Judgement.of(told, told, "truth")


@dataclass(frozen=True)
class JudgeLabeller:
    """A judge in the place of a labeller."""

    who: Who
    judge: Prefers
    constitution: Constitution
    settings: FeedbackSettings
    seed: int = 0

    def feedback(
        self, pairs: Sequence[Comparison], *, both: bool = False, progress: Progress | None = None
    ) -> list[Feedback]:
        """What it says of each comparison; both orders are always told, as they are one to it."""
        found: list[Feedback] = []
        if not pairs:
            return found
        for pair, said in zip(pairs, self.judge.prefer(pairs), strict=True):
            opinion = Opinion(said.criterion, said.first_order, said.second_order)
            found.append(Feedback((opinion,), order_of(pair, self.seed)))
        if progress:
            progress(len(found), len(pairs))
        return found

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """The labels it would give, as judgements."""
        return [own.said(self.settings) for own in self.feedback(comparisons)]


def _truth(pair: Comparison) -> float:
    """Whether the first answer is the better: 1, 0, or a half."""
    if pair.label is not None and pair.label.source != "ai":
        return float(pair.label.preference > 0.5) if pair.label.preference != 0.5 else 0.5
    asked = pair.prompt.messages[-1].content
    first, second = (declines(asked, answer_text(answer)) for answer in (pair.first, pair.second))
    return (1 + first - second) / 2
