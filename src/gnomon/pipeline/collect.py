"""Pairs of answers of the current policy, waiting for somebody to say which is the better."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from gnomon.errors import DataError
from gnomon.records import Comparison, Message, Prompt
from gnomon.rollouts.engine import Engine, Sample, Sampling

SAMPLING = Sampling(temperature=1.0)
"""The policy as it is: a judgement of these answers says something about the policy's own."""

ATTEMPTS = 4
"""Times a prompt is asked before its answers count as alike."""

BATCH = 32
"""Pairs sampled together."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Asking:
    """A round of questions: a policy by its checked reference, prompts, and the seed that orders them.

    The same of all that, weights included, is the same round, however many pairs of it are wanted.
    """

    policy: str
    prompts: Sequence[Prompt]
    seed: int
    sampling: Sampling = SAMPLING


class Question(NamedTuple):
    """A pair to be: its id says seed and number; `propensity` is the probability with which its prompt was
    drawn out of those that were left."""

    id: str
    prompt: Prompt
    propensity: float


class Pair(NamedTuple):
    """Two answers that differ, and how they came about: how often they were asked for until they did, and
    the engine's samples of the first and of the second."""

    comparison: Comparison
    question: Question
    attempts: int
    samples: tuple[Sample, Sample]


class Batch(NamedTuple):
    """What came of some questions; `asked` counts those of earlier batches too."""

    pairs: tuple[Pair, ...]
    skipped: Counter[str]
    asked: int


@dataclass(frozen=True, slots=True)
class Collected:
    """The pairs, and how many were skipped by reason."""

    pairs: tuple[Comparison, ...]
    skipped: Counter[str]


def answer_pairs(
    engine: Engine,
    prompts: Sequence[Prompt],
    count: int,
    seed: int,
    progress: Progress | None = None,
    sampling: Sampling = SAMPLING,
    *,
    only_ended: bool = False,
) -> Collected:
    """Two different answers to each of `count` prompts, in an order drawn by `seed`.

    Prompts come in a seeded order, and again where there are fewer than `count`. Answers that are equal or
    empty (with `only_ended` also those cut off) are sampled again a few times, then counted and skipped.
    DataError where there are no prompts, or no pairs.
    """
    pairs: list[Comparison] = []
    skipped: Counter[str] = Counter()
    for batch in answered(engine, questions(prompts, count, seed), seed, sampling, only_ended=only_ended):
        pairs += [pair.comparison for pair in batch.pairs]
        skipped.update(batch.skipped)
        if progress:
            progress(batch.asked, count)
    if not pairs:
        raise nothing_to_compare(skipped)
    return Collected(tuple(pairs), skipped)


def nothing_to_compare(skipped: Counter[str]) -> DataError:
    """What to tell where every question was skipped."""
    reasons = ", ".join(f"{reason} for {n}" for reason, n in skipped.items())
    return DataError(f"no two answers of this policy can be compared ({reasons}); take other prompts")


def questions(prompts: Sequence[Prompt], count: int, seed: int) -> list[Question]:
    """`count` prompts in an order drawn by `seed`, all of them before any comes again: a larger count begins
    with the same. DataError where there are none."""
    if not prompts:
        raise DataError("there are no prompts to collect answers to; give a file with some")
    rng = Random(seed)
    drawn: list[Prompt] = []
    while len(drawn) < count:
        drawn += rng.sample(prompts, len(prompts))
    return [
        Question(f"{prompt.id}/{seed}.{number}", prompt, 1 / (len(prompts) - number % len(prompts)))
        for number, prompt in enumerate(drawn[:count])
    ]


def answered(
    engine: Engine,
    asked: Sequence[Question],
    seed: int,
    sampling: Sampling = SAMPLING,
    start: int = 0,
    *,
    only_ended: bool = False,
) -> Iterator[Batch]:
    """The pairs of questions from number `start` on, a batch at a time, in their order; either answer may
    come first, as the question's id draws."""
    for begin in range(start, len(asked), BATCH):
        waiting: Sequence[Question] = asked[begin : begin + BATCH]
        found: dict[str, Pair] = {}
        failed: list[tuple[Question, str]] = []
        for attempt in range(ATTEMPTS):
            drawn = Random(f"{seed}/{begin}/{attempt}").randrange(2**32)
            failed = []
            for question, samples in _sampled(engine, waiting, sampling, drawn):
                if reason := _unusable(*samples, only_ended=only_ended):
                    failed.append((question, reason))
                else:
                    found[question.id] = _pair(question, attempt + 1, samples)
            waiting = [question for question, _ in failed]
            if not waiting:
                break
        pairs = [found[question.id] for question in asked[begin : begin + BATCH] if question.id in found]
        skipped = Counter(reason for _, reason in failed)
        yield Batch(tuple(pairs), skipped, min(len(asked), begin + BATCH))


def _sampled(
    engine: Engine, waiting: Sequence[Question], sampling: Sampling, seed: int
) -> Iterator[tuple[Question, tuple[Sample, Sample]]]:
    conversations = [question.prompt.conversation for question in waiting for _ in range(2)]
    samples = engine.answer(conversations, sampling, seed)
    for question, first, second in zip(waiting, samples[::2], samples[1::2], strict=True):
        yield question, (first, second)


def _unusable(first: Sample, second: Sample, *, only_ended: bool) -> str | None:
    """Why two answers cannot be judged against each other, or None."""
    if not (first.text and second.text):
        return "empty"
    if only_ended and not (first.ended and second.ended):
        return "cut off"
    return "identical" if first.text == second.text else None


def _pair(question: Question, attempts: int, samples: tuple[Sample, Sample]) -> Pair:
    first, second = samples[::-1] if Random(question.id).random() < 0.5 else samples
    one, other = (Message("assistant", sample.text) for sample in (first, second))
    comparison = Comparison(question.id, question.prompt.conversation, (one,), (other,))
    return Pair(comparison, question, attempts, (first, second))
