"""The files and projects that data settings list, read into records; an account is kept of what they were."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from gnomon.data.conflicts import builtin_facts, conflicts
from gnomon.data.files import HUB, file_stem
from gnomon.data.formats import Loaded, OnBad, load
from gnomon.data.practice.generate import practice
from gnomon.errors import ConfigError, DataError
from gnomon.records import Comparison, Demonstration, Prompt, Ranking, Rating, Record, to_json
from gnomon.store import content_id, file_digest

BUILTIN = "builtin"
LABELS = "labels:"
"""What the name of a labelling project stands behind."""
VERIFIABLE = "verifiable:"
"""What the number of prompts to be made stands behind."""
CONFLICTS = "conflicts"
"""The name of rows, made too, in which a user believes what is wrong."""
FOLDER = Path(__file__).parent / BUILTIN

HOLDS = {
    Demonstration: "demonstrations (prompts with one answer)",
    Comparison: "comparisons (prompts with two answers, one of them better)",
    Prompt: "prompts without an answer (one that rewards are to see stands under 'facts')",
    Rating: "ratings (prompts with one answer each, judged good or bad)",
}

INSTEAD: dict[type[Record], str] = {
    Rating: " (one answer judged by itself); list such files under data.ratings, from which loss kto learns",
    Demonstration: " (a prompt with its answer)",
    Prompt: "; gnomon data inspect names the keys that were not read",
}
"""What is said of a record that stands where another belongs."""

Row = Demonstration | Comparison | Prompt | Rating
R = TypeVar("R", Demonstration, Comparison, Prompt, Rating)


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


@dataclass
class Reader:
    """Reads the files and projects that settings list, and keeps account of them.

    `skip_by` is what a person is told to do for unusable rows to be left out, None where nothing does that.
    """

    on_bad_row: OnBad = "stop"
    labels: ReadLabels | None = None
    seed: int = 0
    skip_by: str | None = None
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
            rows = self._elsewhere(setting, kind, name)
            if rows is not None:
                records += (_of(kind, record, name, setting) for record in rows)
                continue
            for label, path in _files(setting, name):
                loaded = load(path, on_bad_row=self.on_bad_row, skip_by=self.skip_by)
                self._account(label, digest_of(path, loaded), loaded.dropped)
                of_kind = (_of(kind, record, label, setting) for record in _pairwise(loaded.records))
                records += (_with_family(record, file_stem(path)) for record in of_kind)
        return _distinct(records)

    def _elsewhere(self, setting: str, kind: type[Row], name: str) -> Sequence[Row] | None:
        """The rows of a name that stand in no file; None where it is a file's."""
        if name.startswith(LABELS):
            return self._judged(name)
        if name.startswith(VERIFIABLE):
            return self._made(setting, name)
        return self._conflicts(setting, kind) if name == CONFLICTS else None

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


def digest_of(path: Path | str, loaded: Loaded) -> str:
    """The sha256 of a file; of a data set of the hub, an id of its records."""
    if str(path).startswith(HUB):
        return content_id([to_json(record) for record in loaded.records])
    return file_digest(Path(path))


def _pairwise(records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        yield from record.comparisons() if isinstance(record, Ranking) else (record,)


def _of(kind: type[R], record: Record, label: str, setting: str) -> R:
    if isinstance(record, Comparison) and record.label is None:
        raise DataError(f"comparison {record.id} of {label} has no label yet; collect one before training")
    if isinstance(record, kind):
        return record
    found = type(record).__name__.lower()
    advice = INSTEAD.get(type(record), "")
    raise DataError(f"data.{setting} takes {HOLDS[kind]}, but {record.id} of {label} is a {found}{advice}")


def _with_family(record: R, stem: str) -> R:
    if isinstance(record, Comparison | Rating) or record.family:
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
