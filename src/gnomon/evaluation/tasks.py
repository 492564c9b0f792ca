"""What a suite asks of a model, and what comes back: answers to be read, or likelihoods of given ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gnomon.records import Conversation, Message, Prompt

Values = Mapping[str, "float | list[float]"]
"""What one reply adds to each metric: a value, or one for each thing that was looked at."""


@dataclass(frozen=True)
class Ask:
    """A conversation's user turns, each asked after the model's own answers to those before.

    `cluster` names the near-duplicates it is one of, `facts` are for the suite's judge alone.
    """

    id: str
    cluster: str
    family: str
    turns: tuple[str, ...]
    history: tuple[Message, ...] = ()
    """What stands before the first turn: a system message, or turns that others took."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: Prompt, cluster: str, **facts: Any) -> "Ask":
        """A prompt's last turn, after those before it."""
        *history, last = prompt.conversation.messages
        return cls(prompt.id, cluster, prompt.family, (last.content,), tuple(history), facts)

    @property
    def asked(self) -> dict[str, Any]:
        """All that a model sees of it, as plain JSON values."""
        return {"turns": list(self.turns), "history": [asdict(message) for message in self.history]}

    @property
    def shown(self) -> str:
        """What a reader sees of it."""
        return "\n\n".join([*(message.content for message in self.history), *self.turns])


@dataclass(frozen=True)
class Choose:
    """The same choices as answers to one conversation, or to several, by name, that frame a question."""

    id: str
    cluster: str
    family: str
    frames: Mapping[str, Conversation]
    choices: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, Any]:
        """All that a model sees of it, as plain JSON values."""
        return {
            "frames": {name: [asdict(m) for m in frame.messages] for name, frame in self.frames.items()},
            "choices": list(self.choices),
        }

    @property
    def shown(self) -> str:
        """What a reader sees of it: its first frame."""
        return next(iter(self.frames.values())).text


@dataclass(frozen=True)
class Read:
    """A text whose likelihood is asked for."""

    id: str
    cluster: str
    family: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, Any]:
        """All that a model sees of it, as plain JSON values."""
        return {"text": self.text}

    @property
    def shown(self) -> str:
        """What a reader sees of it."""
        return self.text


Task = Ask | Choose | Read


@dataclass(frozen=True)
class Answers:
    """The model's answer to each turn, whether it ended by itself, and its tokens; None of an answer that is
    only the beginning of what was written."""

    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    tokens: tuple[int | None, ...]


@dataclass(frozen=True)
class Likelihoods:
    """Log-probs in nats of each choice as an answer, frame by frame; of a text under the name "text". With
    the tokens they are summed over."""

    logps: Mapping[str, tuple[float, ...]]
    tokens: tuple[int, ...]

    def best(self, frame: str) -> int:
        """The likeliest choice."""
        own = self.logps[frame]
        return max(range(len(own)), key=own.__getitem__)


Reply = Answers | Likelihoods


def reply_to_json(reply: Reply) -> dict[str, Any]:
    """A reply as plain JSON values."""
    return {"kind": type(reply).__name__, **asdict(reply)}


def reply_from_json(value: Mapping[str, Any]) -> Reply:
    """The reply that `reply_to_json` wrote; KeyError or TypeError for anything else."""
    if value["kind"] == "Answers":
        return Answers(tuple(value["texts"]), tuple(value["ended"]), tuple(value["tokens"]))
    logps = {name: tuple(own) for name, own in value["logps"].items()}
    return Likelihoods(logps, tuple(value["tokens"]))
