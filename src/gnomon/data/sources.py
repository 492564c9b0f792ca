"""What a recipe's data settings mean: rows read and checked, and each given the one role it is used for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gnomon.config import DataSettings
from gnomon.data.composing.compose import composed
from gnomon.data.formats import OnBad
from gnomon.data.labeller import Planted, planted
from gnomon.data.practice.generate import FAMILY
from gnomon.data.reader import Labelled, R, Reader, ReadLabels, Row
from gnomon.data.refused import refused
from gnomon.data.splits import (
    Role,
    assign,
    cluster,
    named_clusters,
    near_duplicates,
    opening,
    refuse_overlap,
    take,
    yielding,
)
from gnomon.errors import DataError
from gnomon.records import Comparison, Conversation, Demonstration, Prompt, Rating
from gnomon.store import content_id

DEMONSTRATIONS: Mapping[Role, float] = {"sft": 0.95, "dev": 0.05}
COMPARISONS: Mapping[Role, float] = {"reward": 0.45, "second": 0.35, "test": 0.20}
RATINGS: Mapping[Role, float] = {"reward": 0.80, "test": 0.20}
"""Shares of the rows. `second` trains the second reward model, which watches the first."""

ROLES: Mapping[str, Role] = {
    "sft": "sft",
    "dev": "dev",
    "reward": "reward",
    "second": "second",
    "test": "test",
    "ratings": "reward",
    "test_ratings": "test",
    "gold": "gold",
    "policy": "policy",
    "red_team": "policy",
    "evaluation": "test",
}
"""The role of the rows in each field of `Data`."""

Asked = Sequence[tuple[str, str]]
"""Ids and texts of what suites ask."""


@dataclass(frozen=True, slots=True)
class Data:
    """Rows by role. `clusters` gives the near-duplicate cluster of each evaluation prompt, both by id.

    `dropped` counts unusable rows by file and reason, `digests` has the sha256 of each file read and an id of
    what suites ask, `overlap_removed` counts the rows left out because another role has nearly the same
    prompt, `labelled` has what was said in each labelling project, `planted` what a planted labeller did.
    """

    sft: tuple[Demonstration, ...]
    dev: tuple[Demonstration, ...]
    reward: tuple[Comparison, ...]
    second: tuple[Comparison, ...]
    test: tuple[Comparison, ...]
    ratings: tuple[Rating, ...]
    test_ratings: tuple[Rating, ...]
    gold: tuple[Comparison, ...]
    policy: tuple[Prompt, ...]
    red_team: tuple[Prompt, ...]
    evaluation: tuple[Prompt, ...]
    clusters: Mapping[str, str]
    dropped: Mapping[str, Mapping[str, int]]
    digests: Mapping[str, str]
    overlap_removed: int = 0
    labelled: Mapping[str, Labelled] = field(default_factory=dict)
    planted: Planted | None = None

    def by_role(self) -> dict[str, tuple[Row, ...]]:
        """The rows of each field that holds rows, by its name."""
        return {name: getattr(self, name) for name in ROLES}

    def report(self) -> dict[str, Any]:
        """How many rows there are and what became of the others, as plain JSON values."""
        people = {name: dict(found.report) for name, found in self.labelled.items()}
        turned = {"planted": self.planted.report()} if self.planted else {}
        return {
            "counts": {name: len(rows) for name, rows in self.by_role().items()},
            "dropped": {name: dict(reasons) for name, reasons in self.dropped.items()},
            "overlap_removed": self.overlap_removed,
            "clusters": dict(self.clusters),
        } | (({"labels": people} if people else {}) | turned)

    def flips(self) -> float | None:
        """The share of the labels a reward model learns from that are flips, rows of files taken to be right.

        None where no votes are behind them, or votes that cannot tell.
        """
        return self._share({name: it.flips for name, it in self.labelled.items()})

    def lapses(self) -> float | None:
        """The same of lapses."""
        return self._share({name: it.lapses for name, it in self.labelled.items()})

    def _share(self, shares: Mapping[str, float | None]) -> float | None:
        """Of the labels that train, where `shares` are those of each project's."""
        ids = {row.id for row in (*self.reward, *self.second)}
        counts = {name: sum(row.id in ids for row in it.comparisons) for name, it in self.labelled.items()}
        told = [(count, shares[name]) for name, count in counts.items() if count]
        if not told or any(share is None for _, share in told):
            return None
        return sum(count * (share or 0.0) for count, share in told) / len(ids)


def read_data(settings: DataSettings, seed: int, labels: ReadLabels | None = None, asked: Asked = ()) -> Data:
    """All rows a recipe asks for; the same settings, files and seed give the same rows in the same roles.

    `labels` reads the votes of the projects that settings list, if there are any. What trains is kept
    from what is `asked` beside the evaluation prompts, as it is from these.
    Demonstrations, comparisons and ratings are split by cluster, prompts train the policy, evaluation
    prompts test.
    Gold rows are read whole whatever the limit: each of them has to be kept from what trains.
    Composed rows and refused ones are made of demonstrations that train, when all roles are known.
    A planted labeller turns labels last, so that the same rows have the same roles with it and without.
    DataError where a file or row cannot be used or rows with different roles have nearly the same prompt;
    with `on_bad_row: skip` such rows are left out and counted, those that train before those that test.
    """
    reader = Reader(settings.on_bad_row, labels, seed, skip_by="set data.on_bad_row=skip")

    def read(setting: str, kind: type[R]) -> list[R]:
        rows = reader.read(setting, kind, getattr(settings, setting))
        return take(rows, settings.limit, seed, _stratum)

    shown = _without(read("demonstrations", Demonstration), settings.leave_out)
    demonstrations = _split(shown, DEMONSTRATIONS, seed)
    comparisons = _split(read("comparisons", Comparison), COMPARISONS, seed, reader.asks)
    ratings = _split(read("ratings", Rating), RATINGS, seed)
    evaluation = read("evaluation", Prompt)
    data = Data(
        sft=demonstrations["sft"],
        dev=demonstrations["dev"],
        reward=comparisons["reward"],
        second=comparisons["second"],
        test=comparisons["test"],
        ratings=ratings["reward"],
        test_ratings=ratings["test"],
        gold=tuple(reader.read("gold", Comparison, settings.gold)),
        policy=tuple(read("prompts", Prompt)),
        red_team=tuple(read("red_team", Prompt)),
        evaluation=tuple(evaluation),
        clusters=_named_clusters(evaluation),
        dropped=reader.dropped,
        digests=reader.digests | ({"suites": content_id([list(pair) for pair in asked])} if asked else {}),
        labelled=reader.labelled,
    )
    apart = _apart(_spared(data, asked), settings.on_bad_row, asked)
    more = composed(apart.sft, settings.composed, seed, settings.composed_kinds)
    whole = replace(apart, **_with_refused(apart, settings.refused, seed), sft=(*apart.sft, *more))
    if not (settings.labeller and settings.labeller.agrees):
        return whole
    held: dict[str, tuple[Comparison, ...]] = {role: getattr(whole, role) for role in COMPARISONS}
    relabelled, done = planted(held, settings.labeller.agrees, seed)
    rows: dict[str, Any] = dict(relabelled)
    return replace(whole, **rows, planted=done)


def _with_refused(data: Data, count: int, seed: int) -> dict[str, Any]:
    """Comparisons of both reward models, with such as refuse what is plain: each of other demonstrations."""
    shown = {"reward": data.sft[::2], "second": data.sft[1::2]}
    rows = {role: getattr(data, role) for role in shown}
    return {role: (*own, *refused(shown[role], own, count, seed)) for role, own in rows.items()}


def _without(rows: Sequence[Demonstration], families: Sequence[str]) -> list[Demonstration]:
    """The rows of other families; DataError for a family that no row is of, which is a slip of the pen."""
    there = {row.family for row in rows}
    for family in families:
        if rows and family not in there:
            raise DataError(
                f"data.leave_out: no demonstration is of the family {family!r}; there are "
                f"{', '.join(sorted(there))}"
            )
    return [row for row in rows if row.family not in families]


def _split(
    rows: Sequence[R], shares: Mapping[Role, float], seed: int, asks: Mapping[str, str] | None = None
) -> dict[Role, tuple[R, ...]]:
    """Whole clusters by role, a row taken for what it `asks` where that is known."""
    clusters = cluster([(asks or {}).get(row.id) or opening(_prompt(row)) for row in rows])
    roles = assign(clusters, shares, seed, [_stratum(row) for row in rows])
    return {role: tuple(row for row, own in zip(rows, roles, strict=True) if own == role) for role in shares}


def _named_clusters(prompts: Sequence[Prompt]) -> dict[str, str]:
    """The cluster of each prompt, called by the id of its first one."""
    ids = [prompt.id for prompt in prompts]
    names = named_clusters(ids, [opening(prompt.conversation) for prompt in prompts])
    return dict(zip(ids, names, strict=True))


def _spared(data: Data, asked: Asked) -> Data:
    """Without those prompts for practice that resemble a row of another role: of them there are others."""
    made = {row.id: opening(row.conversation) for row in data.policy if row.family.startswith(f"{FAMILY}_")}
    if not made:
        return data
    fields = data.by_role().items()
    others = [opening(_prompt(row)) for name, rows in fields if ROLES[name] != "policy" for row in rows]
    pairs = near_duplicates([*made.values(), *others, *(text for _, text in asked)])
    names = list(made)
    gone = {names[i] for i, j in pairs if i < len(made) <= j}
    kept = tuple(row for row in data.policy if row.id not in gone)
    return replace(data, policy=kept, overlap_removed=len(gone))


def _apart(data: Data, on_overlap: OnBad, asked: Asked) -> Data:
    """The data with no cluster in two roles: by refusing it otherwise, or by leaving rows out."""
    fields = data.by_role()
    if on_overlap == "stop":
        texts: dict[Role, list[tuple[str, str]]] = {}
        for name, rows in fields.items():
            texts.setdefault(ROLES[name], []).extend((row.id, opening(_prompt(row))) for row in rows)
        texts["test"].extend(asked)
        refuse_overlap(texts)
        return data
    flat = [(name, row) for name, rows in fields.items() for row in rows]
    clusters = cluster([*(opening(_prompt(row)) for _, row in flat), *(text for _, text in asked)])
    roles = [ROLES[name] for name, _ in flat]
    roles += ["test"] * len(asked)
    leaves = yielding(roles, clusters)
    kept: dict[str, list[Row]] = {name: [] for name in fields}
    for (name, row), gone in zip(flat, leaves, strict=False):
        if not gone:
            kept[name].append(row)
    remaining: dict[str, Any] = {name: tuple(rows) for name, rows in kept.items()}
    return replace(data, **remaining, overlap_removed=data.overlap_removed + sum(leaves))


def _stratum(record: Row) -> str:
    if isinstance(record, Comparison):
        return record.label.reason if record.label else ""
    if isinstance(record, Rating):
        return "desirable" if record.desirable else "undesirable"
    return record.family


def _prompt(record: Row) -> Conversation:
    return record.conversation if isinstance(record, Prompt) else record.prompt
