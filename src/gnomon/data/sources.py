"""What a recipe's data settings mean: rows read and checked, and each given the one role it is used for."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from gnomon.config import DataSettings
from gnomon.data.composing.compose import composed
from gnomon.data.conflicts import builtin_facts, conflicts
from gnomon.data.files import HUB, file_stem
from gnomon.data.formats import Loaded, OnBad, load
from gnomon.data.labeller import Planted, planted
from gnomon.data.practice.generate import FAMILY, practice
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
from gnomon.errors import ConfigError, DataError
from gnomon.records import Comparison, Conversation, Demonstration, Prompt, Ranking, Record, to_json
from gnomon.store import content_id, file_digest

BUILTIN = "builtin"
LABELS = "labels:"
"""What the name of a labelling project stands behind."""
VERIFIABLE = "verifiable:"
"""What the number of prompts to be made stands behind."""
CONFLICTS = "conflicts"
"""The name of rows, made too, in which a user believes what is wrong."""
FOLDER = Path(__file__).parent / BUILTIN

DEMONSTRATIONS: Mapping[Role, float] = {"sft": 0.95, "dev": 0.05}
COMPARISONS: Mapping[Role, float] = {"reward": 0.45, "second": 0.35, "test": 0.20}
"""Shares of the rows. `second` trains the second reward model, which watches the first."""

ROLES: Mapping[str, Role] = {
    "sft": "sft",
    "dev": "dev",
    "reward": "reward",
    "second": "second",
    "test": "test",
    "gold": "gold",
    "policy": "policy",
    "red_team": "policy",
    "evaluation": "test",
}
"""The role of the rows in each field of `Data`."""

HOLDS = {
    Demonstration: "demonstrations (prompts with one answer)",
    Comparison: "comparisons (prompts with two answers, one of them better)",
    Prompt: "prompts without an answer",
}

Row = Demonstration | Comparison | Prompt
R = TypeVar("R", Demonstration, Comparison, Prompt)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people said in a labelling project, as comparisons that train.

    `votes` has one JSON object for each pair that was judged, all that was said of it in it. `flips` is the
    share of votes that are for the worse answer and `lapses` that of slips among them, None where they cannot
    tell; `report` what people read of all this; `dropped` counts pairs that give no comparison, by reason;
    `digest` is an id of the votes.
    """

    comparisons: tuple[Comparison, ...]
    votes: tuple[Mapping[str, Any], ...]
    flips: float | None
    report: Mapping[str, Any]
    dropped: Mapping[str, int]
    digest: str
    lapses: float | None = None


ReadLabels = Callable[[str], Labelled]
"""Reads the votes of a project by its name; data knows of no labelling, so whoever does hands it in."""

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


@dataclass
class Reader:
    """Reads the files and projects that settings list, and keeps account of them."""

    on_bad_row: OnBad = "stop"
    labels: ReadLabels | None = None
    seed: int = 0
    labelled: dict[str, Labelled] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    """The question behind a comparison that was made with others of the same, by its id."""

    def read(self, setting: str, kind: type[R], names: Iterable[str]) -> list[R]:
        """The records of the files listed under `data.SETTING`, ids made distinct, families filled in.

        DataError where a file cannot be used or holds records of another kind.
        """
        records: list[R] = []
        for name in names:
            if name.startswith(LABELS):
                records += (_of(kind, record, name, setting) for record in self._judged(name))
                continue
            if name.startswith(VERIFIABLE):
                records += (_of(kind, record, name, setting) for record in self._made(setting, name))
                continue
            if name == CONFLICTS:
                records += (_of(kind, record, name, setting) for record in self._conflicts(setting, kind))
                continue
            for label, path in _files(setting, name):
                loaded = load(path, on_bad_row=self.on_bad_row)
                self._account(label, _digest(path, loaded), loaded.dropped)
                of_kind = (_of(kind, record, label, setting) for record in _pairwise(loaded.records))
                records += (_with_family(record, file_stem(path)) for record in of_kind)
        return _distinct(records)

    def _judged(self, name: str) -> tuple[Comparison, ...]:
        """The comparisons of a labelling project, its votes read once."""
        if self.labels is None:
            raise ConfigError(f"{name}: votes are not read here; gnomon label export writes them to a file")
        if name not in self.labelled:
            found = self.labelled[name] = self.labels(name.removeprefix(LABELS))
            self._account(name, found.digest, found.dropped)
        return self.labelled[name].comparisons

    def _made(self, setting: str, name: str) -> list[Prompt]:
        """Prompts for practice; those that test are of topics that the others never have."""
        number = name.removeprefix(VERIFIABLE)
        if not number.isdecimal():
            raise ConfigError(f"data.{setting}: {name} asks for {number!r} prompts; write {VERIFIABLE}200")
        made = practice(int(number), self.seed, apart=setting == "evaluation")
        self._account(f"{setting}: {name}", content_id([to_json(prompt) for prompt in made]), {})
        return made

    def _conflicts(self, setting: str, kind: type[Row]) -> tuple[Row, ...]:
        """Conflicts as comparisons or prompts, of facts that the other kind never has."""
        made = conflicts(builtin_facts(), self.seed)
        rows: tuple[Row, ...] = made.comparisons if kind is Comparison else made.prompts
        self.asks |= made.asks
        self._account(f"{setting}: {CONFLICTS}", content_id([to_json(row) for row in rows]), {})
        return rows

    def _account(self, label: str, digest: str, dropped: Mapping[str, int]) -> None:
        self.digests[label] = digest
        if dropped:
            self.dropped[label] = dict(dropped)


def read_data(settings: DataSettings, seed: int, labels: ReadLabels | None = None, asked: Asked = ()) -> Data:
    """All rows a recipe asks for; the same settings, files and seed give the same rows in the same roles.

    `labels` reads the votes of the projects that settings list, if there are any. What trains is kept
    from what is `asked` beside the evaluation prompts, as it is from these.
    Demonstrations and comparisons are split by cluster, prompts train the policy, evaluation prompts test.
    Gold rows are read whole whatever the limit: each of them has to be kept from what trains.
    Composed rows are made of demonstrations that train, when all roles are known, and train as these do.
    A planted labeller turns labels last, so that the same rows have the same roles with it and without.
    DataError where a file or row cannot be used or rows with different roles have nearly the same prompt;
    with `on_bad_row: skip` such rows are left out and counted, those that train before those that test.
    """
    reader = Reader(settings.on_bad_row, labels, seed)

    def read(setting: str, kind: type[R]) -> list[R]:
        rows = reader.read(setting, kind, getattr(settings, setting))
        return take(rows, settings.limit, seed, _stratum)

    shown = _without(read("demonstrations", Demonstration), settings.leave_out)
    demonstrations = _split(shown, DEMONSTRATIONS, seed)
    comparisons = _split(read("comparisons", Comparison), COMPARISONS, seed, reader.asks)
    evaluation = read("evaluation", Prompt)
    data = Data(
        sft=demonstrations["sft"],
        dev=demonstrations["dev"],
        reward=comparisons["reward"],
        second=comparisons["second"],
        test=comparisons["test"],
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
    whole = replace(apart, sft=(*apart.sft, *more))
    if not (settings.labeller and settings.labeller.agrees):
        return whole
    held: dict[str, tuple[Comparison, ...]] = {role: getattr(whole, role) for role in COMPARISONS}
    relabelled, done = planted(held, settings.labeller.agrees, seed)
    rows: dict[str, Any] = dict(relabelled)
    return replace(whole, **rows, planted=done)


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


def _files(setting: str, name: str) -> Iterator[tuple[str, Path | str]]:
    """A name of the settings as files, each with the name that reports call it by.

    `builtin` stands for the folder of the built-in data that is called like the setting, `builtin:FOLDER` for
    another one.
    """
    kind, _, named = name.partition(":")
    if kind != BUILTIN:
        yield name, name if name.startswith(HUB) else Path(name)
        return
    folder = named or setting
    paths = sorted((FOLDER / folder).glob("*.jsonl"))
    if not paths:
        known = ", ".join(sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))
        raise ConfigError(f"data.{setting}: there is no built-in {folder!r}; there are {known}")
    for path in paths:
        yield f"{BUILTIN}/{folder}/{path.name}", path


def _digest(path: Path | str, loaded: Loaded) -> str:
    """The sha256 of a file; of a data set of the hub, an id of its records."""
    if isinstance(path, Path):
        return file_digest(path)
    return content_id([to_json(record) for record in loaded.records])


def _pairwise(records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        yield from record.comparisons() if isinstance(record, Ranking) else (record,)


def _of(kind: type[R], record: Record, label: str, setting: str) -> R:
    if isinstance(record, Comparison) and record.label is None:
        raise DataError(f"comparison {record.id} of {label} has no label yet; collect one before training")
    if isinstance(record, kind):
        return record
    found = type(record).__name__.lower()
    raise DataError(f"data.{setting} takes {HOLDS[kind]}, but {record.id} of {label} is a {found}")


def _with_family(record: R, stem: str) -> R:
    if isinstance(record, Comparison) or record.family:
        return record
    return replace(record, family=stem)


def _distinct(records: Iterable[R]) -> list[R]:
    """The records, #2 and so on added to an id that came before, as two files may count their rows alike."""
    seen: Counter[str] = Counter()
    distinct: list[R] = []
    for record in records:
        seen[record.id] += 1
        again = seen[record.id] > 1
        distinct.append(replace(record, id=f"{record.id}#{seen[record.id]}") if again else record)
    return distinct


def _stratum(record: Row) -> str:
    if isinstance(record, Comparison):
        return record.label.reason if record.label else ""
    return record.family


def _prompt(record: Row) -> Conversation:
    return record.conversation if isinstance(record, Prompt) else record.prompt
