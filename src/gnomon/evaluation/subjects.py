"""What is examined: a model in memory, or one on a server, which answers but tells no likelihoods."""

from collections.abc import Sequence
from typing import Protocol

from gnomon.errors import ConfigError
from gnomon.evaluation.tasks import Answers, Ask, Choose, Likelihoods, Read
from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Engine, Sampling

EXAMPLES = (
    Message("user", "What do bees make?"),
    Message("assistant", "Honey and wax."),
    Message("user", "Give me two tips for packing a small suitcase."),
    Message("assistant", "Roll your clothes instead of folding them. Put socks inside your shoes."),
    Message("user", "Write one polite sentence that asks a neighbour to turn the music down."),
    Message("assistant", "Hello, would you mind turning the music down a little, as the baby is asleep?"),
)
"""What a base model is shown before a question, to see what it can do already (arXiv:2312.01552)."""

NEXT_TURN = "\n\nUser:"
"""How the template of base models opens a turn: one that goes on to it has ended its own."""


class Subject(Protocol):
    """Anything that can be examined. `id` changes where the model does, and with it every kept reply."""

    name: str
    id: str

    def answer(self, tasks: Sequence[Ask], sampling: Sampling, seed: int) -> list[Answers]:
        """Answer every turn of every task."""
        ...

    def choose(self, tasks: Sequence[Choose]) -> list[Likelihoods]:
        """How likely each choice is as the answer to each frame."""
        ...

    def read(self, tasks: Sequence[Read]) -> list[Likelihoods]:
        """How likely each text is."""
        ...


class Answering:
    """A model that answers, on a server or here: as itself, `raw` (it has no turns, and goes on from plain
    text), or `shown` three fixed examples before each conversation without a history."""

    def __init__(self, name: str, id: str, engine: Engine, *, raw: bool = False, shown: bool = False) -> None:
        how = " (raw)" if raw else " (shown examples)" if shown else ""
        self.name, self.id, self.engine, self.raw, self.shown = name, id + how, engine, raw, shown

    def answer(self, tasks: Sequence[Ask], sampling: Sampling, seed: int) -> list[Answers]:
        """Turn by turn, all tasks that have such a turn at once."""
        before = EXAMPLES if self.shown else ()
        said: list[list[Message]] = [list(task.history or before) for task in tasks]
        found: list[list[tuple[str, bool, int | None]]] = [[] for _ in tasks]
        for turn in range(max((len(task.turns) for task in tasks), default=0)):
            going = [i for i, task in enumerate(tasks) if turn < len(task.turns)]
            for i in going:
                said[i].append(Message("user", tasks[i].turns[turn]))
            asked = [Conversation(tuple(said[i])) for i in going]
            samples = self.engine.answer(asked, sampling, seed + turn * len(tasks), raw=self.raw)
            for i, sample in zip(going, samples, strict=True):
                text, marker, _ = sample.text.partition(NEXT_TURN) if self.shown else (sample.text, "", "")
                # a turn of nothing cannot be shown to the model again
                said[i].append(Message("assistant", text or "(no answer)"))
                tokens = None if marker else len(sample.response_ids)
                found[i].append((text, sample.ended or bool(marker), tokens))
        return [Answers(*(tuple(column) for column in zip(*rows, strict=True))) for rows in found]

    def choose(self, tasks: Sequence[Choose]) -> list[Likelihoods]:
        """ConfigError: a server tells no likelihoods of answers it did not give."""
        raise ConfigError(f"{self.name} tells no likelihoods of given answers; leave such suites out for it")

    def read(self, tasks: Sequence[Read]) -> list[Likelihoods]:
        """ConfigError, as for `choose`."""
        raise ConfigError(f"{self.name} tells no likelihoods of given texts; leave such suites out for it")


class Local(Answering):
    """A model in memory. Choices are answers under its template, whether or not it answers raw itself."""

    def __init__(self, name: str, id: str, lm: LanguageModel, engine: Engine, **how: bool) -> None:
        super().__init__(name, id, engine, **how)
        self.lm = lm

    def choose(self, tasks: Sequence[Choose]) -> list[Likelihoods]:
        """Sums over the tokens of each choice, without the turn's end."""
        prompts: list[list[int]] = []
        responses: list[list[int]] = []
        for task in tasks:
            for frame in task.frames.values():
                prompt = self.lm.encode_prompt(frame)
                prompts += [prompt] * len(task.choices)
                responses += [self._as_answer(frame, choice, len(prompt)) for choice in task.choices]
        sums = iter(sequence_logps(self.lm, prompts, responses))
        lengths = iter(map(len, responses))
        found = []
        for task in tasks:
            logps = {name: tuple(float(next(sums).sum()) for _ in task.choices) for name in task.frames}
            counts = [tuple(next(lengths) for _ in task.choices) for _ in task.frames]
            found.append(Likelihoods(logps, counts[0]))
        return found

    def read(self, tasks: Sequence[Read]) -> list[Likelihoods]:
        """Sums over all tokens but the first; the same plain text for every model."""
        rows = [self.lm.template.encode_raw(task.text) for task in tasks]
        sums = sequence_logps(self.lm, [row[:1] for row in rows], [row[1:] for row in rows])
        return [
            Likelihoods({"text": (float(logps.sum()),)}, (len(row) - 1,))
            for logps, row in zip(sums, rows, strict=True)
        ]

    def _as_answer(self, frame: Conversation, choice: str, start: int) -> list[int]:
        row = self.lm.encode(frame.then(Message("assistant", choice)))
        trained = [token for token, on in zip(row.ids[start:], row.response_mask[start:], strict=True) if on]
        return trained[:-1] if trained[-1] in self.lm.stop_ids else trained
