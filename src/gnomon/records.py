"""The rows that travel: parsed once at the edge (`data/formats.py`), dialect-free from there on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from gnomon.errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
Source = Literal["person", "ai", "constructed", "planted"]
"""Who said which answer is better. Only `person` may be called human feedback in a report."""

HARMFUL = "harmful"
"""The family of prompts that ask for harm, and the reason of comparisons in which declining is better."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant makes; `arguments` is the JSON text the model writes."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `trained` overrides the default that assistant turns, and only they, carry loss."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    trained: bool | None = None

    @property
    def carries_loss(self) -> bool:
        """Whether the tokens of this turn are trained on."""
        return self.role == "assistant" if self.trained is None else self.trained


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, with the JSON schemas of the tools the assistant may call."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, *turns: str, system: str | None = None) -> Self:
        """A conversation of alternating user and assistant turns, the user's first."""
        head = (Message("system", system),) if system else ()
        roles: tuple[Role, Role] = ("user", "assistant")
        return cls(head + tuple(Message(roles[i % 2], text) for i, text in enumerate(turns)))

    def then(self, *messages: Message) -> "Conversation":
        """The same conversation with turns added."""
        return Conversation(self.messages + messages, self.tools)

    @property
    def text(self) -> str:
        """The turns as plain text, for clustering and for reading."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{m.role}: {m.content}" for m in self.messages)


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A conversation as token ids; `response_mask` is True where the token is trained on."""

    ids: tuple[int, ...]
    response_mask: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that waits for the assistant, with the checks a right answer must pass.

    `facts` are what reward functions are told of it beside its text, a reference answer for example.
    """

    id: str
    conversation: Conversation
    family: str = ""
    checks: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def asked(self) -> str:
        """The last turn's text."""
        return self.conversation.messages[-1].content


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A conversation to learn from; the turns that carry loss are the lesson."""

    id: str
    conversation: Conversation
    family: str = ""

    @property
    def prompt(self) -> Conversation:
        """Everything before the last turn."""
        return Conversation(self.conversation.messages[:-1], self.conversation.tools)

    @property
    def response(self) -> str:
        """The last turn's text."""
        return self.conversation.messages[-1].content


@dataclass(frozen=True, slots=True)
class Label:
    """One judgement of a comparison. `preference` is the probability that `first` is the better.

    `adjudicated` says that it was made in sight of others' judgements, to decide where these differ. Labels
    with one `ranking`, its id, were not given each for itself: one person's order of several answers implies
    them all. `strength` is by how much one is better, 1 as much as can be said; None where nobody was asked.
    """

    preference: float
    source: Source
    reason: str = ""
    weight: float = 1.0
    annotator: str | None = None
    adjudicated: bool = False
    ranking: str | None = None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one prompt; `label` is None while it waits for a judgement."""

    id: str
    prompt: Conversation
    first: tuple[Message, ...]
    second: tuple[Message, ...]
    label: Label | None = None

    @classmethod
    def of(cls, id: str, prompt: Conversation, chosen: str, rejected: str, label: Label) -> Self:
        """A comparison of two single-turn answers, the better one first."""
        return cls(id, prompt, (Message("assistant", chosen),), (Message("assistant", rejected),), label)

    def swap(self) -> "Comparison":
        """The same judgement with the answers in the other order."""
        label = self.label
        if label is not None:
            label = replace(label, preference=1 - label.preference)
        return Comparison(self.id, self.prompt, self.second, self.first, label)

    @property
    def is_tie(self) -> bool:
        """Whether the label prefers neither."""
        return self._labelled().preference == 0.5

    @property
    def chosen(self) -> tuple[Message, ...]:
        """The answer the label prefers; the first where it is a tie."""
        return self.first if self._labelled().preference >= 0.5 else self.second

    @property
    def rejected(self) -> tuple[Message, ...]:
        """The other one."""
        return self.second if self._labelled().preference >= 0.5 else self.first

    def _labelled(self) -> Label:
        if self.label is None:
            raise DataError(f"comparison {self.id} has no label yet; collect one before training on it")
        return self.label


@dataclass(frozen=True, slots=True)
class Ranking:
    """Several answers to one prompt with a score each (higher is better), as in K-way rankings.

    `scores` is None while it waits for a judgement; `origins` says which model wrote what, where known.
    """

    id: str
    prompt: Conversation
    responses: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    source: Source = "person"
    origins: tuple[str | None, ...] = ()

    def comparisons(self) -> Iterator[Comparison]:
        """Every pair whose scores differ, the better answer first, at its part of the ranking's weight.

        DataError where there are no scores.
        """
        if self.scores is None:
            raise DataError(f"ranking {self.id} has no scores yet; collect some before training on it")
        weight = implied_weight(len(self.responses))
        for i, j in combinations(range(len(self.responses)), 2):
            if self.scores[i] != self.scores[j]:
                best, worst = (i, j) if self.scores[i] > self.scores[j] else (j, i)
                yield Comparison.of(
                    f"{self.id}/{best}>{worst}",
                    self.prompt,
                    self.responses[best],
                    self.responses[worst],
                    Label(1.0, self.source, weight=weight, ranking=self.id),
                )


def implied_weight(count: int) -> float:
    """What each pair of a ranking of so many answers weighs: 2 / count.

    All count (count - 1) / 2 of them weigh as much as the count - 1 neighbours, from which the others follow.
    """
    return 2 / count


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer judged by itself: desirable or not (the unpaired rows of KTO)."""

    id: str
    prompt: Conversation
    response: str
    desirable: bool
    source: Source = "person"

    @property
    def conversation(self) -> Conversation:
        """The prompt and the answer to it."""
        return self.prompt.then(Message("assistant", self.response))


@dataclass(frozen=True, slots=True)
class Critique:
    """One critique-and-revision step: who said what under which principle.

    `generator` and `critic` say whether that was the model itself or another, and which.
    """

    id: str
    prompt: Conversation
    response: str
    principle: str
    critique: str
    revision: str
    constitution: str
    rejected_for: tuple[str, ...] = field(default=())
    generator: str = ""
    critic: str = ""

    @property
    def kept(self) -> bool:
        """Whether the revision passed every hygiene check."""
        return not self.rejected_for


Record = Prompt | Demonstration | Comparison | Ranking | Rating | Critique
R = TypeVar("R", bound=Record)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Prompt, Demonstration, Comparison, Ranking, Rating, Critique)
}


def to_json(record: Record) -> dict[str, Any]:
    """A record as plain JSON values, defaults left out."""
    values: dict[str, Any] = _ADAPTERS[type(record)].dump_python(record, mode="json", exclude_defaults=True)
    return values


def from_json(kind: type[R], values: Mapping[str, Any]) -> R:
    """The record `to_json` wrote; DataError where the values do not fit."""
    try:
        record: R = _ADAPTERS[kind].validate_python(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"not a {kind.__name__}: {where}: {first['msg']}") from problem
    return record
