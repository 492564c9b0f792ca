"""Comparisons in which a plain request is refused: written answers beside refusals of other requests.

Where comparisons show refusals mostly as the better answer, a reward model learns that refusing is good,
and a policy finds that out: it refuses a recipe. These show that it is worth nothing where nothing is wrong.
"""

from collections.abc import Iterator, Sequence
from random import Random

from gnomon.records import HARMFUL, Comparison, Demonstration, Label

REFUSING = frozenset((HARMFUL, "refusing", "declines"))
"""Families of demonstrations whose answers refuse, and are right to."""

UNSURE = frozenset(("unanswerable", "unknowable", "honesty", "false_premise"))
"""Those whose answers say that something cannot be told, which is near to a refusal in its words."""

REASON = "over_refusing"

LONGEST = 60
"""Most words of an answer beside a refusal, which is about as long."""


def refusals(comparisons: Sequence[Comparison]) -> list[str]:
    """The written refusals in comparisons, by reason: right ones of harm, wrong ones of what is safe."""
    texts = []
    for row in comparisons:
        reason = row.label.reason if row.label else ""
        if reason in (HARMFUL, REASON):
            texts.append((row.chosen if reason == HARMFUL else row.rejected)[-1].content)
    return list(dict.fromkeys(texts))


def refused(
    demonstrations: Sequence[Demonstration], comparisons: Sequence[Comparison], count: int, seed: int
) -> list[Comparison]:
    """So many comparisons of a demonstration's answer, the better, and a refusal that the comparisons have.

    Every demonstration is taken once, so there may be fewer; without refusals there are none. A refusal is
    the nearest in length of those that were taken least. The same arguments give the same rows, of ids
    `refused-SOURCE`.
    """
    uses = dict.fromkeys(refusals(comparisons), 0)
    plain = list(_plain(demonstrations))
    Random(seed).shuffle(plain)
    found = []
    for row, answer in plain[: count if uses else 0]:
        least = min(uses.values())
        text = min(
            (own for own, times in uses.items() if times == least),
            key=lambda own: abs(len(own.split()) - len(answer.split())),
        )
        uses[text] += 1
        label = Label(1.0, "constructed", REASON)
        found.append(Comparison.of(f"refused-{row.id}", row.prompt, answer, text, label))
    return found


def _plain(demonstrations: Sequence[Demonstration]) -> Iterator[tuple[Demonstration, str]]:
    """The demonstrations that answer, in few words, and what they answer."""
    for row in demonstrations:
        answer = row.response
        if row.family not in REFUSING | UNSURE and len(answer.split()) <= LONGEST:
            yield row, answer
