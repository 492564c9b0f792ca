"""`gnomon data`: look at a file of rows before it trains anything."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnomon.data.formats import Loaded, load
from gnomon.markup import visible
from gnomon.records import (
    Comparison,
    Conversation,
    Critique,
    Demonstration,
    Message,
    Ranking,
    Rating,
    Record,
    to_json,
)

NAMED = 12
"""Annotators that are named."""
QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
SHOWN = 160
"""Characters shown of a text."""

data_app = typer.Typer(help="Look at data.", no_args_is_help=True)


@data_app.callback()
def _group() -> None:
    """Look at data."""


@data_app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="A file of rows, or hub:ORG/NAME[:SPLIT].")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="How many records to show.")] = 3,
    on_bad_row: Annotated[
        Literal["skip", "stop"], typer.Option(help="Count unusable rows, or stop at the first.")
    ] = "skip",
) -> None:
    """Say what a file holds: its shape, what is usable, what is not and why, lengths, a few records."""
    loaded = load(file, on_bad_row=on_bad_row, skip_by="pass --on-bad-row=skip")
    if as_json:
        summary = summary_of(loaded, file) | {"sample": [to_json(record) for record in loaded.records[:rows]]}
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(summary_of(loaded, file), loaded.records[:rows], Console())


def summary_of(loaded: Loaded, file: str) -> dict[str, Any]:
    """What `inspect` prints, as plain JSON values; lengths are in words."""
    dropped = {
        reason: {"rows": count, "examples": list(loaded.examples[reason])}
        for reason, count in loaded.dropped.most_common()
    }
    return {
        "file": file,
        "dialect": loaded.dialect,
        "rows": loaded.rows,
        "usable_rows": loaded.rows - loaded.dropped.total(),
        "records": dict(Counter(_kind(record) for record in loaded.records)),
        "dropped": dropped,
        "sources": dict(Counter(source for record in loaded.records if (source := _source(record)))),
        "assumed_source": loaded.assumed_source,
        "annotators": dict(Counter(_annotators(loaded.records)).most_common()),
        "later_turns": loaded.later_turns,
        "unread": list(loaded.unread),
        "desirable": _desirable(loaded.records),
        "words": {name: _quantiles(values) for name, values in _lengths(loaded.records).items() if values},
        "chosen_is_longer": _chosen_is_longer(loaded.records),
    }


def _kind(record: Record) -> str:
    return type(record).__name__.lower()


def _source(record: Record) -> str | None:
    if isinstance(record, Comparison):
        return record.label.source if record.label else None
    if isinstance(record, Ranking) and record.scores is None:
        return None
    return record.source if isinstance(record, Ranking | Rating) else None


def _annotators(records: Sequence[Record]) -> Iterator[str]:
    labels = (record.label for record in records if isinstance(record, Comparison))
    return (label.annotator for label in labels if label and label.annotator is not None)


def _answers(record: Record) -> dict[str, tuple[str, ...]]:
    """The answers of a record by the part they play in it."""
    match record:
        case Demonstration():
            return {"answer": (record.response,)}
        case Rating():
            return {"desirable" if record.desirable else "undesirable": (record.response,)}
        case Comparison():
            return _sides(record)
        case Ranking():
            return {"answer": record.responses}
        case Critique():
            return {"response": (record.response,), "revision": (record.revision,)}
        case _:
            return {}


def _sides(record: Comparison) -> dict[str, tuple[str, ...]]:
    if record.label is None or record.label.preference == 0.5:
        return {"undecided": (_text(record.first), _text(record.second))}
    return {"chosen": (_text(record.chosen),), "rejected": (_text(record.rejected),)}


def _prompt(record: Record) -> Conversation:
    return record.prompt if hasattr(record, "prompt") else record.conversation


def _text(turns: Sequence[Message]) -> str:
    return "\n\n".join(turn.content for turn in turns)


def _words(text: str) -> int:
    return len(text.split())


def _lengths(records: Sequence[Record]) -> dict[str, list[int]]:
    lengths: dict[str, list[int]] = {
        "prompt": [_words(_text(_prompt(record).messages)) for record in records]
    }
    for record in records:
        for part, texts in _answers(record).items():
            lengths.setdefault(part, []).extend(map(_words, texts))
    return lengths


def _quantiles(values: Sequence[int]) -> dict[str, float]:
    return {name: float(np.quantile(values, share)) for name, share in QUANTILES.items()}


def _chosen_is_longer(records: Sequence[Record]) -> dict[str, int] | None:
    """In how many decided comparisons the chosen answer has more words, fewer, or as many."""
    counts = {"longer": 0, "shorter": 0, "equal": 0}
    for record in records:
        parts = _answers(record)
        if "chosen" in parts:
            difference = _words(parts["chosen"][0]) - _words(parts["rejected"][0])
            counts["longer" if difference > 0 else "shorter" if difference < 0 else "equal"] += 1
    return counts if any(counts.values()) else None


def _desirable(records: Sequence[Record]) -> dict[str, int] | None:
    """How many of the answers that were each judged are desirable, and how many are not."""
    verdicts = [record.desirable for record in records if isinstance(record, Rating)]
    return {"desirable": sum(verdicts), "undesirable": verdicts.count(False)} if verdicts else None


def _show(summary: dict[str, Any], records: Sequence[Record], console: Console) -> None:
    kinds = (
        ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in summary["records"].items())
        or "no records"
    )
    console.print(Text.assemble((summary["file"], "bold"), f": {summary['dialect']}, {kinds}"))
    console.print(f"{summary['usable_rows']} of {summary['rows']} rows are usable")
    if summary["later_turns"]:
        console.print(f"{summary['later_turns']} later turns are left aside: only the first is a prompt")
    if summary["unread"]:
        keys = ", ".join(map(repr, summary["unread"]))
        console.print(Text(f"read as prompts alone: nothing reads {keys}; if they hold answers, rename them"))
    if summary["sources"]:
        judged = ", ".join(f"{source} {count}" for source, count in summary["sources"].items())
        guess = (
            f" ({summary['assumed_source']} rows do not say: counted as ai)"
            if summary["assumed_source"]
            else ""
        )
        console.print(f"judged by: {judged}{guess}")
    if summary["annotators"]:
        console.print(_named(summary["annotators"]))
    if summary["dropped"]:
        console.print(_dropped_table(summary["dropped"]))
    if summary["words"]:
        console.print(_words_table(summary["words"]))
    if longer := summary["chosen_is_longer"]:
        share = longer["longer"] / max(1, longer["longer"] + longer["shorter"])
        console.print(
            f"the chosen answer is longer in {longer['longer']}, shorter in {longer['shorter']}, "
            f"as long in {longer['equal']}: 'longer wins' is right in {share:.1%} of those that differ"
        )
    if verdicts := summary["desirable"]:
        console.print(f"{verdicts['desirable']} answers are desirable, {verdicts['undesirable']} are not")
    for record in records:
        console.print(_sample(record))


def _named(annotators: dict[str, int]) -> Text:
    """How many judged, and how often those who did most."""
    first = ", ".join(f"{visible(name)} {count}" for name, count in list(annotators.items())[:NAMED])
    return Text(f"{len(annotators)} annotators: {first}{', …' if len(annotators) > NAMED else ''}")


def _dropped_table(dropped: dict[str, Any]) -> Table:
    table = Table("dropped because", "rows", "for example rows")
    for reason, found in dropped.items():
        table.add_row(reason, str(found["rows"]), ", ".join(map(str, found["examples"])))
    return table


def _words_table(words: dict[str, dict[str, float]]) -> Table:
    table = Table("words", *QUANTILES)
    for part, quantiles in words.items():
        table.add_row(part, *(f"{value:g}" for value in quantiles.values()))
    return table


def _sample(record: Record) -> Text:
    """One record, shortened; as Text, so that brackets in it are not taken for markup."""
    sample = Text.assemble("\n", (record.id, "bold"))
    for turn in _prompt(record).messages:
        sample.append(f"\n  {turn.role}: {_short(turn.content)}")
    for part, texts in _answers(record).items():
        for text in texts:
            sample.append(f"\n  {part}: ", style="bold").append(_short(text))
    return sample


def _short(text: str) -> str:
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= SHOWN else f"{flat[: SHOWN - 1]}…"
