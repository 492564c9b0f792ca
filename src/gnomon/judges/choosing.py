"""Whatever says which of two letters is the likelier answer: a model in memory, or one on a server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.judges.judgement import Criterion
from gnomon.judges.pairwise import ContrastJudge, contrast_judge, letters_of
from gnomon.models.load import LanguageModel
from gnomon.models.logps import choice_logps
from gnomon.records import Comparison, Conversation
from gnomon.rollouts.engine import Engine
from gnomon.rollouts.letters import Letters
from gnomon.rollouts.local import LocalEngine

LETTERS = ("A", "B")

TOGETHER, TOGETHER_ON_A_SERVER = 32, 1024
"""Pairs asked about at once: what is interrupted loses at most so many, and none that a server answered."""


class LettersEngine(Engine, Protocol):
    """An engine that tells how likely letters are as an answer."""

    def choose(
        self, conversations: Sequence[Conversation], letters: Sequence[str], attempt: int = 0
    ) -> list[Letters]:
        """The log-probs of the letters after each; of a later `attempt` as another answer begins."""
        ...


class Chooser(Protocol):
    """Chooses between (A) and (B)."""

    def choose(self, asked: Sequence[Conversation]) -> list[float | None]:
        """The log-odds of (A) over (B) as the answer to each; None where neither is told."""
        ...


@dataclass(frozen=True)
class Backend:
    """A model that labels: `id` changes where its weights do; `contrast` is None where no likelihoods of
    whole answers are told."""

    id: str
    engine: Engine
    chooser: Chooser
    contrast: Callable[[Callable[[Comparison], Criterion]], ContrastJudge] | None
    together: int


@dataclass(frozen=True)
class LocalChooser:
    """A model in memory: both letters are scored together, and what requests share is read once."""

    lm: LanguageModel

    def choose(self, asked: Sequence[Conversation]) -> list[float | None]:
        """In one batch."""
        opening, letters = letters_of(self.lm)
        logps = choice_logps(self.lm, [[*self.lm.encode_prompt(talk), *opening] for talk in asked], letters)
        return [float(a) - float(b) for a, b in logps]


@dataclass(frozen=True)
class EndpointChooser:
    """A model on a server that tells log-probs of chat answers."""

    engine: LettersEngine

    def choose(self, asked: Sequence[Conversation]) -> list[float | None]:
        """All requests at the concurrency the server is asked at."""
        told = self.engine.choose(asked, LETTERS)
        return [own.logps[0] - own.logps[1] if own.logps else None for own in told]


def local_backend(lm: LanguageModel, id: str) -> Backend:
    """A model in memory as a labeller."""
    return Backend(
        id, LocalEngine(lm), LocalChooser(lm), lambda criterion: contrast_judge(lm, criterion), TOGETHER
    )


def endpoint_backend(engine: LettersEngine, id: str) -> Backend:
    """A model on a server as a labeller."""
    return Backend(id, engine, EndpointChooser(engine), None, TOGETHER_ON_A_SERVER)
