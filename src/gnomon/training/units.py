"""Comparisons as a reward model reads them: the answers to a prompt each once, and what was said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations
from statistics import fmean
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gnomon.kernels.branches import Branches, Group, in_turn, lay_out
from gnomon.models.branches import groups_of
from gnomon.models.load import LanguageModel
from gnomon.training.objective import Micro
from gnomon.training.pairs import EncodedPair, alike

Batching = Literal["pairs", "prompts", "rankings"]


@dataclass(frozen=True)
class Said:
    """What was said of two answers of a unit, by their places. One that is part of a `whole` order is learnt
    from as that."""

    first: int
    second: int
    preference: float
    weight: float
    strength: float
    whole: bool = False


@dataclass(frozen=True)
class Order:
    """Places of answers with the rank of each, 1 the best; equal ranks are ties."""

    places: tuple[int, ...]
    ranks: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Unit:
    """What is never parted: answers as rows of ids, and all that was said of pairs of them."""

    ids: tuple[str, ...]
    answers: tuple[tuple[int, ...], ...]
    pairs: tuple[Said, ...]
    orders: tuple[Order, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the longest answer with its prompt."""
        return max(map(len, self.answers))

    @property
    def weight(self) -> float:
        """What all pairs weigh."""
        return sum(pair.weight for pair in self.pairs)


class Units(NamedTuple):
    """Units laid out for one forward pass of one `body`. All else is of pairs, [pairs] each.

    `unit` is which of all units a pair is of, `first` and `second` are places among the answers laid out,
    `share` is what the pair weighs of the step, `alone` whether it is learnt from as a pair. `weight` is what
    the step weighs: 1 where its units weigh what all do on average.
    """

    rows: Branches
    body: int
    unit: Tensor
    first: Tensor
    second: Tensor
    preference: Tensor
    strength: Tensor
    share: Tensor
    alone: Tensor
    orders: "Orders | None"
    weight: float


class Orders(NamedTuple):
    """Rankings padded to the longest, [rankings, answers] each; `unit` and `share` [rankings] as of pairs."""

    unit: Tensor
    places: Tensor
    ranks: Tensor
    present: Tensor
    share: Tensor


def units_of(pairs: Sequence[EncodedPair], batching: Batching) -> tuple[Unit, ...]:
    """Each pair by itself, weights of 1 on average; or all of a prompt together, at the weight of one.

    All pairs of a prompt in one batch at 1 / (K choose 2) are eq. 1 of arXiv:2203.02155, where each answer is
    computed once. With `rankings` the pairs of one ranking stand for the order they come from, where they
    have one.
    """
    if batching == "pairs":
        mean = fmean(pair.weight for pair in pairs)
        return tuple(_over(_unit([pair]), mean) for pair in pairs)
    prompts: dict[tuple[int, ...], list[EncodedPair]] = {}
    for pair in pairs:
        start = pair.first.response_mask.index(True)
        prompts.setdefault(pair.first.ids[:start], []).append(pair)
    together = [_unit(own, whole=batching == "rankings") for own in prompts.values()]
    return tuple(_over(unit, unit.weight) for unit in together)


def _unit(pairs: Sequence[EncodedPair], *, whole: bool = False) -> Unit:
    places: dict[tuple[int, ...], int] = {}
    said: list[Said] = []
    ranked: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        first, second = (places.setdefault(row.ids, len(places)) for row in (pair.first, pair.second))
        strength = 1.0 if pair.strength is None else pair.strength
        said.append(Said(first, second, pair.preference, pair.weight, strength))
        if whole and pair.ranking is not None:
            ranked.setdefault(pair.ranking, []).append(number)
    orders: list[Order] = []
    for own in ranked.values():
        order = order_of([said[number] for number in own])
        if order is not None:
            orders.append(order)
            for number in own:
                said[number] = replace(said[number], whole=True)
    return Unit(tuple(pair.id for pair in pairs), tuple(places), tuple(said), tuple(orders))


def order_of(pairs: Sequence[Said]) -> Order | None:
    """The order that pairs of one ranking come from, ties left out or not; None where they tell of none.

    Answers are ordered by their points. Pairs must agree with it, and answers of which no pair is there must
    be tied in it: pairs that are only part of an order tell of no order, nor do circles. The order weighs
    what its pairs do over the choices made in it, one less than the answers.
    """
    points: dict[int, float] = {}
    told: dict[tuple[int, int], float] = {}
    for pair in pairs:
        low, high = sorted((pair.first, pair.second))
        preference = pair.preference if pair.first == low else 1 - pair.preference
        if low == high or told.setdefault((low, high), preference) != preference:
            return None
        points[low] = points.get(low, 0.0) + preference
        points[high] = points.get(high, 0.0) + 1 - preference
    for low, high in combinations(sorted(points), 2):
        ahead = 0.5 + 0.5 * ((points[low] > points[high]) - (points[low] < points[high]))
        if told.get((low, high), 0.5) != ahead:
            return None
    ranks = [1 + sum(other > own for other in points.values()) for own in points.values()]
    weight = sum(pair.weight for pair in pairs) / (len(points) - 1)
    return Order(tuple(points), tuple(ranks), weight)


def _over(unit: Unit, weight: float) -> Unit:
    """The same with its weights divided by this one."""
    return replace(
        unit,
        pairs=tuple(replace(pair, weight=pair.weight / weight) for pair in unit.pairs),
        orders=tuple(replace(order, weight=order.weight / weight) for order in unit.orders),
    )


def unit_micros(
    lm: LanguageModel, units: Sequence[Unit], chosen: Sequence[int], micro_tokens: int, bodies: int = 1
) -> list[Micro]:
    """A step's units, those `chosen` of all, in micro-batches of like length, once for each body.

    A unit of more than `micro_tokens` is alone in one.
    """
    total = sum(units[i].weight for i in chosen)
    weight = total / len(chosen)
    laid = {i: groups_of(lm, units[i].answers, micro_tokens) for i in chosen}
    parts = alike(lm, laid, chosen, micro_tokens)
    micros = [_micro(lm, units, {i: laid[i] for i in own}, total) for own in parts]
    return [
        replace(micro, tensors=micro.tensors._replace(body=body, weight=weight))
        for body in range(bodies)
        for micro in micros
    ]


def _micro(
    lm: LanguageModel, units: Sequence[Unit], laid: Mapping[int, Sequence[Group]], total: float
) -> Micro:
    answers = [ids for i in laid for ids in units[i].answers]
    groups = in_turn((own, len(units[i].answers)) for i, own in laid.items())
    starts = dict(zip(laid, accumulate((len(units[i].answers) for i in laid), initial=0), strict=False))
    said = [(i, pair) for i in laid for pair in units[i].pairs]
    batch = Units(
        rows=lay_out(answers, groups, lm.pad_id, lm.device),
        body=0,
        unit=torch.tensor([i for i, _ in said], device=lm.device),
        first=torch.tensor([starts[i] + pair.first for i, pair in said], device=lm.device),
        second=torch.tensor([starts[i] + pair.second for i, pair in said], device=lm.device),
        preference=torch.tensor([pair.preference for _, pair in said], device=lm.device),
        strength=torch.tensor([pair.strength for _, pair in said], device=lm.device),
        share=torch.tensor([pair.weight / total for _, pair in said], device=lm.device),
        alone=torch.tensor([not pair.whole for _, pair in said], device=lm.device),
        orders=_orders(lm, [(i, starts[i], order) for i in laid for order in units[i].orders], total),
        weight=1.0,
    )
    ids = tuple(name for i in laid for name in units[i].ids)
    return Micro(ids, batch, sum(map(len, answers)), batch.rows.size)


def _orders(lm: LanguageModel, found: Sequence[tuple[int, int, Order]], total: float) -> Orders | None:
    if not found:
        return None
    width = max(len(order.places) for _, _, order in found)
    places = torch.zeros(len(found), width, dtype=torch.long)
    ranks, present = torch.zeros_like(places), torch.zeros_like(places, dtype=torch.bool)
    for row, (_, start, order) in enumerate(found):
        count = len(order.places)
        places[row, :count] = torch.tensor(order.places) + start
        ranks[row, :count] = torch.tensor(order.ranks)
        present[row, :count] = True
    return Orders(
        torch.tensor([i for i, _, _ in found], device=lm.device),
        places.to(lm.device),
        ranks.to(lm.device),
        present.to(lm.device),
        torch.tensor([order.weight / total for _, _, order in found], device=lm.device),
    )
