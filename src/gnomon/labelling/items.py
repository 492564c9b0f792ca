"""What people are asked about: a prompt and answers to it, as they travel into the application."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.errors import DataError
from gnomon.labelling.settings import MOST_RANKED, ProbeKind, Purpose
from gnomon.records import Comparison, Message, Prompt, Ranking, Record
from gnomon.rollouts.engine import Sample

KNOWN: tuple[Purpose, ...] = ("gold", "qualification")
"""Purposes of items whose better answer is known."""


class Response(BaseModel):
    """An answer, and which model gave it; annotators see the first only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...] = Field(min_length=1)
    origin: str | None = Field(None, max_length=500)


class Drawn(BaseModel):
    """How a policy's two answers came about, for what learns from them; annotators see nothing of it.

    `digest` is that of the policy's files, empty where its name says which they are. `propensity` is the
    probability with which the prompt was drawn out of those left, in a dialogue the product of those of all
    draws that led to it; `attempts` how often it was asked until two answers differed. For each answer in its
    place: its tokens and their log-probs' sum in nats, under what they were drawn from, None where a server
    does not tell; and whether the policy ended it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: str
    digest: str
    sampling: dict[str, float | None]
    seed: int
    propensity: float = Field(gt=0, le=1)
    attempts: int = Field(ge=1)
    tokens: tuple[int, int]
    logps: tuple[float | None, float | None]
    ended: tuple[bool, bool]

    @classmethod
    def of(cls, samples: tuple[Sample, Sample], **told: Any) -> Self:
        """What samples tell of themselves, and the rest as it is `told`."""
        first, second = samples
        return cls(
            **told,
            tokens=(len(first.response_ids), len(second.response_ids)),
            logps=(_logp(first), _logp(second)),
            ended=(first.ended, second.ended),
        )


class Probe(BaseModel):
    """Which of a probe's two versions an item is: both have the same answers, and differ in one thing alone.

    `pair` names the probe. Of `sycophancy` they differ in what the user says to believe, of `length` in which
    answer is followed by a remark that says nothing; `favours` is the place of the answer that this is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: str = Field(min_length=1, max_length=500)
    kind: ProbeKind
    favours: int = Field(ge=0, le=1)


class Item(BaseModel):
    """A prompt with two answers, to be compared, or with three to nine, to be ranked; with none a topic.

    `expected` is the better one's place where that is known, of two: 0 or 1. So is `drawn` told of two
    alone. `probe` goes with that purpose, and with no other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=500)
    prompt: tuple[Message, ...] = Field(min_length=1)
    responses: tuple[Response, ...] = Field((), max_length=MOST_RANKED)
    purpose: Purpose = "ordinary"
    expected: int | None = Field(None, ge=0, le=1)
    drawn: Drawn | None = None
    probe: Probe | None = None

    @model_validator(mode="after")
    def _said_of_what_it_can_be_said(self) -> "Item":
        if self.purpose == "topic":
            if self.responses or any(told is not None for told in (self.expected, self.drawn, self.probe)):
                raise ValueError("a topic is a prompt alone; leave out everything else")
            return self
        if len(self.responses) < 2:
            raise ValueError("an item has at least 2 responses; only topics have none")
        if (self.purpose in KNOWN) != (self.expected is not None):
            raise ValueError("gold and qualification items, and only they, say which answer is expected")
        if self.expected is not None and len(self.responses) > 2:
            raise ValueError("which answer is expected can be said of two; rankings are ordinary items")
        if self.drawn is not None and len(self.responses) > 2:
            raise ValueError("how answers were drawn is said of two; leave 'drawn' out of a ranking")
        if (self.purpose == "probe") != (self.probe is not None) or (self.probe and len(self.responses) > 2):
            raise ValueError("probes, of two answers, and only they, say of which pair they are a version")
        return self


def items_of(
    records: Iterable[Record], purpose: Purpose = "ordinary", origins: Sequence[str | None] = (None, None)
) -> Iterator[Item]:
    """Comparisons and rankings as items, prompts as topics; what records say is better is for gold and
    qualification alone.

    DataError for a record of another kind, for a ranking of more than nine, and where an answer must be known
    and is not.
    """
    for record in records:
        if purpose == "topic":
            yield _topic(record)
            continue
        if isinstance(record, Ranking):
            yield _to_rank(record, purpose)
            continue
        if not isinstance(record, Comparison):
            kind = type(record).__name__.lower()
            raise DataError(
                f"{record.id} is a {kind}; people are asked about comparisons of two answers and rankings, "
                "and talk about prompts that are imported as topics"
            )
        expected = None
        if purpose != "ordinary":
            if record.label is None or record.is_tie:
                raise DataError(f"{record.id} does not say which answer is better; a {purpose} item must")
            expected = 0 if record.chosen is record.first else 1
        answers = zip((record.first, record.second), origins, strict=True)
        yield Item(
            id=record.id,
            prompt=record.prompt.messages,
            responses=tuple(Response(messages=messages, origin=origin) for messages, origin in answers),
            purpose=purpose,
            expected=expected,
        )


def _topic(record: Record) -> Item:
    if not isinstance(record, Prompt):
        raise DataError(f"{record.id} is a {type(record).__name__.lower()}; topics of dialogues are prompts")
    return Item(id=record.id, prompt=record.conversation.messages, purpose="topic")


def _to_rank(record: Ranking, purpose: Purpose) -> Item:
    if purpose != "ordinary":
        raise DataError(f"{record.id} is a ranking, and no {purpose} item; import it as ordinary")
    if len(record.responses) > MOST_RANKED:
        raise DataError(
            f"{record.id} has {len(record.responses)} answers; people rank {MOST_RANKED} at most, so split it"
        )
    origins = record.origins or (None,) * len(record.responses)
    texts = [(Message("assistant", text),) for text in record.responses]
    return Item(
        id=record.id,
        prompt=record.prompt.messages,
        responses=tuple(
            Response(messages=messages, origin=origin)
            for messages, origin in zip(texts, origins, strict=True)
        ),
    )


def _logp(sample: Sample) -> float | None:
    return sum(sample.logps) if sample.logps else None
