"""`gnomon label stats` and `simulate`: how good labels are, and a crowd of which that is known."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.label import DEFAULT, Db, Project, needing_extra, opened
from gnomon.cli.options import AsJson
from gnomon.cli.progress import counting, reporting
from gnomon.errors import ConfigError
from gnomon.markup import visible
from gnomon.runs import write_json

if TYPE_CHECKING:
    from gnomon.labelling.host import Host
    from gnomon.stats.crowd import Crowd

Folder = Annotated[
    Path | None, typer.Option("--out", help="The folder to write; runs/labels-PROJECT if not given.")
]
KEY = "GNOMON_LABEL_KEY"
TRUTH = (
    "What is better is what gold items and --truth files say; by how much, and which it is elsewhere, is "
    "drawn for each answer from the seed and its text."
)
SPREAD = 0.3
"""How far annotators' reliabilities lie apart, as a share of their mean."""


def stats(
    project: Project,
    groups: Annotated[
        Path | None, typer.Option("--groups", help="A CSV file of annotators and their groups.")
    ] = None,
    folder: Folder = None,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say how good the labels are and what to do about it; write it as a page that opens offline."""
    with opened(db) as store:
        from gnomon.labelling.host import summary_of  # noqa: PLC0415  an extra
        from gnomon.labelling.quality.groups import read_groups  # noqa: PLC0415

        summary = summary_of(store, project, read_groups(groups) if groups else None)
    page = _written(summary, folder or Path("runs") / f"labels-{project}")
    if as_json:
        print_json(summary)
    else:
        _show(summary, page)


def simulate(  # noqa: PLR0913  each is an option
    project: Project,
    *,
    annotators: Annotated[int, typer.Option(min=1, help="How many.")] = 13,
    flips: Annotated[
        float, typer.Option(help="Of those who read, the share of decided votes for the worse answer.")
    ] = 0.25,
    spammers: Annotated[float, typer.Option(min=0, max=1, help="The share who do not read.")] = 0.2,
    sycophancy: Annotated[
        float, typer.Option(help="Log-odds that the user's belief adds to the answer that says it.")
    ] = 0.0,
    length: Annotated[float, typer.Option(help="Log-odds that a doubling of its length adds.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Draws the crowd, what it thinks, and the queue.")] = 0,
    truth: Annotated[
        list[str] | None,
        typer.Option(help="A file of comparisons whose labels are right; may be given several times."),
    ] = None,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="One more, who is always right, decides disagreements.")
    ] = False,
    server: Annotated[str | None, typer.Option(help="A running server; its key is GNOMON_LABEL_KEY.")] = None,
    folder: Folder = None,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let simulated annotators judge a project over HTTP, and hold what stats finds against what they are."""
    from gnomon.stats.crowd import Habits, hire, reliability_of_flips  # noqa: PLC0415  scipy is slow to import

    mean = reliability_of_flips(flips, Habits())
    habits = Habits(
        reliability=(mean, SPREAD * mean),
        sycophancy=(sycophancy, SPREAD * abs(sycophancy)),
        length=(length, Habits().length[1]),
        spam=spammers,
    )
    crowd = hire(annotators, habits, seed)
    with _host(project, server, db, seed) as host:
        known = {**host.known, **_known(truth or [])}
        planted = _worked(host, project, crowd, known)
        if adjudicate:
            _settled(host, project, known, seed)
        summary = host.summary()
    told = {"flips": flips, "spammers": spammers, "seed": seed, "sycophancy": sycophancy, "length": length}
    summary |= {"planted": told | {"annotators": planted}}
    page = _written(summary, folder or Path("runs") / f"labels-{project}")
    if as_json:
        print_json(summary)
        return
    from gnomon.reports.labels import (  # noqa: PLC0415  matplotlib is slow to import
        planted_note,
        planted_sways,
        planted_table,
    )

    _show(summary, page)
    out.print(planted_table(summary))
    out.print(Text(f"\n{planted_note(summary)}"), soft_wrap=True)
    for note in planted_sways(summary):
        out.print(Text(note), soft_wrap=True)
    out.print(Text(TRUTH, "dim"), soft_wrap=True)


@contextmanager
def _host(project: str, server: str | None, db: str, seed: int) -> Iterator["Host"]:
    """The project on a running server, or in a database served from here."""
    with needing_extra():
        from gnomon.labelling.host import here, there  # noqa: PLC0415  an extra
    if server is None:
        with opened(db) as store, here(store, project, seed) as host:
            yield host
        return
    key = os.environ.get(KEY)
    if not key:
        raise ConfigError(f"{KEY} is not set; make a key that may manage and read: POST /api/v1/keys")
    with there(server, key, project) as host:
        yield host


def _known(files: list[str]) -> dict[str, str]:
    """Which answers are better, from files of comparisons."""
    from gnomon.data.formats import load  # noqa: PLC0415  torch is slow to import
    from gnomon.labelling.simulate import known_of  # noqa: PLC0415  an extra

    return {pair: better for file in files for pair, better in known_of(load(file).records).items()}


def _worked(
    host: "Host", project: str, crowd: "Crowd", known: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Everybody lets themselves be invited and judges what there is; what they were planted with, by name."""
    from gnomon.labelling.client import LabelClient  # noqa: PLC0415  an extra
    from gnomon.labelling.simulate import Truth, join, planted, work  # noqa: PLC0415

    truth, run = Truth(known, crowd.seed, host.stands), token_hex(3)
    names: list[str] = []
    with ExitStack() as held, reporting() as reporter, counting(reporter, "labels") as told:
        clients = []
        for number in range(crowd.size):
            before = set(host.members())
            key = join(host.url, host.invite("annotator"), f"simulated-{run}-{number}")
            names.append(next(name for name in host.members() if name not in before))
            clients.append(held.enter_context(LabelClient(host.url, key)))
        total = host.wanted(crowd.size)
        work(clients, project, crowd, truth, lambda done: told(done, max(done, total)))
    return planted(crowd, names)


def _settled(host: "Host", project: str, known: Mapping[str, str], seed: int) -> None:
    """One more is invited and decides on what the others disagree, rightly."""
    from gnomon.labelling.client import LabelClient  # noqa: PLC0415  an extra
    from gnomon.labelling.simulate import Truth, join, settle  # noqa: PLC0415

    name = f"simulated-adjudicator-{token_hex(3)}"
    key = join(host.url, host.invite("adjudicator"), name, "adjudicate")
    with LabelClient(host.url, key) as client:
        settle(client, project, Truth(known, seed))


def _written(summary: Mapping[str, Any], folder: Path) -> Path:
    """The page, with the same figures beside it in stats.json."""
    from gnomon.reports.labels import write_label_page  # noqa: PLC0415  matplotlib is slow to import

    page = folder / "stats.html"
    write_json(folder / "stats.json", summary)
    write_label_page(page, summary)
    return page


def _show(summary: Mapping[str, Any], page: Path) -> None:
    from gnomon.reports.labels import (  # noqa: PLC0415  matplotlib is slow to import
        decisions_note,
        label_notes,
        label_tables,
    )

    items = ", ".join(f"{count} {purpose}" for purpose, count in summary["items"].items()) or "none"
    said = ", ".join(f"{outcome} {count}" for outcome, count in summary["outcomes"].items()) or "none"
    out.print(f"items: {items}")
    out.print(f"labels: {summary['labels']} ({said})")
    if decisions := decisions_note(summary):
        out.print(decisions)
    for table in label_tables(summary):
        out.print(table)
    for what, advice in label_notes(summary):
        out.print(Text(visible(f"\n{what}")).append(visible(f"\n  {advice}"), "dim"), soft_wrap=True)
    out.print(Text(f"\npage: {page}"), soft_wrap=True)
