"""The same road with one labeller after the other: what a better one would have made of it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.errors import ConfigError
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.sweep import walked
from gnomon.recipe import changed
from gnomon.runs import write_json
from gnomon.settings.feedback import SnapshotSettings
from gnomon.settings.policy import CONSTITUTION

TABLE, FOLDER = "labellers.json", "labellers"
"""What the rows are written to, and the folder of each road's summary and report."""


def sweep(recipe: Recipe, labellers: Sequence[str], out: Path, reporter: Reporter) -> list[dict[str, Any]]:
    """Walk the road with each labeller, all in one folder, so that what they have in common is made once.

    Each labels, or scores, alone: where its gate stays shut, its road goes on without it. A row says what the
    gate found and what the last model is like. ConfigError for a recipe without a constitution or in which
    nothing else pays then, or a labeller that is named twice or cannot score.
    """
    if recipe.constitution is None:
        raise ConfigError("constitution is null in this recipe, and nothing in it labels; leave that out")
    if not _goes_on(recipe, recipe.constitution):
        raise ConfigError(
            "policy.rewards is constitution alone, and a labeller whose gate stays shut would leave nothing "
            "that pays: leave `reward` in, add another source, or set constitution.feedback.gate=warns"
        )
    names = {name: re.sub(r"[^\w.-]+", "-", name) for name in labellers}
    if len(set(names.values())) < len(labellers):
        raise ConfigError("a labeller is named twice; name each once")
    recipes = {names[name]: labelled_by(recipe, recipe.constitution, name) for name in names}
    rows: list[dict[str, Any]] = []
    for name, summary in zip(names, walked(recipes, out, out / FOLDER, reporter), strict=False):
        rows.append(row_of(name, summary))
        write_json(out / TABLE, rows)
    return rows


def labelled_by(recipe: Recipe, settings: ConstitutionSettings, labeller: str) -> Recipe:
    """The recipe with this labeller and no other in its place, its models measured."""
    own = changed(
        settings,
        roles=changed(settings.roles, labeller=labeller),
        feedback=changed(settings.feedback, when_shut="helpful_only"),
        snapshots=settings.snapshots or SnapshotSettings(),
    )
    return changed(recipe, constitution=own)


def _goes_on(recipe: Recipe, settings: ConstitutionSettings) -> bool:
    """Whether something pays the policy where whoever labels may not."""
    if recipe.policy is None or not recipe.pays_directly or settings.feedback.gate == "warns":
        return True
    others = (term for term in recipe.policy.rewards if term.source != CONSTITUTION)
    return recipe.reward is not None or any(term.weighs for term in others)


def row_of(labeller: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A road's row: the accuracy at the gate, of scores where they are to pay, the labels it let through, and
    the figures of its last model."""
    found, last = summary["snapshots"], summary["snapshots"]["order"][-1]
    own = summary["constitution"]
    gate = own["outcome"]["direct"]["gates"][-1] if "direct" in own["outcome"] else own["gate"]
    return {
        "labeller": labeller,
        "accuracy": gate["accuracy"],
        "passed": gate["passed"],
        "labels": own.get("ai_comparisons", 0),
        "model": found["titles"][last],
        "figures": found["models"][last],
        "snapshots": found,
    }
