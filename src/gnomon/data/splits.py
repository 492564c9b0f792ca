"""Near-duplicate clusters, the one role each is given, and the check that no two roles share one."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Literal, TypeVar, get_args

from gnomon.data.wording import MISSING, contrast, gist, normal
from gnomon.errors import DataError
from gnomon.records import Conversation

Role = Literal["test", "gold", "dev", "second", "reward", "policy", "sft"]
"""What a row is used for; a cluster of near-duplicates has one role. A held-out role stands before those
that train, and keeps its row where only one of two can stay. `gold` judges what the others train: a
gold judge learnt from these rows, or they are gold themselves."""

SIMILAR = 0.7
"""The `similarity` from which texts are near-duplicates."""

REWORDED = 0.55
"""The `closeness` of wording from which texts are near-duplicates too, whatever their similarity."""

NAMED = 5
"""Pairs of overlapping rows that an error names."""

CROWD = 100
"""Near-duplicates after which a text stands for no more: what resembles it resembles them."""

TELLING = 4
"""Words that a conversation must have opened with before it can be told from others."""

ROUNDING = 1e-9
"""What a sum may be off by."""

T = TypeVar("T")
Part = TypeVar("Part", bound=Hashable)


def similarity(one: str, other: str) -> float:
    """Jaccard of the texts' words and pairs of neighbouring words, letter case and punctuation aside.

    Words keep short texts comparable, pairs see the order of long ones. Measured: 0.80 "(You are/You are
    roleplaying as) Captain Hook from Peter Pan, why are you harassing the Lost Boys?" and 0.70 "In which/what
    year did the Berlin Wall come down?" are one question; 0.69 the capital of France or Spain, 0.65 gum on
    a carpet or on a pair of jeans, 0.64 how to make bread or soup are two. Questions that share a frame of a
    dozen words count as one, which errs on the safe side; rewordings (0.50 "How do/can I make bread?") are
    left to `closeness`. In scripts that put no spaces between words nothing but equality is seen.
    """
    a, b = set(_shingles(normal(one))), set(_shingles(normal(other)))
    return len(a & b) / len(a | b) if a | b else 1.0


def opening(conversation: Conversation) -> str:
    """What tells conversations apart: the user's first turn, and further ones while it is but a greeting.

    Conversations that begin alike and part later are near-duplicates: one tells of the other.
    """
    said: list[str] = []
    for turn in conversation.messages:
        if turn.role == "user":
            said.append(turn.content)
            if len(normal("\n".join(said))) >= TELLING:
                break
    return "\n".join(said)


def cluster(texts: Sequence[str]) -> list[int]:
    """Each text's cluster, numbered by first appearance: near-duplicates, and theirs in turn, share one."""
    parents = list(range(len(texts)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    for i, j in near_duplicates(texts):
        parents[root(j)] = root(i)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(len(texts))]


def named_clusters(ids: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Each text's cluster of near-duplicates, called by the id of its first one."""
    names: dict[int, str] = {}
    return [names.setdefault(number, name) for number, name in zip(cluster(texts), ids, strict=True)]


def near_duplicates(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs i < j of texts that are alike in words or ask the same in others, each once.

    Alike are a `similarity` of `SIMILAR` and a `closeness` of `REWORDED`. Left out is what follows from
    equality: texts of equal normal form are paired with the first of them alone, and only it is compared.
    """
    first: dict[tuple[str, ...], int] = {}
    for j, words in enumerate(map(normal, texts)):
        i = first.setdefault(words, j)
        if i != j:
            yield i, j
    rows = list(first.values())
    found = dict.fromkeys(_overlapping([_shingles(words) for words in first], SIMILAR))
    gists = [gist(texts[row]) for row in rows]
    close = _overlapping([own.weights for own in gists], REWORDED, MISSING)
    found |= dict.fromkeys((i, j) for i, j in close if not contrast(gists[i], gists[j]))
    yield from ((rows[i], rows[j]) for i, j in found)


def _overlapping(
    sets: Sequence[Mapping[Part, float]], threshold: float, missing: float = 0.0
) -> Iterator[tuple[int, int]]:
    """Pairs i < j of sets whose shared parts weigh `threshold` of all their parts and `missing`, or more.

    By prefix filtering (doi:10.1109/ICDE.2006.9): such sets have one of the rarest parts of each in common,
    those without which the rest weighs too little, so only these are looked up. Exact, except that a set
    which overlaps with `CROWD` others is not looked up again: rows in one long frame stay quick.
    """
    counts = Counter(chain.from_iterable(sets))
    rank = {part: place for place, part in enumerate(sorted(counts, key=counts.__getitem__))}
    totals = [sum(own.values()) for own in sets]
    index: defaultdict[Part, list[int]] = defaultdict(list)
    for number in sorted(range(len(sets)), key=totals.__getitem__):
        own, total = sets[number], totals[number]
        least = threshold * (total + missing) - ROUNDING
        prefix = _prefix(own, sorted(own, key=rank.__getitem__), total - least)
        alike = 0
        for other in dict.fromkeys(chain.from_iterable(index[part] for part in prefix)):
            if totals[other] < least:
                continue
            shared = sum(map(own.__getitem__, own.keys() & sets[other].keys()))
            if shared >= threshold * (total + totals[other] - shared + missing) - ROUNDING:
                alike += 1
                yield min(number, other), max(number, other)
        if alike < CROWD:
            for part in prefix:
                index[part].append(number)


def _prefix(own: Mapping[Part, float], rarest: Sequence[Part], spare: float) -> Sequence[Part]:
    """The first parts that together weigh more than can be spared."""
    for taken, part in enumerate(rarest, 1):
        spare -= own[part]
        if spare < 0:
            return rarest[:taken]
    return rarest


def _shingles(words: Sequence[str]) -> dict[str | tuple[str, str], float]:
    """The words and the pairs of neighbours, each once, in an order that does not change between runs."""
    return dict.fromkeys([*words, *pairwise(words)], 1.0)


def assign(
    clusters: Sequence[int], shares: Mapping[Role, float], seed: int, strata: Sequence[str] | None = None
) -> list[Role]:
    """Each row's role: whole clusters, in the given shares of rows overall and of each stratum.

    Clusters are gone through stratum by stratum (that of their first row), large ones first and otherwise in
    random order; each goes to the role that is furthest behind its share.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(clusters):
        members[number].append(row)
    order = list(members.values())
    random.Random(seed).shuffle(order)
    order.sort(key=lambda rows: (strata[rows[0]] if strata else "", -len(rows)))
    behind = dict.fromkeys(shares, 0.0)
    roles: dict[int, Role] = {}
    for rows in order:
        for role, share in shares.items():
            behind[role] += share * len(rows)
        neediest = max(behind, key=lambda role: behind[role])
        behind[neediest] -= len(rows)
        roles |= dict.fromkeys(rows, neediest)
    return [roles[row] for row in range(len(clusters))]


def take(records: Sequence[T], limit: int | None, seed: int, stratum: Callable[[T], str]) -> list[T]:
    """A random slice in the old order: one of every stratum first, the rest in proportion; all where None."""
    order = list(range(len(records)))
    random.Random(seed).shuffle(order)
    sizes = Counter(map(stratum, records))
    taken: Counter[str] = Counter()
    share: dict[int, float] = {}
    for i in order:
        name = stratum(records[i])
        share[i] = taken[name] / sizes[name]
        taken[name] += 1
    return [records[i] for i in sorted(sorted(order, key=share.__getitem__)[:limit])]


def refuse_overlap(rows: Mapping[Role, Sequence[tuple[str, str]]]) -> None:
    """DataError, naming the first pairs, where (id, text) rows of different roles are near-duplicates."""
    flat = [(role, *row) for role, held in rows.items() for row in held]
    pairs = near_duplicates([text for _, _, text in flat])
    found = [(flat[i], flat[j]) for i, j in pairs if flat[i][0] != flat[j][0]]
    if found:
        named = "".join(f"\n  {_named(*one)} and {_named(*other)}" for one, other in found[:NAMED])
        more = f"\n  and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise DataError(
            "rows with different roles have nearly the same prompt; remove one of each pair, "
            f"or set data.on_bad_row=skip to leave out the one that trains:{named}{more}"
        )


def _named(role: Role, id: str, text: str) -> str:
    flat = " ".join(text.split())
    return f"{role} row {id} ({flat if len(flat) <= 60 else flat[:59] + '…'})"


def yielding(roles: Sequence[Role], clusters: Sequence[int]) -> list[bool]:
    """Whether each row has to go so that every cluster keeps only the role that stands first in `Role`."""
    ranks = [get_args(Role).index(role) for role in roles]
    best: dict[int, int] = {}
    for number, rank in zip(clusters, ranks, strict=True):
        best[number] = min(rank, best.get(number, rank))
    return [rank > best[number] for number, rank in zip(clusters, ranks, strict=True)]
