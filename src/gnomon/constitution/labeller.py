"""RL-CAI's labelling (arXiv:2212.08073, section 4): a model says which answer keeps a principle better.

A principle, or several, is drawn for each comparison. The answers are lettered in both orders, the letters'
log-probs normalised; with chains of thought the model first says why, several times, and is averaged. What
was asked once under the same words is not asked again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from random import Random
from statistics import fmean
from typing import Literal, NamedTuple, Protocol

from gnomon.constitution.examples import Worked, load_examples
from gnomon.constitution.principles import Constitution
from gnomon.errors import ConfigError, StorageError
from gnomon.judges.choosing import Backend
from gnomon.judges.judgement import Abstention, Criterion, Judgement, Said, sigmoid
from gnomon.judges.pairwise import choice_request
from gnomon.records import Comparison, Conversation, Message, to_json
from gnomon.rollouts.engine import Sampling
from gnomon.runs import AGAIN
from gnomon.settings.feedback import FeedbackSettings, Shape
from gnomon.store import KeptRows, content_id

STEPS = "Think step by step about both answers, then say which you would choose."
DECIDE = "So which is it? Reply with (A) or (B)."

NO_LETTER = "neither letter"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Who:
    """Who labels: the model whose answers are judged, another one, a trained judge, the truth; and which."""

    role: Literal["self", "teacher", "trained", "truth"]
    ref: str

    def __str__(self) -> str:
        return f"{self.role} {self.ref}"


@dataclass(frozen=True, slots=True)
class Opinion:
    """The probability, by one principle, that the first answer is the better: by the order of the answers.

    None where that order was not asked, and where neither letter came in one that was. `said` are the chains
    of thought.
    """

    principle: str
    first_order: float | None
    second_order: float | None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a labeller says of a comparison. `order` is the one a label of one order is taken from."""

    opinions: tuple[Opinion, ...]
    order: Literal["first", "second"]

    @property
    def first_order(self) -> float | None:
        """The mean of the principles with the answers as they stand; None where none says anything."""
        return _mean([opinion.first_order for opinion in self.opinions])

    @property
    def second_order(self) -> float | None:
        """The same with the answers swapped."""
        return _mean([opinion.second_order for opinion in self.opinions])

    def preference(self, settings: FeedbackSettings) -> float | None:
        """The probability as the label has it: of both orders or of one, shaped."""
        first, second = self.first_order, self.second_order
        one = first if self.order == "first" else second
        mean = one if settings.order == "one" else _mean([first, second])
        return None if mean is None else shaped(mean, settings.shape, settings.clamp)

    def said(self, settings: FeedbackSettings) -> Said:
        """As a judgement; an abstention where neither letter came."""
        first, second, preference = self.first_order, self.second_order, self.preference(settings)
        told = first if second is None else second
        if preference is None or told is None:
            return Abstention(NO_LETTER)
        criterion = "+".join(opinion.principle for opinion in self.opinions)
        return Judgement(preference, told if first is None else first, told, criterion)


class Question(NamedTuple):
    """A comparison, in the order it is asked in, by one principle."""

    key: str
    pair: Comparison
    criterion: Criterion


class Reading(NamedTuple):
    """The probability that the answer asked about as (A) is the better, and the chains of thought."""

    probability: float | None
    said: tuple[str, ...] = ()


class Labelling(Protocol):
    """Whatever labels, as those who write labels down see it."""

    @property
    def who(self) -> Who:
        """Who it is."""
        ...

    @property
    def constitution(self) -> Constitution:
        """What is judged by, or would be."""
        ...

    @property
    def settings(self) -> FeedbackSettings:
        """How labels are made of probabilities."""
        ...

    def feedback(
        self, pairs: Sequence[Comparison], *, both: bool = False, progress: Progress | None = None
    ) -> list[Feedback]:
        """What it says of each comparison."""
        ...

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """The labels it would give."""
        ...


@dataclass(frozen=True)
class Labeller:
    """A model that labels by a constitution. What it was asked is kept in `kept`, by content."""

    who: Who
    backend: Backend
    constitution: Constitution
    settings: FeedbackSettings
    kept: KeptRows
    seed: int = 0

    def feedback(
        self, pairs: Sequence[Comparison], *, both: bool = False, progress: Progress | None = None
    ) -> list[Feedback]:
        """What it says of each comparison; labels of the comparisons are not looked at.

        With `both`, both orders are asked even where labels are taken from one. ConfigError where the
        settings' method needs what the model does not tell.
        """
        if self.settings.method == "contrast" and self.backend.contrast is None:
            raise ConfigError(
                f"{self.backend.id} tells no likelihoods of whole answers, which contrast compares; set "
                "constitution.feedback.method to choice, or name a labeller to load"
            )
        found: list[Feedback] = []
        for start in range(0, len(pairs), self.backend.together):
            batch = pairs[start : start + self.backend.together]
            asked = [self._questions(pair, both=both) for pair in batch]
            self._ask([question for own in asked for question, _ in own])
            found += [self._feedback(pair, own) for pair, own in zip(batch, asked, strict=True)]
            if progress:
                progress(len(found), len(pairs))
        return found

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """As a judge: the labels it would give, with both orders asked."""
        return [own.said(self.settings) for own in self.feedback(comparisons, both=True)]

    def _questions(self, pair: Comparison, *, both: bool) -> list[tuple[Question, bool]]:
        """Every principle in the orders wanted; True for the order that stands."""
        drawn = self.constitution.several(pair.id, self.seed, "comparison", self.settings.ensemble)
        criteria = [Criterion(p.id, p.text, p.comparison) for p in drawn]
        stands = order_of(pair, self.seed) == "first"
        orders = (True, False) if both or self.settings.order == "both" else (stands,)
        if self.settings.method == "contrast":
            orders = (True,)
        return [(self._question(pair if o else pair.swap(), c), o) for c in criteria for o in orders]

    def _question(self, pair: Comparison, criterion: Criterion) -> Question:
        key = content_id([self._how, to_json(replace(pair, id="", label=None)), asdict(criterion)])
        return Question(key, pair, criterion)

    def _feedback(self, pair: Comparison, asked: Sequence[tuple[Question, bool]]) -> Feedback:
        opinions: dict[str, dict[bool, Reading]] = {}
        for question, stands in asked:
            opinions.setdefault(question.criterion.id, {})[stands] = self._known[question.key]
        return Feedback(
            tuple(self._opinion(name, own) for name, own in opinions.items()), order_of(pair, self.seed)
        )

    def _opinion(self, principle: str, readings: Mapping[bool, Reading]) -> Opinion:
        said = tuple(text for own in readings.values() for text in own.said)
        if any(own.probability is None for own in readings.values()):  # one order alone is of places
            return Opinion(principle, None, None, said)
        first = readings[True].probability if True in readings else None
        other = readings[False].probability if False in readings else None
        second = None if other is None else 1 - other
        if self.settings.method == "contrast":  # it reads every answer alone
            second = first
        return Opinion(principle, first, second, said)

    def _ask(self, questions: Sequence[Question]) -> None:
        """Have an answer to each; only what is not kept is asked."""
        missing = list({q.key: q for q in questions if q.key not in self._known}.values())
        if not missing:
            return
        readings = self._contrast(missing) if self.settings.method == "contrast" else self._choice(missing)
        new = {q.key: own._asdict() for q, own in zip(missing, readings, strict=True)}
        self.kept.add(new)
        self.kept.rows += [{"id": key, **row} for key, row in new.items()]  # for labellers that share it
        self._known.update({q.key: own for q, own in zip(missing, readings, strict=True)})

    def _choice(self, questions: Sequence[Question]) -> list[Reading]:
        asked = [self._request(q) for q in questions]
        if not self.settings.reasoning:
            return [_reading([odds]) for odds in self.backend.chooser.choose(asked)]
        sampling = Sampling(self.settings.reasoning_tokens, self.settings.reasoning_temperature)
        chains: list[list[str]] = []
        odds: list[list[float | None]] = []
        for number in range(self.settings.reasoning):
            seed = _number(f"{self.seed}/{number}/{questions[0].key}")
            replies = [sample.text for sample in self.backend.engine.answer(asked, sampling, seed)]
            decided = [_decide(talk, reply) for talk, reply in zip(asked, replies, strict=True)]
            odds.append(self.backend.chooser.choose(decided))
            chains.append(replies)
        return [
            _reading(own, tuple(said))
            for own, said in zip(zip(*odds, strict=True), zip(*chains, strict=True), strict=True)
        ]

    def _contrast(self, questions: Sequence[Question]) -> list[Reading]:
        assert self.backend.contrast is not None
        by_key = {question.key: question.criterion for question in questions}
        judge = self.backend.contrast(lambda pair: by_key[pair.id])
        judged = judge.prefer([replace(question.pair, id=question.key) for question in questions])
        return [Reading(own.preference) for own in judged]

    def _request(self, question: Question) -> Conversation:
        """The worked comparisons as turns, then this one."""
        turns: list[str] = []
        for example in self._examples:
            turns += self._shown(example, question.criterion.question)
        request = choice_request(question.pair, question.criterion)
        return Conversation.of(*turns, f"{request}\n\n{STEPS}" if self.settings.reasoning else request)

    def _shown(self, example: Worked, asked: str) -> Iterator[str]:
        request = example.request(asked)
        if not self.settings.reasoning:
            yield from (request, f"({example.letter})")
            return
        yield from (f"{request}\n\n{STEPS}", example.reasoning or f"I would choose ({example.letter}).")
        yield from (DECIDE, f"({example.letter})")

    @cached_property
    def _examples(self) -> tuple[Worked, ...]:
        return load_examples(self.settings.examples)

    @cached_property
    def _how(self) -> str:
        """Changes where the same question would be asked in another way."""
        chosen = self.settings
        chains = [chosen.reasoning, chosen.reasoning_tokens, chosen.reasoning_temperature, self.seed]
        examples = [asdict(example) for example in self._examples]
        return content_id([self.backend.id, chosen.method, examples, chains if chosen.reasoning else []])

    @cached_property
    def _known(self) -> dict[str, Reading]:
        try:
            return {row["id"]: Reading(row["probability"], tuple(row["said"])) for row in self.kept.rows}
        except (KeyError, TypeError) as problem:
            raise StorageError(
                f"{self.kept.path} holds other things than a labeller's answers; remove it {AGAIN}"
            ) from problem


def shaped(probability: float, shape: Shape, clamp: tuple[float, float]) -> float:
    """A probability as a label: as it is, 0 or 1 (a half stays one), or within bounds."""
    if shape == "hard":
        return 0.5 if probability == 0.5 else float(probability > 0.5)
    return min(max(probability, clamp[0]), clamp[1]) if shape == "clamped" else probability


def order_of(pair: Comparison, seed: int) -> Literal["first", "second"]:
    """The order that a label of one order is taken from, drawn by the comparison's id."""
    return "first" if Random(f"{seed}/order/{pair.id}").random() < 0.5 else "second"


def _decide(talk: Conversation, reply: str) -> Conversation:
    """The question of the letter after a chain of thought; one of nothing counts as such."""
    return talk.then(Message("assistant", reply or "..."), Message("user", DECIDE))


def _reading(odds: Sequence[float | None], said: tuple[str, ...] = ()) -> Reading:
    return Reading(_mean([None if own is None else sigmoid(own) for own in odds]), said)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
