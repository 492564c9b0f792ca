"""`labels:PROJECT` in a recipe's data: read from where `gnomon label` keeps it, and what stages make of it.

Data knows of no labelling application and the application of no training; this is where they meet.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gnomon.config import DataSettings, RewardSettings
from gnomon.data.reader import LABELS, Labelled
from gnomon.data.sources import Asked, Data, read_data
from gnomon.distributed import agreed, leads
from gnomon.errors import ConfigError, DataError
from gnomon.pipeline.labels import labelled, with_lapses
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.votes import Row, gather, lapses
from gnomon.runs import read_json, write_json

VOTES = "votes.jsonl"
"""In the artefact of the rows, where some are of people: every pair that was judged, and all said of it."""

FLIPS = "flips.json"
"""There too: the share of flips among the labels that train, and that of lapses."""

UNTOLD = {
    "estimated": "nothing tells how many votes are flips where nobody judges a pair after somebody else; "
    "give a share, or have pairs judged twice (overlap=2)",
    "lapses": "nothing tells how many votes are lapses where nobody judges a pair whose answer is known, or "
    "one again; give a share, or have such pairs judged (gold, repeat)",
}
"""What to say where `reward.label_smoothing` is to be found of votes that do not tell."""

DEFAULT, VARIABLE = "labels.db", "GNOMON_LABEL_DB"
"""The database, as `gnomon label` has it, where the settings name none."""


def read_rows(settings: DataSettings, seed: int, asked: Asked = ()) -> Data:
    """All rows that settings ask for, those of labelling projects included; `asked` and errors are
    `read_data`'s.

    ConfigError where a project, its database or the extra is missing; DataError where nothing was said there.
    Votes may come in at any moment: every process is given what the first one has read.
    """

    def read(project: str) -> Labelled:
        found = agreed(_read(settings, project) if leads() else None)
        assert found is not None
        return found

    return read_data(settings, seed, read, asked)


def write_votes(folder: Path, data: Data) -> None:
    """Write `VOTES` and `FLIPS` where people judged some of the rows."""
    if data.labelled:
        write_lines(folder / VOTES, [row for found in data.labelled.values() for row in found.votes])
        write_json(folder / FLIPS, {"estimated": data.flips(), "lapses": data.lapses()})


def read_for(settings: RewardSettings, data: Artefact) -> tuple[str, ...]:
    """The files of the rows that `settled` reads; ConfigError where there were no votes to make them of."""
    if isinstance(settings.label_smoothing, float):
        return ()
    if not (data.path / FLIPS).exists():
        raise ConfigError(
            f"reward.label_smoothing is {settings.label_smoothing}, which takes people's votes, but "
            f"data.comparisons lists no {LABELS}PROJECT; list one, or give a share"
        )
    return (FLIPS,)


def settled(settings: RewardSettings, data: Artefact) -> RewardSettings:
    """The settings with the share of flips that votes tell, where it is to be estimated.

    DataError where they cannot tell, and where half of them are.
    """
    if isinstance(settings.label_smoothing, float):
        return settings
    flips = read_json(data.file(FLIPS))[settings.label_smoothing]
    if flips is None:
        raise DataError(f"reward.label_smoothing: {UNTOLD[settings.label_smoothing]}")
    if flips >= 0.5:
        raise DataError(
            f"reward.label_smoothing: {flips:.0%} of the votes are taken to be flips: they do not tell which "
            "answers are better; give a share, or have other people judge"
        )
    return settings.model_copy(update={"label_smoothing": flips})


def _read(settings: DataSettings, project: str) -> Labelled:
    rows = list(_stored(project, settings.labels.db or os.environ.get(VARIABLE) or DEFAULT))
    try:
        found = labelled(gather(rows, project), settings.labels, settings.on_bad_row)
        return with_lapses(found, lapses(rows))
    except DataError as problem:
        raise DataError(f"{LABELS}{project}: {problem}") from problem


def _stored(project: str, place: str) -> Iterator[Row]:
    """The rows of a project's export."""
    try:
        from gnomon.labelling import export  # noqa: PLC0415  an extra
        from gnomon.labelling.store import projects  # noqa: PLC0415
        from gnomon.labelling.store.database import open_store  # noqa: PLC0415
    except ImportError as problem:
        raise ConfigError(
            f"{LABELS}{project} needs a package that is missing ({problem}): pip install 'gnomon[label]'"
        ) from problem
    if "://" not in place and not Path(place).is_file():
        raise ConfigError(
            f"{LABELS}{project}: there is no database {place}; name it with data.labels.db or {VARIABLE}"
        )
    with closing(open_store(place)) as store, store.read() as tx:
        yield from export.rows(tx, projects.named(tx, project).id)
