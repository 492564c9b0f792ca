"""Rewards that users write in Python: a function of many answers at once, plain or async."""

import asyncio
import math
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any

from gnomon.errors import ConfigError, DataError
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.engine import Sample


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function is asked about: the prompt's id and conversation, the answer's text, whether it ended
    its turn, its tokens, and the facts that the prompt's row has."""

    id: str
    prompt: Conversation
    text: str
    ended: bool
    tokens: int
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


Function = Callable[[list[Answer]], Sequence[float] | Awaitable[Sequence[float]]]
"""One number for each answer, higher is better."""


def find_function(name: str) -> Function:
    """The function PACKAGE.MODULE:FUNCTION; ConfigError where there is none."""
    module, _, function = name.partition(":")
    try:
        found: Function | None = getattr(import_module(module), function, None)
    except ImportError as problem:
        raise ConfigError(
            f"reward python:{name}: {module} cannot be imported ({problem}); install it, or put its folder "
            "in PYTHONPATH"
        ) from problem
    if not callable(found):
        raise ConfigError(f"reward python:{name}: {module} has no function {function}")
    return found


@dataclass(frozen=True)
class FunctionReward:
    """A user's function as a `Reward`; `prompts` are found by the ids that were sampled from.

    It is asked about at most `batch` answers in a call, which may take `timeout` seconds. DataError for what
    it raises, gives too late or too few of, or is no finite number, with the prompts it was about.
    """

    name: str
    function: Function
    prompts: Mapping[tuple[int, ...], Prompt]
    timeout: float
    batch: int

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample."""
        answers = [self._answer(sample) for sample in samples]
        parts = [answers[start : start + self.batch] for start in range(0, len(answers), self.batch)]
        return [value for part in parts for value in self._values(part)]

    def _answer(self, sample: Sample) -> Answer:
        prompt = self.prompts[sample.prompt_ids]
        tokens = len(sample.response_ids)
        return Answer(prompt.id, prompt.conversation, sample.text, sample.ended, tokens, prompt.facts)

    def _values(self, answers: list[Answer]) -> list[float]:
        try:
            given = called(self.function, answers, self.timeout)
        except TimeoutError as problem:
            late = f"gave nothing within {self.timeout:g} seconds"
            raise self._failed(answers, late, " or give it a longer timeout") from problem
        except (Exception, SystemExit) as problem:  # a user's function raises whatever it likes
            raised = f"raised {_named(problem, self.function)}"
            raise self._failed(self._culprits(answers), raised) from problem
        try:
            said = list(given)
        except TypeError as problem:
            raise self._failed(answers, f"gave {given!r}, which is no list of numbers") from problem
        if len(said) != len(answers):
            raise self._failed(answers, f"gave {len(said)} of {len(answers)} numbers")
        return [self._number(value, answer) for value, answer in zip(said, answers, strict=True)]

    def _culprits(self, answers: list[Answer]) -> list[Answer]:
        """The first answer that fails by itself; all where none does."""
        for answer in answers if len(answers) > 1 else ():
            try:
                called(self.function, [answer], self.timeout)
            except (Exception, SystemExit):  # as above
                return [answer]
        return answers

    def _number(self, value: object, answer: Answer) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]  # that is the question
        except (TypeError, ValueError) as problem:
            raise self._failed([answer], f"gave {value!r}, which is no number") from problem
        if not math.isfinite(number):
            raise self._failed([answer], f"gave {number}, which no policy can be paid")
        return number

    def _failed(self, answers: Sequence[Answer], what: str, otherwise: str = "") -> DataError:
        ids = ", ".join(dict.fromkeys(answer.id for answer in answers))
        return DataError(
            f"reward {self.name} {what}, for answers to the prompts {ids}; correct the function{otherwise}"
        )


def called(function: Function, answers: list[Answer], timeout: float) -> Sequence[float]:
    """What a function gives; TimeoutError after so many seconds.

    An async one is cancelled then; a plain one cannot be, and is left to itself in a thread that does not
    keep the program from ending.
    """
    done: Future[Sequence[float]] = Future()

    def run() -> None:
        try:
            given = function(answers)
            done.set_result(asyncio.run(_awaited(given, timeout)) if isinstance(given, Awaitable) else given)
        except BaseException as problem:  # to be raised where it was called from
            done.set_exception(problem)

    threading.Thread(target=run, daemon=True).start()
    return done.result(timeout + GRACE)


GRACE = 0.5
"""Seconds an async function has to be cancelled in."""


async def _awaited(given: Awaitable[Sequence[float]], timeout: float) -> Sequence[float]:
    return await asyncio.wait_for(given, timeout)


def _named(problem: BaseException, function: Function) -> str:
    """What was raised, and the last line of the function's own file on the way there."""
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    lines = [frame.lineno for frame in extract_tb(problem.__traceback__) if frame.filename == file]
    where = f" ({Path(file).name}, line {lines[-1]})" if file and lines else ""
    return f"{type(problem).__name__}: {problem}{where}"
