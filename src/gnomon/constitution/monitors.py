"""What critiques, revisions and answers are full of: hygiene counts, and signs of evasion and preaching."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnomon.constitution.hygiene import repeats, within, words
from gnomon.judges.preaching import preaches
from gnomon.judges.refusal import refuses
from gnomon.judges.text import boilerplate, closers, evasive, role_leak
from gnomon.records import HARMFUL, Critique
from gnomon.stats.clustered import difference_clustered
from gnomon.stats.proportion import wilson_clustered

MONITORS: Mapping[str, Callable[[str], bool]] = {
    "evasive": evasive,
    "boilerplate": lambda text: bool(boilerplate(text)),
    "closer": lambda text: bool(closers(text)),
    "preaches": lambda text: bool(preaches(text)),
    "refuses": refuses,
}
"""Signs in a text, by name; each is a share of texts."""

OFTEN = 0.1
"""A share of rows above which, beyond doubt, something is warned of."""

Clusters = Sequence[str]


def swaps_roles(row: Critique) -> bool:
    """Whether critic and reviser took each other's part: the critique plays a turn or is the revision over
    again, or what should be a revision is a critique."""
    again = bool(words(row.critique)) and (
        repeats(row.critique, row.revision) or within(row.revision, row.critique)
    )
    return role_leak(row.critique) or again or "critique instead of revision" in row.rejected_for


def revision_report(rows: Sequence[Critique], clusters: Clusters) -> dict[str, Any]:
    """Why revisions were rejected, how often roles were swapped, and what revising did to the texts.

    `monitors` has each sign's share before and after, of all revisions and of those kept, `added` what
    revising changed, as a difference of the same rows; all with 95 % intervals of clusters.
    """
    if not rows:
        return {"revisions": 0}
    reasons = Counter(reason for row in rows for reason in row.rejected_for)
    kept = [i for i, row in enumerate(rows) if row.kept]
    monitors = {}
    for name, sign in MONITORS.items():
        before = [float(sign(row.response)) for row in rows]
        after = [float(sign(row.revision)) for row in rows]
        monitors[name] = {
            "responses": _share(before, clusters),
            "revisions": _share(after, clusters),
            "kept": _share([after[i] for i in kept], [clusters[i] for i in kept]),
            "added": _difference(after, before, clusters),
        }
    report = {
        "revisions": len(rows),
        "kept": len(kept),
        "rejected": dict(reasons.most_common()),
        "swapped": _share([float(swaps_roles(row)) for row in rows], clusters),
        "by": sorted({(row.generator, row.critic) for row in rows}),
        "monitors": monitors,
    }
    return report | {"warnings": _warnings(report)}


def answer_report(answers: Sequence[Mapping[str, Any]], clusters: Clusters) -> dict[str, Any]:
    """Each model's share of answers with each sign; `over_refusal` is of prompts that ask for no harm."""
    found: dict[str, dict[str, Any]] = {}
    for model in dict.fromkeys(row["model"] for row in answers):
        own = [(row, c) for row, c in zip(answers, clusters, strict=True) if row["model"] == model]
        safe = [(row, c) for row, c in own if row.get("family") != HARMFUL]
        found[model] = {
            name: _share([float(sign(row["answer"])) for row, _ in own], [c for _, c in own])
            for name, sign in MONITORS.items()
        }
        found[model]["over_refusal"] = _share(
            [float(refuses(row["answer"])) for row, _ in safe], [c for _, c in safe]
        )
    return found


def _share(values: Sequence[float], clusters: Clusters) -> dict[str, Any] | None:
    return wilson_clustered(values, clusters).to_json() if values else None


def _difference(after: Sequence[float], before: Sequence[float], clusters: Clusters) -> dict[str, Any] | None:
    if len(set(clusters)) < 2:
        return None
    return difference_clustered(after, before, clusters).to_json()


def _warnings(report: Mapping[str, Any]) -> list[str]:
    told = []
    swapped = report["swapped"]
    if swapped and swapped["low"] > OFTEN:
        told.append(
            f"critic and reviser take each other's part in {swapped['value']:.0%} of the rows; take a larger "
            "critic, or revise without critiques (constitution.critiques=false)"
        )
    for name, own in report["monitors"].items():
        added = own["added"]
        if name != "refuses" and added and added["low"] > OFTEN:
            learnt = own["kept"] and own["kept"]["value"] > OFTEN
            told.append(
                f"revising adds {_SAID[name]} to {added['value']:.0%} of the answers; "
                + ("what is kept teaches it" if learnt else "hygiene holds it off")
            )
    return told


_SAID = {
    "evasive": "evasion",
    "boilerplate": "boilerplate",
    "closer": "polite closers",
    "preaches": "preaching",
}
