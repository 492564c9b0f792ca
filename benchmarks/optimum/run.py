"""How near each algorithm comes to what is possible, on a tiny model whose answers are random words.

A program pays 1 for an answer whose first and last characters are wanted ones. Of all policies as far from
the start pi_0 as a trained one, the tilt pi_0 exp(lambda reward) is paid most: what that is follows from
answers of pi_0 alone, and what the trained one is paid is held against it. Losses of preferences learn from
pairs of pi_0's answers, one of which is paid, and are asked which of two they find likelier before and after.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax

from gnomon.kernels.allocator import settle as settle_memory
from gnomon.models.critic import Critic, ValueModel
from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.overopt.drawing import draw, draw_pairs, letters
from gnomon.overopt.planted import Pairs
from gnomon.overopt.proxies import encoded
from gnomon.overopt.settings import LaboratorySettings
from gnomon.pipeline.lineage import software
from gnomon.pipeline.overopt import Study, start_stage
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stage import execute
from gnomon.pipeline.stages import Start
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.kl import log_ratios
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import RunFolder, read_json, write_json
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import OWN, PreferenceSettings
from gnomon.stats.bootstrap import mean_interval
from gnomon.stats.units import Floats
from gnomon.store import Store
from gnomon.training.judged import Judged, both_judged
from gnomon.training.offline import offline
from gnomon.training.pairs import EncodedPair, EncodedPairs
from gnomon.training.policy import PolicyOptimisation
from gnomon.training.samples import PolicyPrompts
from learnt import train
from paired import hardware

SETTINGS = LaboratorySettings()
"""The laboratory's tiny model, its random words and its prompts."""

WANTED = "abcdef"
BETA = 0.25
"""At which KL-regularised RL comes to rest where nearly nine answers in ten are paid, of one in eight."""

CLIMBS: Mapping[str, Mapping[str, Any]] = {
    "reinforce": {"algorithm": "reinforce_pp", "standardise": False, "beta": BETA},
    "rloo": {"algorithm": "rloo", "beta": BETA},
    "ppo": {"algorithm": "ppo", "beta": BETA, "critic": {"start": "policy"}},
    "ppo_lam_1": {"algorithm": "ppo", "beta": BETA, "critic": {"start": "policy"}, "lam": 1.0},
    "reinforce_pp": {"algorithm": "reinforce_pp", "beta": BETA},
    "grpo": {"algorithm": "grpo", "beta": 0.04},
    "dr_grpo": {"algorithm": "dr_grpo", "beta": 0.0},
    "dapo": {"algorithm": "dapo", "beta": 0.0, "overlong": 0},
    "raft": {"algorithm": "raft", "beta": 0.0},
}
"""Where KL is in the loss, beta is its paper's."""

VERDICTS = "kto_ratings"
"""KTO on answers that were judged by themselves: one of each pair."""

OFFLINE = {"lr": 1e-3, "batch_size": 32, "epochs": 2, "micro_tokens": 4096}
"""How losses of preferences are optimised here."""

ANSWERS = 64
"""Samples of each prompt that a policy is measured by; of the start there are four times as many."""


class Seen(NamedTuple):
    """What answers are paid, and how far they are from the start, [prompts, samples]."""

    rewards: Floats
    log_ratios: Floats


def paid(samples: Sequence[Sample]) -> list[float]:
    """1 for each answer that begins and ends with a wanted character."""
    return [
        float(sample.text[:1] in WANTED and sample.text[-1:] in WANTED) if sample.text else 0.0
        for sample in samples
    ]


def tuned(folder: Path) -> Study:
    """The laboratory's study, whose model has been tuned to random words."""
    prompts = letters(SETTINGS.prompt_count)
    made = execute(start_stage(SETTINGS, prompts), Store(folder), RunFolder(folder), SilentReporter())
    return Study(SETTINGS, prompts, Start.of(made), 0)


def climbed(study: Study, changes: Mapping[str, Any], steps: int, seed: int) -> Seen:
    """What a policy is paid after so many batches, and how far it went."""
    own = PolicySettings.model_validate({**SETTINGS.policy.model_dump(), "steps": steps, **changes})
    lm, reference = study.loaded(), study.loaded()
    rows = study.encoded(lm)
    prompts = PolicyPrompts(tuple(f"prompt-{k}" for k in range(len(rows))), tuple(rows))
    objective = PolicyOptimisation(lm, LocalEngine(lm), paid, prompts, own, seed=seed, reference=reference)
    if own.algorithm == "ppo":
        other = study.loaded()
        objective.critic = Critic(other, ValueModel(other))
    train(objective, objective.module, own.optim, objective.apart)
    return seen(study, lm, reference, ANSWERS)


def seen(study: Study, lm: LanguageModel, reference: LanguageModel, count: int) -> Seen:
    """Answers by random numbers of which training had none."""
    prompts = study.encoded(lm)
    samples = draw(LocalEngine(lm), prompts, count, study.sampling, [1, count])
    ratios = [float(ratio.sum()) for ratio in log_ratios(reference, samples, study.sampling.temperature)]
    shape = (len(prompts), count)
    return Seen(np.reshape(paid(samples), shape), np.reshape(ratios, shape))


def tilted(rewards: Floats, kl: float) -> float:
    """The mean reward of the tilt of these answers [prompts, samples] that is `kl` nats away on average over
    prompts; of one as far away as they tell, where `kl` is further."""
    count = rewards.shape[1]

    def distance(strength: float) -> float:
        mass = logsumexp(strength * rewards, axis=1) - np.log(count)
        return float((strength * means(strength) - mass).mean())

    def means(strength: float) -> Floats:
        return np.asarray((softmax(strength * rewards, axis=1) * rewards).sum(axis=1))

    furthest = 50.0 / float(np.ptp(rewards))
    if kl <= 0 or kl >= distance(furthest):
        return float(means(0.0 if kl <= 0 else furthest).mean())
    return float(means(brentq(lambda strength: distance(strength) - kl, 0.0, furthest)).mean())


def nearness(runs: Sequence[Seen], start: Seen, resamples: int = 500) -> dict[str, Any]:
    """What the runs of all seeds are paid, how far they went, and the share of the optimum there, with
    intervals that resample seeds and prompts."""
    rewards, ratios = (np.stack([getattr(run, name).mean(axis=1) for run in runs]) for name in Seen._fields)
    random = np.random.default_rng(0)

    def share(chosen: Sequence[int], prompts: Sequence[int]) -> float:
        best = [tilted(start.rewards[prompts], float(ratios[k, prompts].mean())) for k in chosen]
        return float(np.mean([rewards[k, prompts].mean() for k in chosen]) / np.mean(best))

    everyone, everywhere = range(len(runs)), range(rewards.shape[1])
    drawn = [
        share(*(random.choice(all_of, len(all_of)).tolist() for all_of in (everyone, everywhere)))
        for _ in range(resamples)
    ]
    clusters = [*everywhere] * len(runs)
    return {
        "reward": mean_interval(rewards.ravel(), clusters).to_json(),
        "kl": mean_interval(ratios.ravel(), clusters).to_json(),
        "share": {
            "value": share(everyone, everywhere),
            "low": float(np.quantile(drawn, 0.025)),
            "high": float(np.quantile(drawn, 0.975)),
        },
        "by_seed": [round(share([k], everywhere), 4) for k in everyone],
    }


def paid_apart(study: Study, count: int, seed: int) -> tuple[Pairs, Floats]:
    """Pairs of the start's answers of which one is paid, and which: 1 the first, -1 the second."""
    lm = study.loaded()
    drawn = draw_pairs(LocalEngine(lm), study.encoded(lm), 5 * count, study.sampling, [seed, count])
    apart = np.subtract(paid(drawn.first), paid(drawn.second))
    kept = np.flatnonzero(apart)[:count]
    if len(kept) < count:
        raise ValueError(f"{len(kept)} of {len(drawn)} pairs are paid apart, fewer than {count}; draw more")
    return Pairs([drawn.first[k] for k in kept], [drawn.second[k] for k in kept]), apart[kept]


def agrees(lm: LanguageModel, held: Pairs, apart: Floats) -> Floats:
    """Whether the answer that is paid is the likelier one, [pairs]: 1, 0, or a half."""
    prompts, responses = [s.prompt_ids for s in held.samples], [s.response_ids for s in held.samples]
    logps = np.array([float(each.sum()) for each in sequence_logps(lm, prompts, responses)])
    return np.asarray((np.sign(held.differences(logps) * apart) + 1) / 2)


class Lesson(NamedTuple):
    """What every loss learns from with a seed, and the held-out pairs with how the start tells them."""

    data: EncodedPairs
    held: Pairs
    apart: Floats
    before: Floats


def lesson(study: Study, count: int, seed: int) -> Lesson:
    """So many pairs to learn from, and half as many that are held out."""
    held, apart = paid_apart(study, count // 2, 2 * seed + 1)
    data = encoded(*paid_apart(study, count, 2 * seed))
    return Lesson(data, held, apart, agrees(study.loaded(), held, apart))


def preferring(study: Study, loss: str, lessons: Mapping[int, Lesson], seed: int) -> tuple[Floats, Seen]:
    """Agreement on held-out pairs after a loss's training less that before, [pairs], and what it is paid."""
    more = {"label_smoothing": 0.1} if loss == "robust_dpo" else {}
    name = "kto" if loss == VERDICTS else loss
    own = PreferenceSettings.model_validate({"loss": name, "optim": OFFLINE} | more)
    lm, reference, taught = study.loaded(), study.loaded(), lessons[seed]
    pairs = () if loss == VERDICTS else taught.data.pairs
    rated = one_of_each(taught.data.pairs, seed) if loss == VERDICTS else ()
    objective = offline(lm, pairs, own, seed, reference if own.needs_reference else None, rated)
    train(objective, lm.model, own.optim)
    gained = agrees(lm, taught.held, taught.apart) - taught.before
    return gained, seen(study, lm, reference, ANSWERS)


def one_of_each(pairs: Sequence[EncodedPair], seed: int) -> list[Judged]:
    """The verdict on one answer of each pair, drawn by the seed: about half of them are desirable."""
    sides = np.random.default_rng([seed, len(pairs)]).integers(2, size=len(pairs)).tolist()
    return [
        replace(one, answers=(one.answers[side],), desirable=(one.desirable[side],))
        for one, side in zip(both_judged(pairs), sides, strict=True)
    ]


def measure(
    climbs: Sequence[str], losses: Sequence[str], seeds: Sequence[int], steps: int, pairs: int
) -> dict[str, Any]:
    """All algorithms and all losses over all seeds, from one start."""
    with TemporaryDirectory() as folder:
        study = tuned(Path(folder))
        lm = study.loaded()
        first = seen(study, lm, lm, 4 * ANSWERS)
        found: dict[str, Any] = {
            "start": mean_interval(first.rewards.mean(axis=1)).to_json(),
            "climbs": {},
            "losses": {},
        }
        for name in climbs:
            runs = _each(seeds, name, partial(climbed, study, CLIMBS[name], steps))
            found["climbs"][name] = nearness(runs, first)
        lessons = {seed: lesson(study, pairs, seed) for seed in seeds if losses}
        for name in losses:
            done = _each(seeds, name, partial(preferring, study, name, lessons))
            more, runs = np.stack([own for own, _ in done]), [run for _, run in done]
            found["losses"][name] = nearness(runs, first) | {
                "more": mean_interval(more.ravel()).to_json(),
                "more_by_seed": [round(float(own.mean()), 4) for own in more],
            }
        return found


def _each(seeds: Sequence[int], name: str, run: Callable[[int], Any]) -> list[Any]:
    found = []
    for seed in seeds:
        found.append(run(seed))
        print(f"{name}, seed {seed}", flush=True)
    return found


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--climbs", nargs="*", default=list(CLIMBS), choices=CLIMBS)
    parser.add_argument("--losses", nargs="*", default=[*OWN, VERDICTS], choices=[*OWN, VERDICTS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150, help="batches of samples")
    parser.add_argument("--pairs", type=int, default=512, help="comparisons to learn from")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    settle_memory()
    seeds = range(options.seeds)
    found = measure(options.climbs, options.losses, seeds, options.steps, options.pairs)
    size = {name: getattr(options, name) for name in ("seeds", "steps", "pairs")}
    before = read_json(options.out) if options.out.exists() else {}
    if before.get("size") == size:  # what was not asked for this time stays
        for part in ("climbs", "losses"):
            found[part] = before[part] | found[part]
    write_json(options.out, {"size": size, "hardware": hardware(), "software": software(), **found})
    for name, own in found["climbs"].items():
        paid_at = f"{_said(own['reward'])} paid at {_said(own['kl'])} nats"
        print(f"{name}: {paid_at}, {_said(own['share'])} of the optimum")
    for name, own in found["losses"].items():
        print(f"{name}: {_said(own['more'])} more of held-out pairs, {_said(own['reward'])} paid")


def _said(own: Mapping[str, float]) -> str:
    return f"{own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f})"


if __name__ == "__main__":
    main()
