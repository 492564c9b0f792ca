"""A point of a climb: what answers of the policy are worth there, and how far it is from where it began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.models.load import LanguageModel
from gnomon.models.lora import reference_of
from gnomon.models.reward_model import Scorer
from gnomon.overopt.drawing import Prompts, draw
from gnomon.overopt.planted import Gold
from gnomon.overopt.proxies import ids_of
from gnomon.rewards.combine import conservative
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.rollouts.kl import log_ratios
from gnomon.rollouts.local import LocalEngine
from gnomon.settings.policy import EnsembleSettings
from gnomon.stats.best_of_n import best_of_n, best_of_n_kl
from gnomon.stats.units import Floats

SCORES = ("proxy", "second", "spread", "gold")
"""What each sample is scored by: what the policy is paid, the second reward model, how far the members of
the first differ, and the planted gold."""


@dataclass(frozen=True)
class Judges:
    """All that score an answer; `ensemble` says what the proxy's members make together."""

    proxy: Scorer
    second: Scorer
    gold: Gold
    ensemble: EnsembleSettings

    def scores(self, samples: Sequence[Sample], prompts: int) -> dict[str, Floats]:
        """What each says of samples that stand prompt by prompt, [prompts, samples] by the names `SCORES`."""
        rows = ids_of(samples)
        own = self.proxy.scores(rows)
        found = {
            "proxy": [conservative(score, self.ensemble) for score in own],
            "second": self.second.score(rows),
            "spread": [score.uncertainty for score in own],
            "gold": self.gold(samples),
        }
        return {name: np.reshape(np.array(values), (prompts, -1)) for name, values in found.items()}


@dataclass(frozen=True)
class Exam:
    """The prompts that every point of a climb answers, `samples` times each, by the same random numbers."""

    prompts: Prompts
    samples: int
    sampling: Sampling
    seed: int

    def sit(self, engine: Engine) -> list[Sample]:
        """The answers, prompt by prompt."""
        return draw(engine, self.prompts, self.samples, self.sampling, [self.seed, *APART])


APART = (0, 0, 1)
"""What sets an exam's random numbers apart from those of training."""


def point(exam: Exam, judges: Judges, lm: LanguageModel, reference: LanguageModel | None) -> dict[str, Any]:
    """Scores and log pi/pi_0 of the answers, [prompts][samples] each, and what these are like."""
    samples = exam.sit(LocalEngine(lm))
    with reference_of(lm, reference) as before:
        ratios = log_ratios(before, samples, exam.sampling.temperature)
    scores = judges.scores(samples, len(exam.prompts))
    scores["log_ratio"] = np.reshape([float(ratio.sum()) for ratio in ratios], (len(exam.prompts), -1))
    return {
        "samples": {name: np.round(values, DIGITS).tolist() for name, values in scores.items()},
        "length": sum(len(sample.response_ids) for sample in samples) / len(samples),
        "ends": sum(sample.ended for sample in samples) / len(samples),
        "example": samples[0].text,
    }


DIGITS = 6
"""Of each score that is kept."""


def best_points(scores: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """What the best of 1, 2, 4 ... of each prompt's samples are worth, chosen by the proxy, [prompts] each.

    `scores` are [prompts, samples]; `kl` is the bound, which is all but reached where samples differ.
    """
    count = scores["proxy"].shape[1]
    found = []
    for n in (2**k for k in range(count.bit_length()) if 2**k <= count // 2):
        chosen = {
            name: [best_of_n(own, other, n) for own, other in zip(scores["proxy"], values, strict=True)]
            for name, values in scores.items()
        }
        found.append({"step": n, "kl": best_of_n_kl(n), "prompts": chosen})
    return found
