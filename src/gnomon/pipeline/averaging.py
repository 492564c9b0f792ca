"""Reward models of several runs made one by the mean of their weights, and measured as if it was trained."""

import shutil
from collections.abc import Sequence

from gnomon.config import Recipe, RewardSettings
from gnomon.models.averaging import average
from gnomon.pipeline.scoring import conclude
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start


def average_stage(recipe: Recipe, settings: RewardSettings, data: Artefact, models: Sequence[Start]) -> Stage:
    """The mean of reward models made elsewhere. Its scores are settled anew where there are demonstrations;
    elsewhere their shift, slope and scale are the mean of the models'."""
    given, dtype = data.only("dev.jsonl", "test.jsonl"), recipe.model.dtype

    def run(context: StageContext) -> None:
        place = context.work / "mean"
        shutil.rmtree(place, ignore_errors=True)
        scorer = average([model.folder for model in models], place, dtype=dtype)
        conclude(context, recipe, scorer, settings, given, {"averaged": len(models)})

    own = {
        "dtype": dtype,
        "normalise": settings.normalise,
        "models": sorted(model.digest for model in models),
    }
    return Stage("reward_average", 1, own, {"data": given}, run)
