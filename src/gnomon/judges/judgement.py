"""What a judge says of two answers, and what makes a judge."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from gnomon.errors import DataError
from gnomon.records import Comparison, Message

TIE = 1e-9
"""A preference this close to a half is none: two orders that cancel leave rounding."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """What to judge by: the principle as a sentence, and as a question about two answers."""

    id: str
    text: str
    question: str


QUALITY = Criterion(
    "quality",
    "The answer does what was asked, and is correct, honest and no longer than it has to be.",
    "Which answer is better? It does what was asked, is correct and honest; length alone is no merit.",
)
"""What win rates are judged by."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The probability that the comparison's first answer is the better, and what each order said of it.

    `said` is what it goes back to: replies in both orders, scores of both answers, votes.
    """

    preference: float
    first_order: float
    second_order: float
    criterion: str
    said: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, first_order: float, second_order: float, criterion: str, said: tuple[str, ...] = ()
    ) -> "Judgement":
        """Both orders averaged: a judge that only looks at the position says a half."""
        return cls((first_order + second_order) / 2, first_order, second_order, criterion, said)

    @property
    def verdict(self) -> float:
        """1 where the first answer wins, 0 where the other does, a half for a tie: the mean of both orders.

        So a judge that changes its mind with the order says a half, however sure it is either time.
        """
        return (_won(self.first_order) + _won(self.second_order)) / 2

    @property
    def flips(self) -> bool:
        """Whether it says something else when the answers swap places."""
        return flips(self.first_order, self.second_order)


@dataclass(frozen=True, slots=True)
class Abstention:
    """No judgement: why not, in words to count by, and what was said instead."""

    reason: str
    said: tuple[str, ...] = ()


Said = Judgement | Abstention


class PairwiseJudge(Protocol):
    """Anything that compares two answers: a model, a server, a person's votes, a program."""

    ordered: ClassVar[bool]
    """Whether it sees one answer before the other; it is then asked in both orders."""
    probabilistic: ClassVar[bool]
    """Whether its preferences are probabilities it states; others are verdicts or shares of votes."""

    def prefer(self, comparisons: Sequence[Comparison]) -> Sequence[Said]:
        """One judgement a comparison; its label, where it has one, is not looked at."""
        ...


def flips(first_order: float, second_order: float) -> bool:
    """Whether two probabilities of one answer are for different ones, a tie being neither."""
    return _won(first_order) != _won(second_order)


def flip_rate(judgements: Sequence[Judgement]) -> float:
    """The share of judgements that say something else when the two answers swap places."""
    if not judgements:
        raise DataError("flip rate: no judgements; give at least one comparison")
    return sum(j.flips for j in judgements) / len(judgements)


def answer_text(answer: Sequence[Message]) -> str:
    """An answer's turns as one text."""
    return "\n\n".join(message.content for message in answer)


def sigmoid(x: float) -> float:
    """The logistic function, which no margin overflows."""
    return 0.5 * (1 + math.tanh(x / 2))


def said_to_json(said: Said) -> dict[str, Any]:
    """A judgement or an abstention as plain JSON values."""
    return asdict(said)


def said_from_json(values: Mapping[str, Any]) -> Said:
    """What `said_to_json` wrote, other keys aside; KeyError or TypeError for anything else."""
    if "reason" in values:
        return Abstention(values["reason"], tuple(values["said"]))
    orders = values["first_order"], values["second_order"]
    return Judgement(values["preference"], *orders, values["criterion"], tuple(values["said"]))


def is_tie(preference: float) -> bool:
    """Whether it says of neither answer that it is better."""
    return abs(preference - 0.5) < TIE


def _won(preference: float) -> float:
    return 0.5 if is_tie(preference) else float(preference > 0.5)
