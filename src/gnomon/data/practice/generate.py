"""Prompts for practice: requests in every topic, each with one to three constraints that go together."""

from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from gnomon.data.composing.phrasing import phrased
from gnomon.data.composing.wordings import Constraint
from gnomon.data.practice.kinds import KINDS, Kind
from gnomon.data.practice.tasks import Task, tasks
from gnomon.data.splits import near_duplicates
from gnomon.errors import DataError
from gnomon.records import Conversation, Prompt

FAMILY = "verifiable"

NUMBERS = (1, 1, 1, 1, 2, 2, 2, 2, 3, 3)
"""Constraints of a prompt, drawn from these."""

SPARE = 40
"""Prompts made beyond twice those asked for, before all are made."""


class Made(NamedTuple):
    """A prompt, the request in it and the constraints put on it, in the order of its checks."""

    prompt: Prompt
    task: Task
    constraints: tuple[Constraint, ...]


def practice(count: int, seed: int, *, apart: bool = False) -> list[Prompt]:
    """So many prompts with checks, no two nearly the same; the seed decides which.

    Those made `apart` are of topics that the others never have. Fewer are the first of more. DataError where
    there are not as many.
    """
    return [made.prompt for made in prompts_made(count, seed, apart=apart)]


def prompts_made(count: int, seed: int, *, apart: bool = False) -> list[Made]:
    """The same, with what they were made of."""
    stem = f"{FAMILY}-apart" if apart else FAMILY
    order = tasks(apart=apart)
    Random(f"{seed}/{stem}").shuffle(order)
    made = _distinct(_composed(order[: 2 * count + SPARE], f"{seed}/{stem}"))
    if len(made) < count:
        made = _distinct(_composed(order, f"{seed}/{stem}"))
    if len(made) < count:
        raise DataError(f"verifiable:{count}: there are {len(made)} such prompts; ask for as many or fewer")
    return [
        each._replace(prompt=replace(each.prompt, id=f"{stem}-{number:04d}"))
        for number, each in enumerate(made[:count], start=1)
    ]


def _composed(order: list[Task], seed: str) -> list[Made]:
    """A prompt of every task; kinds of constraint take turns by their weight."""
    taken = dict.fromkeys((kind.name for kind in KINDS), 0)
    found = []
    for place, task in enumerate(order):
        rng = Random(f"{seed}/{place}")
        suited = [kind for kind in KINDS if kind.suits(task)]
        wanted = min(suited, key=lambda kind: taken[kind.name] / kind.weight)
        chosen = _chosen(wanted, suited, rng)
        for kind in chosen:
            taken[kind.name] += 1
        found.append(constrained(task, chosen, rng))
    return found


def _chosen(wanted: Kind, suited: list[Kind], rng: Random) -> list[Kind]:
    """The wanted kind and up to two others that go with it and with each other."""
    chosen = [wanted]
    for _ in range(rng.choice(NUMBERS) - 1):
        left = [kind for kind in suited if all(map(kind.beside, chosen))]
        if left:
            chosen += rng.choices(left, [kind.weight for kind in left])
    return chosen


def constrained(task: Task, kinds: list[Kind], rng: Random) -> Made:
    """A task with a constraint of each kind, put into words at random; its id is still to be given."""
    constraints: list[Constraint] = []
    checks: list[dict[str, Any]] = []
    for kind in kinds:
        values, check = kind.draw(rng, task)
        constraints.append(Constraint(kind.name, values))
        checks.append(dict(check))
    text = phrased(task.request, constraints, rng)
    family = f"{FAMILY}_{kinds[0].name}"
    return Made(Prompt("", Conversation.of(text), family, tuple(checks)), task, tuple(constraints))


def _distinct(made: list[Made]) -> list[Made]:
    """Without those that are nearly the same as one before that stays."""
    texts = [each.prompt.conversation.text for each in made]
    gone: set[int] = set()
    for i, j in sorted(near_duplicates(texts), key=lambda pair: (pair[1], pair[0])):
        if i not in gone:
            gone.add(j)
    return [each for place, each in enumerate(made) if place not in gone]
