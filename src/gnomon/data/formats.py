"""One loader for rows of every published shape: it detects the dialect and gives records."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from gnomon.data.dialects import DIALECTS, Dialect, later_turns
from gnomon.data.fields import FAMILY, INPUT, PROMPT, SYSTEM, Row
from gnomon.data.files import BadRow, file_name, file_stem, read_rows
from gnomon.errors import ConfigError, DataError
from gnomon.records import Comparison, Ranking, Rating, Record, Source

OnBad = Literal["stop", "skip"]
SAMPLE = 50
"""Rows looked at to tell the dialect."""
BY_HAND = "correct or remove it; gnomon data inspect counts all such rows"
EXAMPLES = 5
"""Row numbers kept for each reason."""
ID_KEYS = ("id", "prompt_id", "question_id", "key", "idx")
OF_A_PROMPT = {*ID_KEYS, *PROMPT, *INPUT, *SYSTEM, *FAMILY, "checks", "facts", "tools", "functions", "source"}
"""What is read of a row that is a prompt alone."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The records of a file, and what became of the rows that gave none.

    `rows` counts every row; `dropped` counts the unusable ones by reason, `examples` has their first
    numbers. `assumed_source` counts judged rows where neither the file, its shape nor the caller said
    who judged (they count as `ai`); `later_turns` the turns of prompts that no record carries. Where
    rows are prompts alone, `unread` names the keys of the first ones that hold something nothing reads: it
    may be the answers.
    """

    records: tuple[Record, ...]
    dialect: str
    rows: int
    dropped: Counter[str]
    examples: Mapping[str, tuple[int, ...]]
    assumed_source: int = 0
    later_turns: int = 0
    unread: tuple[str, ...] = ()


@dataclass
class _Drops:
    name: str
    on_bad_row: OnBad
    skip_by: str | None
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, number: int, problem: BadRow) -> None:
        if self.on_bad_row == "stop":
            advice = f"drop it or {self.skip_by}" if self.skip_by else BY_HAND
            raise DataError(f"row {number} of {self.name}: {problem.detail}; {advice}") from problem
        self.counts[problem.reason] += 1
        self.examples[problem.reason] = (*self.examples.get(problem.reason, ()), number)[:EXAMPLES]


def load(
    path: str | Path,
    *,
    dialect: str | None = None,
    source: Source | None = None,
    on_bad_row: OnBad = "stop",
    skip_by: str | None = None,
) -> Loaded:
    """The records of a file or `hub:ORG/NAME[:SPLIT]`, in the file's order, nothing deduplicated.

    `dialect` overrides detection, `source` who is said to have judged. With `stop` the first unusable
    row is a DataError, which says to `skip_by` where there is a setting or an option for that; with `skip` it
    is counted by reason. A record's id is the row's own, or the file's stem and the row's number. DataError
    where the file cannot be read or fits no dialect.
    """
    name, stem = file_name(path), file_stem(path)
    drops = _Drops(name, on_bad_row, skip_by)
    rows = read_rows(path, drops.add)
    head = list(islice(rows, SAMPLE))
    spoken = named(dialect) if dialect else detect([row for _, row in head], name)
    records: list[Record] = []
    used = assumed = later = 0
    for number, row in chain(head, rows):
        try:
            found = parse(spoken, row, _id(row, f"{stem}:{number}"))
        except BadRow as problem:
            drops.add(number, problem)
            continue
        used += 1
        records += [judged_by(record, source) for record in found] if source else found
        assumed += not (source or spoken.names_judge(row))
        later += later_turns(row)
    count = used + drops.counts.total()
    unread = _unread(row for _, row in head) if spoken.name == "prompts" else ()
    return Loaded(tuple(records), spoken.name, count, drops.counts, drops.examples, assumed, later, unread)


def _unread(prompts: Iterable[Row]) -> tuple[str, ...]:
    held = (key for row in prompts for key, value in row.items() if value not in (None, ""))
    return tuple(dict.fromkeys(key for key in held if key not in OF_A_PROMPT))


def parse(dialect: Dialect, row: Row, id: str) -> Sequence[Record]:
    """The records of one row; BadRow where it does not fit the dialect or cannot be used."""
    if not dialect.fits(row):
        wanted = f"{dialect.name!r} ({dialect.shape})"
        raise BadRow("another shape", f"it has the keys {_listed(row)} and does not fit {wanted}")
    return dialect.parse(row, id)


def named(name: str) -> Dialect:
    """The dialect of this name; ConfigError, with the names there are, for another."""
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    raise ConfigError(f"dialect {name!r} is unknown; known are {', '.join(d.name for d in DIALECTS)}")


def detect(rows: Sequence[Row], name: str) -> Dialect:
    """The dialect that most of the rows fit; DataError, with the keys seen, where none fits."""
    fitting = (next((dialect for dialect in DIALECTS if dialect.fits(row)), None) for row in rows)
    votes = Counter(dialect.name for dialect in fitting if dialect)
    if votes:
        return named(votes.most_common(1)[0][0])
    if not rows:
        raise DataError(f"{name} has no row that can be read; give a file with rows")
    seen = _listed(dict.fromkeys(key for row in rows for key in row))
    known = "".join(f"\n  {dialect.name}: {dialect.shape}" for dialect in DIALECTS)
    raise DataError(
        f"{name}: rows with the keys {seen} are of no known shape; rename the keys to one of{known}"
    )


def judged_by(record: Record, source: Source) -> Record:
    """The record with another source of its judgement; a record without a judgement stays as it is."""
    if isinstance(record, Ranking | Rating):
        return replace(record, source=source)
    if isinstance(record, Comparison) and record.label:
        return replace(record, label=replace(record.label, source=source))
    return record


def _id(row: Row, otherwise: str) -> str:
    own = next((row[key] for key in ID_KEYS if row.get(key) not in (None, "")), otherwise)
    return str(own)


def _listed(keys: Mapping[str, object]) -> str:
    return ", ".join(map(repr, keys)) or "(none)"
