"""What a constitutional road came to: who learnt what from whose labels, and what it went on without."""

from collections.abc import Mapping
from typing import Any

from gnomon.config import ConstitutionSettings
from gnomon.pipeline.labellers import DIRECT, DIRECT_JUDGE, FEEDBACK, FEEDBACK_JUDGE, deciding
from gnomon.pipeline.stage import Artefact
from gnomon.runs import read_json

SNAPSHOTS = {"base": "Base", "sft": "Helpful", "constitutional": "SL-CAI", "preference": "Preference-tuned"}
"""What a snapshot is called, but for the optimised one, whose name says whose labels it learnt from."""


def outcome(settings: ConstitutionSettings, made: Mapping[str, Artefact]) -> dict[str, Any]:
    """What the summary says of a road whose revisions and labels are made.

    `labels` is who gave the labels that were learnt from: `model`, `trained_judge`, `truth`, or None. `shut`
    names the labellers whose gate stayed shut, `gates` has every gate in turn. `told` is all of it in
    sentences, `warnings` those of them that say what there was to be and is not. `direct`, where a policy was
    to be paid by the constitution itself, says the same of whoever scores.
    """
    reports = _reports(made, FEEDBACK, FEEDBACK_JUDGE)
    shut = [report["labeller"] for report in reports.values() if report["gate_held"]]
    last = deciding(made)
    learnt = reports[last.stage] if last is not None and reports[last.stage]["ai_comparisons"] else None
    labels = None if last is None or learnt is None else _kind(settings, last.stage)
    found: dict[str, Any] = {
        "labels": labels,
        "shut": shut,
        "gates": [{"labeller": report["labeller"], **report["gate"]} for report in reports.values()],
        "sl_start": settings.sl_start if "constitutional" in made else None,
        "rl_start": settings.rl_start if "constitutional" in made else "sft",
    }
    warnings = [*_lost(settings, made), *_shut(settings, shut, labels), *_below(learnt)]
    told = _learnt(labels, learnt)
    if scored := _reports(made, DIRECT, DIRECT_JUDGE):
        found["direct"] = direct = _direct(scored)
        warnings += _unpaid(settings, direct)
        told += _paid(settings, direct)
    return found | {"warnings": warnings, "told": [*warnings, *told]}


def _reports(made: Mapping[str, Artefact], *stages: str) -> dict[str, Any]:
    return {stage: read_json(made[stage].path / "report.json") for stage in stages if stage in made}


def _direct(reports: Mapping[str, Any]) -> dict[str, Any]:
    """Who scores the policy's samples by the constitution: `model`, `trained_judge`, or None where every gate
    stayed shut."""
    in_ = [(stage, report) for stage, report in reports.items() if not report["gate_held"]]
    return {
        "paid_by": None if not in_ else "model" if in_[-1][0] == DIRECT else "trained_judge",
        "scorer": in_[-1][1]["labeller"] if in_ else None,
        "below": [report["labeller"] for _, report in in_ if not report["gate"]["passed"]],
        "shut": [report["labeller"] for report in reports.values() if report["gate_held"]],
        "gates": [{"labeller": report["labeller"], **report["gate"]} for report in reports.values()],
    }


def _unpaid(settings: ConstitutionSettings, direct: Mapping[str, Any]) -> list[str]:
    """What pays where whoever was to score stayed outside, and who pays though below the bar."""
    told = [
        f"the scores of {name} are below the bar of the gate and paid the policy all the same, as "
        "constitution.feedback.gate says (warns)"
        for name in direct["below"]
    ]
    if not direct["shut"]:
        return told
    pays = {
        "trained_judge": "a judge trained on the given comparisons, which reads no principle, paid instead",
        None: "nothing was paid by principles: what paid are the other rewards, or the reward model",
    }
    return [
        f"the gate stayed shut for {' and '.join(direct['shut'])} as who scores answers; as "
        f"constitution.feedback.when_shut says ({settings.feedback.when_shut}), {pays[direct['paid_by']]}",
        *told,
    ]


def _paid(settings: ConstitutionSettings, direct: Mapping[str, Any]) -> list[str]:
    if direct["paid_by"] != "model":
        return []
    return [
        f"the policy was paid by principles: {direct['scorer']} scored its answers by "
        f"{settings.direct.method}, with no reward model between"
    ]


def titles(found: Mapping[str, Any]) -> dict[str, str]:
    """What each snapshot is called."""
    name = "RL-CAI" if found["rl_start"] == "constitutional" else "RL from AI feedback"
    called = {
        None: "RL, no AI labels",
        "model": name,
        "trained_judge": f"{name}, trained judge",
        "truth": f"{name}, planted labels",
    }
    paid = found.get("direct", {}).get("paid_by")
    direct = {"model": f"{name}, direct", "trained_judge": called["trained_judge"]}
    return SNAPSHOTS | {"policy": direct.get(paid, called[found["labels"]])}


def _kind(settings: ConstitutionSettings, stage: str) -> str:
    """Who gave the labels of a stage."""
    if stage == FEEDBACK_JUDGE:
        return "trained_judge"
    return "model" if settings.roles.noise is None else "truth"


def _below(learnt: Mapping[str, Any] | None) -> list[str]:
    """That labels were learnt from whose labeller is below the bar."""
    if learnt is None or learnt["gate"]["passed"]:
        return []
    return [
        f"the labels of {learnt['labeller']} are below the bar of the gate and were learnt from all the "
        "same, as constitution.feedback.gate says (warns)"
    ]


def _lost(settings: ConstitutionSettings, made: Mapping[str, Artefact]) -> list[str]:
    """What is missing where no model learnt from revisions, and the road was to go on from it."""
    if "constitutional" in made or settings.rl_start != "constitutional":
        return []
    return [
        "no model learnt from revisions, as too few passed hygiene: pairs, labels and policy are those of "
        "the instruction-tuned model, and nothing here is RL-CAI as published"
    ]


def _shut(settings: ConstitutionSettings, shut: list[str], labels: str | None) -> list[str]:
    """What the road did where the gate of AI labels stayed shut, and by which setting."""
    if not shut:
        return []
    went = {
        "trained_judge": "a judge trained on the given comparisons labelled in its place",
        None: "nothing was learnt from AI labels: what is optimised for are the given comparisons alone",
    }
    chosen = f"as constitution.feedback.when_shut says ({settings.feedback.when_shut})"
    return [f"the gate stayed shut for {' and '.join(shut)}; {chosen}, {went.get(labels, went[None])}"]


def _learnt(labels: str | None, report: Mapping[str, Any] | None) -> list[str]:
    if labels is None or report is None:
        return []
    reads = {
        "model": "",
        "trained_judge": ", which reads no principle",
        "truth": ", which reads no principle and is there to be compared with",
    }
    return [f"{report['ai_comparisons']} labels are those of {report['labeller']}{reads[labels]}"]
