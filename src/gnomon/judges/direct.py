"""One answer by itself under a criterion: how well it keeps it, from log-probs and from nothing said."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gnomon.judges.asking import asked_again
from gnomon.judges.choosing import LettersEngine
from gnomon.judges.judgement import Criterion
from gnomon.judges.pairwise import framed, framing_ratios
from gnomon.judges.reward_model import answered
from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.records import Conversation, Message
from gnomon.rollouts.letters import Letters

NUMBERS = tuple(str(number) for number in range(1, 11))

RATE = "Reply with a number from 1 (it breaks the rule) to 10 (it keeps the rule in full), and nothing else."


class Asked(NamedTuple):
    """An answer to a conversation, and what it is held against; one that was cut off has not `ended`."""

    prompt: Conversation
    answer: str
    criterion: Criterion
    ended: bool = True


Grade = Callable[[Sequence[Asked]], list[float | None]]
"""One number for each answer, higher is better; None where nothing that can be read is said of it."""

Rates = Callable[[Sequence[Conversation]], Sequence[Sequence[float]]]
"""Of each request the log-probs in nats of `NUMBERS` as the reply; nothing where none of them is told."""


def contrast_grade(lm: LanguageModel) -> Grade:
    """Nats by which an answer is likelier where the principle is asked for than where its breach is.

    The log-likelihood ratio that `ContrastJudge` takes the difference of. Prompts under one framing are read
    once for all of their answers.
    """

    def grade(asked: Sequence[Asked]) -> list[float | None]:
        rows = [_framed_row(lm, one, affirm=affirm) for one in asked for affirm in (True, False)]
        return [*framing_ratios(rows, lambda prompts, answers: sequence_logps(lm, prompts, answers))]

    return grade


def rating_grade(rates: Rates) -> Grade:
    """The mean of the ratings 1 to 10, each by its likelihood among them, brought to lie from -1 to 1.

    The reward of d-RLAIF (Lee et al., arXiv:2309.00267, section 2.2.2).
    """

    def grade(asked: Sequence[Asked]) -> list[float | None]:
        told = rates([Conversation.of(rating_request(one)) for one in asked])
        return [mean_rating(logps) if logps else None for logps in told]

    return grade


def mean_rating(logps: Sequence[float]) -> float:
    """2 (m - 1) / 9 - 1, where m is the mean of 1 to 10 under these log-probs, normalised among them."""
    largest = max(logps)
    weights = [math.exp(logp - largest) for logp in logps]
    mean = sum(number * weight for number, weight in enumerate(weights, start=1)) / sum(weights)
    return 2 * (mean - 1) / (len(NUMBERS) - 1) - 1


def rating_request(asked: Asked) -> str:
    """The request, the answer, the rule, and the form of the reply."""
    return (
        f"Request: {asked.prompt.text}\n\nAnswer: {asked.answer}\n\nRule: {asked.criterion.text}\n\n"
        f"How well does the answer keep to the rule? {RATE}"
    )


def local_rates(lm: LanguageModel) -> Rates:
    """A model in memory: each number with the end of its turn, so that 1 is not how 10 begins.

    What the ten share, which is all of the request, is read once.
    """

    def rates(requests: Sequence[Conversation]) -> list[list[float]]:
        prompts = [lm.encode_prompt(talk) for talk in requests]
        rows = [
            (prompt, lm.encode(talk.then(Message("assistant", number))).ids[len(prompt) :])
            for talk, prompt in zip(requests, prompts, strict=True)
            for number in NUMBERS
        ]
        told = sequence_logps(lm, [prompt for prompt, _ in rows], [reply for _, reply in rows])
        logps = [float(row.sum()) for row in told]
        return [logps[start : start + len(NUMBERS)] for start in range(0, len(logps), len(NUMBERS))]

    return rates


def served_rates(engine: LettersEngine) -> Rates:
    """A model on a server that tells log-probs of chat answers, at the concurrency it is asked at.

    An answer that begins with no number is asked for again.
    """

    def choose(requests: Sequence[Conversation], attempt: int) -> list[Letters]:
        return engine.choose(requests, NUMBERS, attempt)

    def rates(requests: Sequence[Conversation]) -> list[tuple[float, ...]]:
        return [own.logps for own in asked_again(choose, requests, lambda own: bool(own.logps))]

    return rates


def _framed_row(lm: LanguageModel, asked: Asked, *, affirm: bool) -> tuple[list[int], tuple[int, ...]]:
    talk = framed(asked.prompt, asked.criterion, affirm=affirm)
    prompt = lm.encode_prompt(talk)
    ids = answered(lm, talk, (Message("assistant", asked.answer),), ended=asked.ended)
    return prompt, ids[len(prompt) :]
