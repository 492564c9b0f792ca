"""Verdicts on the answers of a road's models against the helpful one's, by a judge that taught nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon.config import Recipe
from gnomon.constitution.gate import measured
from gnomon.data.splits import take
from gnomon.evaluation.agreement import clusters_of
from gnomon.evaluation.judging import judged, outcomes
from gnomon.evaluation.snapshots import REFERENCE
from gnomon.judges.judgement import Abstention, PairwiseJudge
from gnomon.pipeline.feedback import gate_comparisons
from gnomon.pipeline.judges import Case, judge_id, open_judge, question_ids
from gnomon.pipeline.roles import asked_once, kept_rows
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.stage import Artefact, StageContext
from gnomon.records import HARMFUL, Comparison, Conversation, Message
from gnomon.runs import read_json

SECOND = "the second reward model"

Rows = Mapping[str, Sequence[Any]]
"""Each model's answers, in the order of the prompts."""

Outcomes = list[tuple[float, str]]
"""1 where a model's answer beats the helpful one's, 0 where it loses, a half for a tie; with the cluster."""


@dataclass(frozen=True)
class Verdicts:
    """Who judged, how well on pairs whose better answer is known and of how many it said nothing, by model
    and reason (`abstained`); and the outcomes by model and kind of prompt."""

    judge: Mapping[str, Any]
    wins: Mapping[str, Mapping[str, Outcomes]] = field(default_factory=dict)


def by_second(second: Artefact, harmful: Rows, helpful: Rows) -> Verdicts:
    """By the scores of the second reward model, which are in the rows."""
    report = read_json(second.path / "report.json")
    known = {"accuracy": report["accuracy"], HARMFUL: report.get("by_reason", {}).get(HARMFUL)}
    about = {"name": SECOND, "ref": f"{second.stage}:{second.id}", "known": known}
    parts = {"harmful": harmful, "helpful": helpful}
    wins = {
        name: {part: by_score(rows[name], rows[REFERENCE]) for part, rows in parts.items()}
        for name in _others(harmful)
    }
    return Verdicts(about, wins)


def by_score(rows: Sequence[Any], others: Sequence[Any]) -> Outcomes:
    """Which of two models' answers has the higher score, equal ones half."""
    key = "reward/second"
    return [
        ((1 + (own[key] > other[key]) - (own[key] < other[key])) / 2, own["cluster"])
        for own, other in zip(rows, others, strict=True)
    ]


def by_judge(
    context: StageContext, recipe: Recipe, ref: str, harmful: Rows, helpful: Rows, count: int
) -> Verdicts:
    """By a judge that is asked, about all harmful prompts and `count` of the helpful ones, a seeded slice."""
    chosen = {row["prompt_id"] for row in take(helpful[REFERENCE], count, recipe.seed, _family)}
    some = {name: [row for row in own if row["prompt_id"] in chosen] for name, own in helpful.items()}
    parts = {"harmful": harmful, "helpful": some}
    cut = [
        (_id(row), row["answer"])
        for part in parts.values()
        for own in part.values()
        for row in own
        if not _ended(row)
    ]
    case = Case({}, {}, frozenset(cut), asked_once)
    judge = open_judge(ref, case, context.work / "replies.jsonl")
    kept, own_id = kept_rows(context.work / "judged.jsonl"), judge_id(ref)
    wins: dict[str, dict[str, Outcomes]] = {}
    abstained: dict[str, Counter[str]] = {}
    for done, name in enumerate(_others(harmful)):
        context.progress(done, len(harmful), name)
        for part, rows in parts.items():
            pairs = [_pair(*both) for both in zip(rows[name], rows[REFERENCE], strict=True)]
            said = judged(judge, pairs, kept, question_ids(own_id, pairs, case))
            reasons = [own.reason for own in said if isinstance(own, Abstention)]
            if reasons:
                abstained.setdefault(name, Counter()).update(reasons)
            told = [
                (value, row["cluster"])
                for value, row in zip(outcomes(judge, said), rows[name], strict=True)
                if value is not None
            ]
            wins.setdefault(name, {})[part] = told
    about = {"name": ref, "ref": ref, "known": _known(context, recipe, judge)}
    return Verdicts(about | {"abstained": {name: dict(own) for name, own in abstained.items()}}, wins)


def left_out(judge: Mapping[str, Any]) -> list[str]:
    """A sentence for each model of which the judge said nothing on some prompts."""
    return [
        f"the judge of the snapshots says nothing of {sum(reasons.values())} answers of {model} "
        f"({', '.join(reasons)}); its figures are of the others"
        for model, reasons in judge.get("abstained", {}).items()
    ]


def _known(context: StageContext, recipe: Recipe, judge: PairwiseJudge) -> dict[str, Any]:
    """How often the judge is right on held-out comparisons that a constitution speaks about."""
    assert recipe.constitution is not None
    test = read_records(context.inputs["data"].file("test.jsonl"), Comparison)
    pairs = gate_comparisons(test, recipe.constitution, recipe.seed)
    if not pairs:
        return {"accuracy": None, HARMFUL: None}
    return {
        "accuracy": measured(judge.prefer(pairs), pairs, clusters_of(pairs)).accuracy.to_json(),
        HARMFUL: None,
    }


def _pair(row: Any, other: Any) -> Comparison:
    first, second = ((Message("assistant", own["answer"]),) for own in (row, other))
    return Comparison(_id(row), Conversation.of(row["prompt"]), first, second)


def _others(rows: Rows) -> list[str]:
    return [name for name in rows if name != REFERENCE]


def _ended(row: Any) -> bool:
    return bool(row["ended"] if "ended" in row else row["values"]["ends_turn"])


def _id(row: Any) -> str:
    return str(row["prompt_id"] if "prompt_id" in row else row["id"])


def _family(row: Any) -> str:
    return str(row["family"])
