"""Near-duplicate clusters, the one role each is given, and the check that no two roles share one."""

import math
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Literal, TypeVar, get_args

from gnomon.errors import DataError
from gnomon.records import Conversation

Role = Literal["test", "dev", "second", "reward", "policy", "sft"]
"""What a row is used for; a cluster of near-duplicates has one role. A held-out role stands before those
that train, and keeps its row where only one of two can stay."""

SIMILAR = 0.7
"""The similarity from which texts are near-duplicates; `similarity` tells what that means."""

NAMED = 5
"""Pairs of overlapping rows that an error names."""

CROWD = 100
"""Near-duplicates after which a text stands for no more: what resembles it resembles them."""

TELLING = 4
"""Words that a conversation must have opened with before it can be told from others."""

T = TypeVar("T")
Shingle = str | tuple[str, str]

# Operators are words, since 12 - 5 is not 12 + 5; the hyphen of a compound is not one.
_WORD = re.compile(r"\w+(?:'\w+)*|[+*/×÷^=<>]|(?<![^\W\d])-(?![^\W\d])")


def similarity(one: str, other: str) -> float:
    """Jaccard of the texts' words and pairs of neighbouring words, letter case and punctuation aside.

    Words keep short texts comparable, pairs see the order of long ones. Measured: 0.80 "(You are/You are
    roleplaying as) Captain Hook from Peter Pan, why are you harassing the Lost Boys?" and 0.70 "In which/what
    year did the Berlin Wall come down?" are one question; 0.69 the capital of France or Spain, 0.65 gum on
    a carpet or on a pair of jeans, 0.64 how to make bread or soup are two. Questions that share a frame of a
    dozen words count as one, which errs on the safe side; paraphrases are not seen (0.50 "How do/can I make
    bread?"), nor is anything but equality in scripts that put no spaces between words.
    """
    a, b = set(_shingles(normal(one))), set(_shingles(normal(other)))
    return len(a & b) / len(a | b) if a | b else 1.0


def normal(text: str) -> tuple[str, ...]:
    """The words of a text in order, folded; of a text without words, what stands between its spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(_WORD.findall(folded) or folded.split())


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


def cluster(texts: Sequence[str], threshold: float = SIMILAR) -> list[int]:
    """Each text's cluster, numbered by first appearance: near-duplicates, and theirs in turn, share one."""
    parents = list(range(len(texts)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    for i, j in near_duplicates(texts, threshold):
        parents[root(j)] = root(i)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(len(texts))]


def named_clusters(ids: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Each text's cluster of near-duplicates, called by the id of its first one."""
    names: dict[int, str] = {}
    return [names.setdefault(number, name) for number, name in zip(cluster(texts), ids, strict=True)]


def near_duplicates(texts: Sequence[str], threshold: float = SIMILAR) -> Iterator[tuple[int, int]]:
    """Pairs i < j of texts of at least this similarity, all but those that follow from equality.

    Texts of equal normal form are paired with the first of them alone, and only it is compared with others.
    By prefix filtering (doi:10.1109/ICDE.2006.9): of sets that share a part t, the rarest n - ceil(t n) + 1
    of each one's n shingles have one in common, so only those are looked up. Exact, except that a text
    which has `CROWD` near-duplicates is not looked up again: rows in one long frame stay quick.
    """
    first: dict[tuple[str, ...], int] = {}
    for j, words in enumerate(map(normal, texts)):
        i = first.setdefault(words, j)
        if i != j:
            yield i, j
    rows = list(first.values())
    sets = _rarest_first([_shingles(words) for words in first])
    index: defaultdict[int, list[int]] = defaultdict(list)
    for number in sorted(range(len(sets)), key=lambda k: len(sets[k])):
        own = sets[number]
        least = math.ceil(threshold * len(own) - 1e-9)
        prefix, whole = own[: len(own) - least + 1], frozenset(own)
        alike = 0
        for other in dict.fromkeys(chain.from_iterable(index[shingle] for shingle in prefix)):
            shorter = sets[other]
            if len(shorter) < least:
                continue
            shared = len(whole.intersection(shorter))
            if shared / (len(own) + len(shorter) - shared) >= threshold:
                alike += 1
                yield min(rows[number], rows[other]), max(rows[number], rows[other])
        if alike < CROWD:
            for shingle in prefix:
                index[shingle].append(number)


def _shingles(words: Sequence[str]) -> dict[Shingle, None]:
    """The words and the pairs of neighbours, each once, in an order that does not change between runs."""
    return dict.fromkeys([*words, *pairwise(words)])


def _rarest_first(sets: Sequence[Mapping[Shingle, None]]) -> list[list[int]]:
    counts = Counter(chain.from_iterable(sets))
    order = {shingle: number for number, shingle in enumerate(sorted(counts, key=counts.__getitem__))}
    return [sorted(order[shingle] for shingle in shingles) for shingles in sets]


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
