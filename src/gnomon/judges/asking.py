"""What says nothing that can be read, asked for again."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

RETRIES = 3
"""How often a server is asked again for what cannot be read, before that is counted as unreadable."""


def asked_again(
    ask: Callable[[Sequence[Q], int], Sequence[A]],
    questions: Sequence[Q],
    readable: Callable[[A], bool],
    retries: int = RETRIES,
) -> list[A]:
    """The answers to questions, those that are not `readable` asked for again, so many times at most.

    `ask` is told which attempt it is, from 0: a later one has to be another draw, and another request to
    whoever keeps replies, or it would meet the same answer.
    """
    answers = list(ask(questions, 0))
    for attempt in range(1, retries + 1):
        silent = [i for i, answer in enumerate(answers) if not readable(answer)]
        if not silent:
            break
        for i, answer in zip(silent, ask([questions[i] for i in silent], attempt), strict=True):
            answers[i] = answer
    return answers
