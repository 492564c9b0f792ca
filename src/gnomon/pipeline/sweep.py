"""Several recipes, each with several seeds, in one folder: which is better, and by more than chance."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.config import Recipe
from gnomon.errors import ConfigError
from gnomon.evaluation.seeds import differences_over_seeds, models_over_seeds
from gnomon.evaluation.summary import Rows, by_model
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.road import run
from gnomon.pipeline.rows import read_lines
from gnomon.recipe import changed
from gnomon.runs import storing, write_json

TABLE, FOLDER = "sweep.json", "sweep"
"""What the rows are written to, and the folder of each walk's summary and report."""

LAST = ("policy", "preference", "constitutional", "sft")
"""Whose figures a road is judged by: the first of these that it has."""

SEEDED = ("preference", "policy")
"""Sections with a seed of their own."""


def sweep(
    recipes: Sequence[Recipe], seeds: int, out: Path, reporter: Reporter, *, whole: bool = False
) -> list[dict[str, Any]]:
    """Walk each recipe with so many seeds, all in one folder, so that what they have in common is made once:
    all of them with one seed before any with the next, and what came out so far is written each time.

    A seed is of what is optimised alone, from the same tuned model and against the same reward models; or of
    the `whole` road. A row says what a recipe's seeds come to together, and how its last model differs from
    the first recipe's. ConfigError for recipes of one name, and for those that have nothing to be seeded.
    """
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"several recipes are called {', '.join(twice)}; give each a `name` of its own")
    walks = {f"{recipe.name}-{k}": seeded(recipe, k, whole=whole) for k in range(seeds) for recipe in recipes}
    answers: dict[str, list[Rows]] = {name: [] for name in names}
    costs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    rows: list[dict[str, Any]] = []
    for recipe, summary in zip(walks.values(), walked(walks, out, out / FOLDER, reporter), strict=False):
        name = recipe.name
        answers[name].append(by_model(read_lines(out / "answers.jsonl")))
        costs[name].append(_cost(recipe, summary, last_of(answers[name][-1])))
        if name == names[-1]:  # each has one seed more
            rows = [row_of(own, answers[own], costs[own], answers[names[0]]) for own in names]
            write_json(out / TABLE, rows)
    return rows


def walked(
    recipes: Mapping[str, Recipe], out: Path, kept: Path, reporter: Reporter
) -> Iterator[dict[str, Any]]:
    """Each walk's summary, which is kept in a folder with its report before the next one begins; of several
    processes the first alone has any."""
    for name, recipe in recipes.items():
        summary = run(recipe, out, reporter)
        if summary:
            write_json(kept / f"{name}.json", summary)
            with storing(out):
                shutil.copyfile(out / "report.html", kept / f"{name}.html")
            yield summary


def seeded(recipe: Recipe, more: int, *, whole: bool) -> Recipe:
    """The recipe with a seed so much higher: of all of it, or of each section with a seed of its own."""
    if whole:
        return changed(recipe, seed=recipe.seed + more)
    own = {name: section for name in SEEDED if (section := getattr(recipe, name)) is not None}
    if not own:
        raise ConfigError(
            f"{recipe.name}: nothing is optimised after tuning, so there is nothing to be seeded but the "
            "whole road (--whole); or set preference or policy"
        )

    def seed(of: int | None) -> int:
        return (recipe.seed if of is None else of) + more

    return changed(
        recipe, **{name: changed(section, seed=seed(section.seed)) for name, section in own.items()}
    )


def row_of(
    name: str, answers: Sequence[Rows], costs: Sequence[Mapping[str, Any]], first: Sequence[Rows]
) -> dict[str, Any]:
    """A recipe's row: what its seeds took, the figures of its models and how they differ over seeds, and how
    its last model differs from that of the `first` recipe."""
    last, its = last_of(answers[0]), last_of(first[0])
    return {
        "recipe": name,
        "last": last,
        "costs": list(costs),
        "models": models_over_seeds(answers),
        "differences": differences_over_seeds(answers),
        "over_first": [] if answers is first else differences_over_seeds(answers, first, [(last, its)]),
    }


def last_of(models: Rows) -> str:
    """The model that a road leads to."""
    return next(name for name in LAST if name in models)


def _cost(recipe: Recipe, summary: Mapping[str, Any], last: str) -> dict[str, Any]:
    """What a seed's last model took to train."""
    own = getattr(getattr(recipe, last), "seed", None)
    seed = recipe.seed if own is None else own
    return {"seed": seed, "steps": summary[last]["steps"], **summary["costs"]["stages"][last]}
