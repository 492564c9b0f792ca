"""Guards of policy optimisation: prompts set aside, the gold that tells the best policy, alarms told."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnomon.data.splits import named_clusters, opening
from gnomon.errors import ConfigError
from gnomon.pipeline.stage import StageContext
from gnomon.records import Prompt
from gnomon.settings.guards import GuardSettings
from gnomon.training.lookout import as_json, sentence
from gnomon.training.loop import Evaluation
from gnomon.training.policy import PolicyOptimisation

GOLD = {"checks": "eval/checks", "second": "eval/reward/second"}
"""The figure behind each name of `guards.gold`."""


def set_aside(prompts: Sequence[Prompt], count: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts that train and `count` that do not, in the order they came.

    Those are the firsts of clusters of near-duplicates, drawn by the seed; the rest of their clusters is left
    out, so that each is a prompt of its own and no other tells of it. ConfigError where too few would train.
    """
    names = named_clusters([row.id for row in prompts], [opening(row.conversation) for row in prompts])
    firsts = list(dict.fromkeys(names))
    if 2 * count > len(firsts):
        raise ConfigError(
            f"policy.guards.prompts is {count}, more than half of the {len(firsts)} different prompts there "
            "are; set fewer aside, or give more in data.prompts"
        )
    order = np.random.default_rng([seed, len(firsts)]).permutation(len(firsts))
    aside = {firsts[int(i)] for i in order[:count]}
    rest = [row for row, name in zip(prompts, names, strict=True) if name not in aside]
    return rest, [row for row in prompts if row.id in aside]


def best_by(guards: GuardSettings, aside: Sequence[Prompt], *, watched: bool) -> str | None:
    """The figure that tells the best evaluation point, where that is what goes on.

    ConfigError where nothing could tell: no prompt set aside has checks, or no second reward model watches.
    """
    checked = any(row.checks for row in aside)
    gold = guards.gold or ("checks" if checked else "second")
    if guards.keep == "last":
        return None
    if gold == "checks" and not checked:
        raise ConfigError(
            "policy.guards.gold is checks, and no prompt that was set aside has any; give prompts with "
            "checks, or set policy.guards.gold=second"
        )
    if gold == "second" and not watched:
        raise ConfigError(
            "policy.guards.keep is best by the score of a second reward model, and there is none; name it in "
            "policy.guards.second, give prompts with checks, or set policy.guards.keep=last"
        )
    return GOLD[gold]


def evaluation_of(objective: PolicyOptimisation, best: str | None) -> Evaluation | None:
    """The evaluation points of a policy that has prompts set aside, and what tells the best of them."""
    every = objective.settings.guards.every
    if every is None:
        return None
    return Evaluation(every * objective.settings.updates, objective.evaluate, first=True, best=best)


def told_alarms(context: StageContext, objective: PolicyOptimisation) -> list[dict[str, Any]]:
    """The alarms of a run, for its report; those from before it was resumed are warned of as well."""
    if objective.lookout is None:
        return []
    for alarm in objective.lookout.fired:
        if warning(sentence(alarm)) not in context.warnings:
            context.warn(warning(sentence(alarm)))
    return [as_json(alarm) for alarm in objective.lookout.fired]


def warning(text: str) -> str:
    """What a person is told of an alarm."""
    return f"alarm: {text}"
