"""`gnomon collect`: pairs of a policy's answers, for people or models to judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json, warn
from gnomon.cli.label import DEFAULT, Db, opened
from gnomon.cli.machine import open_engine
from gnomon.cli.options import BUILTIN, AsJson, Prompts, engine_ref
from gnomon.cli.progress import counting, reporting
from gnomon.data.reader import Reader
from gnomon.errors import ConfigError
from gnomon.pipeline.collect import Asking, answer_pairs
from gnomon.pipeline.rows import write_records
from gnomon.records import Prompt


def collect(  # noqa: PLR0913  each is an option
    policy: Annotated[str, typer.Option(help="The model whose answers are to be judged.")],
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of answers.")],
    *,
    prompts: Prompts = BUILTIN,
    project: Annotated[
        str | None, typer.Option(help="A labelling project to add the pairs to, in place of a file.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="The file to write; pairs.jsonl if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws prompts, answers and their order.")] = 0,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Sample two answers to each prompt and let them wait for a label, in a file or in a labelling project.

    What an endpoint answered is not lost where it fails in the end: the same command goes on from there.
    """
    if project and file:
        raise ConfigError("--project adds the pairs to a project and --out writes a file; give one of them")
    asking = Asking(engine_ref(policy), Reader().read("prompts", Prompt, (prompts,)), seed)
    if project:
        _into_project(asking, pairs, project, db, as_json=as_json)
    else:
        _into_file(asking, pairs, file or Path("pairs.jsonl"), as_json=as_json)


def _into_file(asking: Asking, pairs: int, file: Path, *, as_json: bool) -> None:
    if file.exists():
        raise ConfigError(f"{file} is there already, perhaps with labels; name another with --out")
    kept = file.with_name(f".{file.name}.answers")
    engine = open_engine(asking.policy, kept)
    with reporting() as reporter, counting(reporter, "pairs") as told:
        collected = answer_pairs(engine, asking.prompts, pairs, asking.seed, told)
    write_records(file, collected.pairs)
    kept.unlink(missing_ok=True)
    skipped = dict(collected.skipped.most_common())
    if as_json:
        print_json({"pairs": len(collected.pairs), "file": str(file), "skipped": skipped})
        return
    out.print(Text(f"{len(collected.pairs)} pairs wait for a label in {file}"), soft_wrap=True)
    _tell_skipped(skipped)


def _into_project(asking: Asking, pairs: int, project: str, db: str, *, as_json: bool) -> None:
    from gnomon.pipeline.rounds import collect_into  # noqa: PLC0415  torch is slow to import

    kept = Path(f".{project}.answers")
    with opened(db) as store, reporting() as reporter, counting(reporter, "pairs") as told:
        queued = collect_into(store, project, asking, pairs, lambda: open_engine(asking.policy, kept), told)
    kept.unlink(missing_ok=True)
    if as_json:
        print_json({"project": project, **queued._asdict()})
        return
    said = f"{queued.pairs} pairs of this round are in {project}, {queued.added} of them new"
    out.print(Text(said), soft_wrap=True)
    _tell_skipped(queued.skipped)


def _tell_skipped(skipped: Mapping[str, int]) -> None:
    for reason, count in skipped.items():
        warn(f"{count} prompts were skipped, whose answers were {reason} however often they were asked")
