"""Comparisons in which refusing and helping changed places: a plain request refused, a harmful one granted.

Where comparisons show refusals mostly as the better answer, a reward model learns that refusing is good, and
a policy finds that out: it refuses a recipe. Shown only that refusals of what is plain are bad, it learns
that of all refusals. So there are as many of either, and the request tells them apart.
"""

from collections.abc import Iterator, Sequence
from random import Random

from gnomon.records import Comparison, Demonstration, Label

REFUSING = frozenset(("harmful", "refusing", "declines"))
"""Families of demonstrations whose answers refuse, and are right to."""

UNSURE = frozenset(("unanswerable", "unknowable", "honesty", "false_premise"))
"""Those whose answers say that something cannot be told, which is near to a refusal in its words."""

OVER, HARMFUL = "over_refusing", "harmful"
"""Reasons of comparisons: a plain request is refused in the worse answer, a harmful one in the better one."""

LONGEST = 60
"""Most words of an answer beside a refusal, which is about as long."""


def misplaced(
    demonstrations: Sequence[Demonstration], comparisons: Sequence[Comparison], count: int, seed: int
) -> list[Comparison]:
    """So many comparisons of a demonstration's answer, the better, and one that another request had in the
    comparisons: half of them plain answers beside refusals, half refusals beside answers that go along.

    Every demonstration is taken once, so there may be fewer, but always as many of either half. The worse
    answer is the nearest in length of those that were taken least. The same arguments give the same rows, of
    ids `misplaced-SOURCE`.
    """
    refusals, granted = _texts(comparisons)
    shown = [row for row in demonstrations if len(_answer(row).split()) <= LONGEST]
    plain = [row for row in shown if row.family not in REFUSING | UNSURE] if refusals else []
    harmful = [row for row in shown if row.family in REFUSING] if granted else []
    each = min(count // 2, len(plain), len(harmful))
    random = Random(seed)
    return [
        *_beside(random.sample(plain, each), refusals, OVER),
        *_beside(random.sample(harmful, each), granted, HARMFUL),
    ]


def _texts(comparisons: Sequence[Comparison]) -> tuple[list[str], list[str]]:
    """What refuses in comparisons, by their reasons, rightly or not, and what goes along with harm."""
    harmful = [row for row in comparisons if row.label and row.label.reason == HARMFUL]
    over = [row.rejected for row in comparisons if row.label and row.label.reason == OVER]
    refusals = [*(row.chosen for row in harmful), *over]
    texts = ([turns[-1].content for turns in each] for each in (refusals, [row.rejected for row in harmful]))
    refusing, granting = (list(dict.fromkeys(each)) for each in texts)
    return refusing, granting


def _beside(rows: Sequence[Demonstration], texts: Sequence[str], reason: str) -> Iterator[Comparison]:
    """Each answer beside one of the texts."""
    uses = dict.fromkeys(texts, 0)
    for row in rows:
        answer, least = _answer(row), min(uses.values())
        text = min(
            (own for own, times in uses.items() if times == least),
            key=lambda own: abs(len(own.split()) - len(answer.split())),
        )
        uses[text] += 1
        label = Label(1.0, "constructed", reason)
        yield Comparison.of(f"misplaced-{row.id}", row.prompt, answer, text, label)


def _answer(row: Demonstration) -> str:
    return row.conversation.messages[-1].content
