"""Reward models measured on comparisons: every pair's scores kept, figures as those of a road's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.config import DataSettings
from gnomon.data.reader import Reader
from gnomon.data.sources import read_data
from gnomon.errors import ConfigError, DataError
from gnomon.evaluation.examine import Progress
from gnomon.evaluation.reward import error_correlation, reward_rows, scored_report
from gnomon.evaluation.stock import STOCK, stock_report
from gnomon.models.reward_model import HEAD_FILE, Score, Scorer, load_scorer
from gnomon.pipeline.account import free_memory, peak_memory_gib
from gnomon.pipeline.examination import timed
from gnomon.pipeline.lineage import software
from gnomon.pipeline.openings import Opening, record
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stages import Start
from gnomon.records import Comparison, Message
from gnomon.runs import RunFolder, write_json
from gnomon.store import content_id
from gnomon.training.reward import score_comparisons

HELD_OUT = "builtin:test"
"""The built-in comparisons that a run of seed 0 with all of them holds out."""

BATCH = 64
"""Comparisons after which progress is told."""


def examine_rewards(
    models: Mapping[str, str], comparisons: str, out: Path, reporter: Reporter
) -> dict[str, Any]:
    """Every reward model (name to reference) on the labelled pairs of a file, or on `HELD_OUT`.

    `rows.jsonl` has a row for each model and pair, `summary.json` each model's figures, and how its errors
    correlate with those of the first. There is one model in memory at a time. ConfigError for a reference
    that is no reward model and where another process holds `out`, DataError where no pair has a better
    answer.
    """
    folders = {name: _folder(ref) for name, ref in models.items()}
    pairs, dropped = _pairs(comparisons)
    seconds: dict[str, float] = {}
    scores: dict[str, tuple[list[Score], list[Score]]] = {}
    figures: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    looks: list[Opening] = []
    with RunFolder(out).open():
        for name, folder in folders.items():
            with timed(reporter, name, seconds) as told:
                scorer = load_scorer(folder)
                first, second = scores[name] = _scored(scorer, pairs, told)
                stock = _stock(scorer, pairs, first, second)
            figures[name] = scored_report(scorer, pairs, first, second) | {"stock": stock}
            rows += [{"model": name, **row} for row in reward_rows(scorer, pairs, first, second)]
            seen = content_id([Start(f"path:{folder}").digest, comparisons, [pair.id for pair in pairs]])
            looks.append(Opening.now(f"{name}: comparisons", seen))
            del scorer
            free_memory()
        summary = {
            "models": dict(models),
            "comparisons": {
                "of": comparisons,
                "pairs": len(pairs),
                "ties": sum(pair.is_tie for pair in pairs),
                "dropped": dropped,
                "judged_by": sorted({pair.label.source for pair in pairs if pair.label is not None}),
            },
            "rewards": figures,
            "error_correlation": _correlations(pairs, scores),
            "costs": {"seconds": seconds, "peak_memory_gib": round(peak_memory_gib(), 2)},
            "software": software(),
        }
        write_lines(out / "rows.jsonl", rows)
        write_json(out / "summary.json", summary)
        if twice := record(RunFolder(out), looks):
            reporter.warning(twice)
    return summary


def _folder(ref: str) -> Path:
    folder = Path(ref.removeprefix("path:"))
    if not (folder / HEAD_FILE).exists():
        raise ConfigError(f"{ref} is no reward model (no {HEAD_FILE}); make one with gnomon train reward")
    return folder


def _pairs(comparisons: str) -> tuple[list[Comparison], dict[str, int]]:
    """The labelled pairs, and how many rows could not be used, by reason."""
    dropped: dict[str, int] = {}
    if comparisons == HELD_OUT:
        nothing: dict[str, Any] = dict.fromkeys(("demonstrations", "prompts", "red_team", "evaluation"), ())
        pairs = list(read_data(DataSettings(**nothing), seed=0).test)
    else:
        reader = Reader("skip")
        pairs = reader.read("comparisons", Comparison, [comparisons])
        dropped = {reason: n for reasons in reader.dropped.values() for reason, n in reasons.items()}
    if not any(not pair.is_tie for pair in pairs):
        raise DataError(f"{comparisons} has no pair with a better answer; give labelled comparisons")
    return pairs, dropped


def _scored(scorer: Scorer, pairs: Sequence[Comparison], told: Progress) -> tuple[list[Score], list[Score]]:
    first: list[Score] = []
    second: list[Score] = []
    for start in range(0, len(pairs), BATCH):
        one, other = score_comparisons(scorer, pairs[start : start + BATCH])
        first += one
        second += other
        told(len(first), len(pairs))
    return first, second


def _stock(
    scorer: Scorer, pairs: Sequence[Comparison], first: Sequence[Score], second: Sequence[Score]
) -> dict[str, Any]:
    """What it pays for stock answers to the prompts of the pairs."""
    scores = {
        kind: scorer.score(
            [scorer.lm.encode(row.prompt.then(Message("assistant", text))).ids for row in pairs]
        )
        for kind, text in STOCK.items()
    }
    one, other = ([score.value for score in own] for own in (first, second))
    return stock_report(pairs, one, other, scores)


def _correlations(
    pairs: Sequence[Comparison], scores: Mapping[str, tuple[Sequence[Score], Sequence[Score]]]
) -> dict[str, float | None]:
    """Of each later model's margins with the first one's."""
    values = {
        name: ([score.value for score in first], [score.value for score in second])
        for name, (first, second) in scores.items()
    }
    leading, *others = values
    return {name: error_correlation(pairs, values[leading], values[name]) for name in others}
