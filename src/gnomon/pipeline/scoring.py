"""What follows when a reward model's weights are there: scores settled, measured on held-out rows, saved."""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch

from gnomon.config import Recipe, RewardSettings
from gnomon.data.splits import Role, assign, cluster, opening
from gnomon.distributed import spread_over
from gnomon.errors import DataError
from gnomon.evaluation.reward import scored_report
from gnomon.models.reward_model import Score, Scorer, save_scorer
from gnomon.pipeline.card import model_card
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.stage import Artefact, StageContext
from gnomon.records import Comparison, Demonstration
from gnomon.runs import write_json
from gnomon.stats.within import slope_within
from gnomon.training.reward import score_comparisons

MODEL = "model"
"""The folder of a stage's artefact that `path:` can load."""

APART: Mapping[Role, float] = {"reward": 0.9, "dev": 0.1}
"""Shares of the comparisons that train, and that tell what length explains of the scores."""


def held_apart(
    rows: Sequence[Comparison], settings: RewardSettings, seed: int
) -> tuple[list[Comparison], list[Comparison]]:
    """The comparisons that train, and those kept for `rid_of_length`, by whole clusters; none where scores
    keep what length explains of them. DataError where there are too few to keep any."""
    if not settings.length_debias:
        return list(rows), []
    roles = assign(cluster([opening(row.prompt) for row in rows]), APART, seed)
    train, kept = (
        [row for row, own in zip(rows, roles, strict=True) if own == role] for role in ("reward", "dev")
    )
    if not train or not kept:
        raise DataError(
            f"reward.length_debias keeps a tenth of the comparisons, and {len(rows)} are too few for that; "
            "give more, or leave it out"
        )
    return train, kept


def refuse_unmeasured(held_out: Sequence[Comparison], dropped: Mapping[str, int] | None = None) -> None:
    """DataError where no held-out comparison says which answer is better: to be called before anything is
    trained that they would measure. `dropped` are those that cannot be used, by reason."""
    if not all(row.is_tie for row in held_out):
        return
    left = {**(dropped or {}), **({"a tie": len(held_out)} if held_out else {})}
    raise DataError(
        f"no comparison can be measured on ({left or 'none is held out'}), so nothing is trained; about a "
        "fifth of the prompts is held out: give comparisons of more prompts"
    )


def conclude(
    context: StageContext,
    recipe: Recipe,
    scorer: Scorer,
    settings: RewardSettings,
    given: Artefact,
    figures: Mapping[str, Any],
) -> None:
    """Settle the scores by held-out demonstrations, measure them on the test rows, write model and report."""
    shown = read_records(given.file("dev.jsonl"), Demonstration)
    if settings.normalise == "unit" and not shown:
        context.warn("reward.normalise: there are no demonstrations held out, so scores keep their unit")
    normalise(scorer, shown, settings)
    test = read_records(given.file("test.jsonl"), Comparison)
    first, second = score_comparisons(scorer, test)
    report = {**scored_report(scorer, test, first, second), **figures}
    slopes = [float(slope) for model in scorer.models for slope in model.slope]
    if any(slopes):
        report["length_slope"] = fmean(slopes)
    write_json(context.folder / "report.json", report)
    write_json(context.folder / "test_scores.json", {"first": _kept(first), "second": _kept(second)})
    card = model_card(recipe, context.name, scorer.lm, report)
    save_scorer(scorer, context.folder / MODEL, card)


def rid_of_length(scorer: Scorer, rows: Sequence[Comparison]) -> None:
    """Take out of each member's scores what length explains of them: the slope of score on tokens between the
    two answers to one prompt, whatever their labels.

    It is linear, where arXiv:2409.17407 has a local regression, so that it depends on a row's own ids alone
    and is the same wherever they are scored: a prompt's tokens take the same off all its answers.
    """
    first, second = score_comparisons(scorer, rows)
    lengths = np.array(
        [
            [len(scorer.lm.encode(row.prompt.then(*answer)).ids) for answer in (row.first, row.second)]
            for row in rows
        ],
        dtype=np.float64,
    )
    members = np.array([[one.members, other.members] for one, other in zip(first, second, strict=True)])
    _give(scorer, "slope", [slope_within(scores, lengths) for scores in np.moveaxis(members, 2, 0)])


def normalise(scorer: Scorer, rows: Sequence[Demonstration], settings: RewardSettings) -> None:
    """Shift each member's scores so that held-out demonstrations score 0 on average (arXiv:2203.02155), and
    with `unit` scale them to a standard deviation of 1 there; as they are where there is no demonstration."""
    if settings.normalise == "none" or not rows:
        return
    for model in scorer.models:
        model.shift.zero_()
        model.scale.fill_(1.0)
    ids = [scorer.lm.encode(row.conversation).ids for row in rows]
    scores: list[Score] = spread_over(ids, len, scorer.scores)
    _give(scorer, "shift", [fmean(own) for own in zip(*(score.members for score in scores), strict=True)])
    spread = pstdev(score.value for score in scores)
    if settings.normalise == "unit" and spread > 0:
        for model in scorer.models:
            model.scale.fill_(spread)


def _give(scorer: Scorer, name: str, values: Sequence[float]) -> None:
    """Set a buffer of every body to what belongs to its heads."""
    each = torch.split(torch.tensor(values), [model.heads for model in scorer.models])
    for model, own in zip(scorer.models, each, strict=True):
        getattr(model, name).copy_(own)


def _kept(scores: Sequence[Score]) -> list[dict[str, float]]:
    return [
        {"score": score.value, "uncertainty": score.uncertainty, "variance": score.variance}
        for score in scores
    ]
