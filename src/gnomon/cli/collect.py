"""`gnomon collect`: pairs of a policy's answers, for people or models to judge."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json, warn
from gnomon.cli.machine import open_engine
from gnomon.cli.options import BUILTIN, AsJson, Prompts, engine_ref
from gnomon.cli.progress import counting, reporting
from gnomon.data.sources import Reader
from gnomon.errors import ConfigError
from gnomon.pipeline.collect import answer_pairs
from gnomon.pipeline.rows import write_records
from gnomon.records import Prompt


def collect(
    policy: Annotated[str, typer.Option(help="The model whose answers are to be judged.")],
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of answers.")],
    prompts: Prompts = BUILTIN,
    file: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("pairs.jsonl"),
    seed: Annotated[int, typer.Option(min=0, help="Draws prompts, answers and their order.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Sample two answers to each prompt and write them as comparisons that wait for a label.

    What an endpoint answered is not lost where it fails in the end: the same command goes on from there.
    """
    ref = engine_ref(policy)
    if file.exists():
        raise ConfigError(f"{file} is there already, perhaps with labels; name another with --out")
    asked = Reader().read("prompts", Prompt, (prompts,))
    kept = file.with_name(f".{file.name}.answers")
    engine = open_engine(ref, kept)
    with reporting() as reporter, counting(reporter, "pairs") as told:
        collected = answer_pairs(engine, asked, pairs, seed, told)
    write_records(file, collected.pairs)
    kept.unlink(missing_ok=True)
    if as_json:
        print_json({"pairs": len(collected.pairs), "file": str(file), "skipped": dict(collected.skipped)})
        return
    out.print(Text(f"{len(collected.pairs)} pairs wait for a label in {file}"), soft_wrap=True)
    for reason, count in collected.skipped.most_common():
        warn(f"{count} prompts were skipped, whose answers were {reason} however often they were asked")
