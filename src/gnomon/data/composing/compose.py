"""Demonstrations of obeying constraints on form, composed from demonstrations that have none."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from gnomon.data.composing.draft import Draft, draft_of
from gnomon.data.composing.kinds import KINDS, Kind
from gnomon.data.composing.measure import words
from gnomon.data.composing.phrasing import phrased
from gnomon.data.composing.published import Choice, practised
from gnomon.data.composing.wordings import Constraint, worded
from gnomon.records import Conversation, Demonstration

FAMILY = "composed"

NUMBERS = (1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3)
"""Constraints of a row, drawn from these."""

REUSES = 3
"""Rows of one kind from one demonstration."""

BESIDE = 70
"""Most words of an answer that stands beside another."""


class Composition(NamedTuple):
    """A composed row and what its request asks of the answer."""

    row: Demonstration
    constraints: tuple[Constraint, ...]


def composed(
    demonstrations: Sequence[Demonstration], count: int, seed: int, choice: Choice = "all"
) -> list[Demonstration]:
    """So many rows of family `composed`; fewer where the demonstrations do not give as many.

    Each is a written request with one to three constraints that a program can verify, of the kinds of
    arXiv:2311.07911, and the written answer: as it is where it obeys them, else changed so that it does.
    Kinds and demonstrations take turns; the same arguments give the same rows. Ids are `composed-SOURCE-N`.
    `practised` leaves out the kinds that are held out.
    """
    return [composition.row for composition in compositions(demonstrations, count, seed, choice)]


def compositions(
    demonstrations: Sequence[Demonstration], count: int, seed: int, choice: Choice = "all"
) -> list[Composition]:
    """The same rows, each with its constraints."""
    rng = Random(seed)
    kinds = [kind for kind in KINDS if choice == "all" or practised(kind.name)]
    usable = [(row.id, draft) for row in demonstrations if (draft := draft_of(row))]
    ids, drafts = [name for name, _ in usable], _paired([draft for _, draft in usable], rng)
    waiting = {kind.name: _turns(kind, drafts, rng) for kind in kinds}
    taken, uses = dict.fromkeys(waiting, 0), [0] * len(drafts)
    found: dict[str, Composition] = {}
    while len(found) < count:
        left = [kind for kind in kinds if waiting[kind.name]]
        if not left:
            break
        kind = min(left, key=lambda kind: taken[kind.name] / kind.weight)
        index = min(waiting[kind.name], key=uses.__getitem__)
        waiting[kind.name].remove(index)
        made = _compose(drafts[index], kind, kinds, rng)
        if made is None or made[0] in found:
            continue
        request, answer, constraints = made
        uses[index] += 1
        for constraint in constraints:
            taken[constraint.kind] += 1
        row = Demonstration(f"composed-{ids[index]}-{uses[index]}", Conversation.of(request, answer), FAMILY)
        found[request] = Composition(row, constraints)
    return list(found.values())


def _paired(drafts: Sequence[Draft], rng: Random) -> list[Draft]:
    """The drafts, those that answer a plain question in one paragraph with another such one beside them."""
    plain = [
        draft
        for draft in drafts
        if draft.shape == "prose"
        and draft.voice == "answer"
        and not draft.ruled
        and words(draft.answer).most <= BESIDE
    ]
    beside = rng.sample(plain, len(plain))
    others = {id(one): other for one, other in zip(beside, beside[1:] + beside[:1], strict=True)}
    return [
        replace(draft, beside=(others[id(draft)].request, others[id(draft)].answer))
        if id(draft) in others and others[id(draft)] is not draft
        else draft
        for draft in drafts
    ]


def _turns(kind: Kind, drafts: Sequence[Draft], rng: Random) -> list[int]:
    """The places of the drafts that suit a kind, in random order, as often as each may be taken."""
    suited = [place for place, draft in enumerate(drafts) if kind.suits(draft)]
    rng.shuffle(suited)
    return suited * REUSES


def _compose(
    draft: Draft, wanted: Kind, kinds: Sequence[Kind], rng: Random
) -> tuple[str, str, tuple[Constraint, ...]] | None:
    """A request and answer with a constraint of the wanted kind and up to two others; None where it fails."""
    held: list[Constraint] = []
    for kind in _chosen(draft, wanted, kinds, rng):
        step = kind.apply(draft, rng)
        if step is not None:
            draft, constraint = step
            held.append(constraint)
        elif kind is wanted:
            return None
    others = [constraint for constraint in held if constraint.kind != "repeat"]
    request = phrased(draft.request, others, rng, lines=len(others) == len(held))
    if len(others) == len(held):
        return request, draft.answer, tuple(held)
    return _repeated(request, draft.answer, others, rng)


def _chosen(draft: Draft, wanted: Kind, kinds: Sequence[Kind], rng: Random) -> list[Kind]:
    """The wanted kind and some that suit the draft beside it, in the order in which they are applied."""
    chosen = [wanted]
    for _ in range(rng.choice(NUMBERS) - 1):
        left = [kind for kind in kinds if kind.suits(draft) and all(map(kind.beside, chosen))]
        if left:
            chosen += rng.choices(left, [kind.weight for kind in left])
    return sorted(chosen, key=KINDS.index)


def _repeated(
    request: str, answer: str, others: Sequence[Constraint], rng: Random
) -> tuple[str, str, tuple[Constraint, ...]]:
    """The request with the demand, above or below it, that it be said first, and the answer that does so."""
    where = rng.choice(("repeat_above", "repeat_below"))
    demand = worded(Constraint(where, {}), "sentences", rng) or ""
    asked = [demand, request] if where == "repeat_below" else [request, demand]
    constraint = Constraint("repeat", {"text": request})
    return rng.choice(("\n\n", "\n")).join(asked), f"{request}\n\n{answer}", (*others, constraint)
