"""Pairs of answers of the current policy, waiting for somebody to say which is the better."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gnomon.errors import DataError
from gnomon.records import Comparison, Message, Prompt
from gnomon.rollouts.engine import Engine, Sampling

SAMPLING = Sampling(temperature=1.0)
"""The policy as it is: a judgement of these answers says something about the policy's own."""

ATTEMPTS = 4
"""Times a prompt is asked before its answers count as alike."""

BATCH = 32
"""Pairs sampled together."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """The pairs, and how many were skipped by reason."""

    pairs: tuple[Comparison, ...]
    skipped: Counter[str]


@dataclass(frozen=True, slots=True)
class _Question:
    """A pair to be: its id says seed and number."""

    id: str
    prompt: Prompt


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
    questions = _questions(prompts, count, seed)
    pairs: list[Comparison] = []
    skipped: Counter[str] = Counter()
    for start in range(0, count, BATCH):
        waiting = questions[start : start + BATCH]
        for attempt in range(ATTEMPTS):
            drawn = Random(f"{seed}/{start}/{attempt}").randrange(2**32)
            found, failed = _ask(engine, waiting, sampling, drawn, only_ended=only_ended)
            pairs += found
            waiting = [question for question, _ in failed]
            if not waiting:
                break
        skipped.update(reason for _, reason in failed)
        if progress:
            progress(min(count, start + BATCH), count)
    if not pairs:
        reasons = ", ".join(f"{reason} for {n}" for reason, n in skipped.items())
        raise DataError(f"no two answers of this policy can be compared ({reasons}); take other prompts")
    order = {question.id: place for place, question in enumerate(questions)}
    shown = [pair.swap() if Random(pair.id).random() < 0.5 else pair for pair in pairs]
    return Collected(tuple(sorted(shown, key=lambda pair: order[pair.id])), skipped)


def _questions(prompts: Sequence[Prompt], count: int, seed: int) -> list[_Question]:
    if not prompts:
        raise DataError("there are no prompts to collect answers to; give a file with some")
    rng = Random(seed)
    drawn: list[Prompt] = []
    while len(drawn) < count:
        drawn += rng.sample(prompts, len(prompts))
    return [_Question(f"{prompt.id}/{seed}.{number}", prompt) for number, prompt in enumerate(drawn[:count])]


def _ask(
    engine: Engine, questions: Sequence[_Question], sampling: Sampling, seed: int, *, only_ended: bool
) -> tuple[list[Comparison], list[tuple[_Question, str]]]:
    """The pairs that can be judged, and the questions whose answers cannot, each with the reason."""
    conversations = [question.prompt.conversation for question in questions for _ in range(2)]
    samples = engine.answer(conversations, sampling, seed)
    pairs: list[Comparison] = []
    failed: list[tuple[_Question, str]] = []
    for question, first, second in zip(questions, samples[::2], samples[1::2], strict=True):
        if not (first.text and second.text):
            failed.append((question, "empty"))
        elif only_ended and not (first.ended and second.ended):
            failed.append((question, "cut off"))
        elif first.text == second.text:
            failed.append((question, "identical"))
        else:
            one, other = (Message("assistant", sample.text) for sample in (first, second))
            pairs.append(Comparison(question.id, question.prompt.conversation, (one,), (other,)))
    return pairs, failed
