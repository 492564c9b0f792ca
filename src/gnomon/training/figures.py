"""What is logged of a batch of samples, and what alarms are given of it."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean
from typing import TypeVar

import numpy as np
import torch

from gnomon.losses.advantages import equal_rewards
from gnomon.losses.kl import k3
from gnomon.rewards.combine import Terms, bounded
from gnomon.rewards.told import unreadable
from gnomon.rollouts.engine import Sample
from gnomon.settings.policy import PolicySettings
from gnomon.stats.agreement import agreement_by_prompt, agreement_within
from gnomon.stats.diversity import distinct
from gnomon.stats.units import Floats
from gnomon.stats.within import mean_at
from gnomon.training.samples import Rollouts

T = TypeVar("T")


def figures(rollouts: Rollouts, terms: Terms, settings: PolicySettings, length: float) -> dict[str, float]:
    """All that is logged of the samples; `length` is the mean `log_lengths` rewards are compared at."""
    samples, tokens, n = rollouts.samples, rollouts.tokens, settings.samples
    raw = np.array([terms.score(said) for said in rollouts.terms.tolist()])
    if settings.score_bound is not None:
        raw = np.array(bounded(raw.tolist(), settings.score_bound))
    always = {
        "reward/mean": float(rollouts.scores.mean()),
        "reward/fixed_length": mean_at(raw.reshape(-1, n), log_lengths(rollouts).reshape(-1, n), length),
        "reward/equal": float(equal_rewards(rollouts.paid.view(-1, n)).float().mean()),
        "kl/reference": float(rollouts.kl.mean()),
        "kl/token": float(rollouts.kl.sum()) / tokens,
        "kl/k3": float(k3(torch.cat(rollouts.log_ratios)).mean()),
        "length/tokens": tokens / len(samples),
        "ends_turn": sum(sample.ended for sample in samples) / len(samples),
        "entropy/sampled": -sum(sum(sample.logps) for sample in samples) / tokens,
    }
    return _watched(rollouts, n) | _sometimes(rollouts, terms, settings) | always


def log_lengths(rollouts: Rollouts) -> Floats:
    """log(1 + tokens) of each response."""
    lengths = np.array([len(sample.response_ids) for sample in rollouts.samples])
    return np.asarray(np.log1p(lengths), dtype=np.float64)


def by_prompt(rollouts: Rollouts, n: int) -> dict[str, dict[str, float]]:
    """Of the figures that `stats.alarms` knows, each that there is, as a mean over each prompt's samples, of
    which `n` neighbours are one's."""
    samples = rollouts.samples
    columns: dict[str, Sequence[float]] = {
        "proxy": rollouts.scores.tolist(),
        "kl": rollouts.kl.tolist(),
        "length": [len(sample.response_ids) for sample in samples],
        "ends": [sample.ended for sample in samples],
        "entropy": [-sum(sample.logps) / len(sample.logps) for sample in samples],
    }
    prompts = [rollouts.ids[k] for k in range(0, len(samples), n)]
    agreed: dict[str, dict[str, float]] = {}
    if rollouts.second is not None:
        columns["second"] = rollouts.second
        agreed = {"agreement": _agreement(rollouts.scores.tolist(), rollouts.second, prompts)}
    if len(rollouts.spreads) == len(samples):
        columns["spread"] = rollouts.spreads
    found = {name: _means(prompts, _groups(column, n)) for name, column in columns.items()} | agreed
    told = _variety(samples, n)
    some = [prompt for prompt, share in zip(prompts, told, strict=True) if share is not None]
    return found | {"distinct": _means(some, [[share] for share in told if share is not None])}


def _agreement(proxy: Sequence[float], second: Sequence[float], prompts: Sequence[str]) -> dict[str, float]:
    """Of both scores among each prompt's samples, where these are told apart."""
    one, other = (np.reshape(np.asarray(x, dtype=float), (len(prompts), -1)) for x in (proxy, second))
    found = _means(prompts, agreement_by_prompt(one, other)[:, None].tolist())
    return {prompt: value for prompt, value in found.items() if isfinite(value)}


def _watched(rollouts: Rollouts, n: int) -> dict[str, float]:
    if rollouts.second is None:
        return {}
    agreement = agreement_within(rollouts.scores.tolist(), rollouts.second, n)
    known = {} if agreement is None else {"reward/agreement": agreement}
    return {"reward/second": fmean(rollouts.second)} | known


def _sometimes(rollouts: Rollouts, terms: Terms, settings: PolicySettings) -> dict[str, float]:
    """What is logged where there is something of its kind."""
    shares = [share for share in rollouts.passed if share is not None]
    known = {"checks": fmean(shares)} if shares else {}
    told = [share for share in _variety(rollouts.samples, settings.samples) if share is not None]
    known |= {"distinct/2": fmean(told)} if told else {}
    known |= {"reward/spread": fmean(rollouts.spreads)} if rollouts.spreads else {}
    if settings.form.resample:
        known["reward/replaced"] = rollouts.replaced / (len(rollouts.drawn) // settings.samples)
    if len(terms.names) > 1 or terms.told_apart:
        means = rollouts.terms.mean(dim=0).tolist()
        known |= {f"term/{name}": mean for name, mean in zip(terms.names, means, strict=True)}
    known |= _unreadable(rollouts, terms)
    read = [(each.sample, each.reading) for each in rollouts.drawn if each.reading is not None]
    if read:
        off = [(torch.tensor(s.logps) - r.logps).abs().sum() for s, r in read]
        known["sampler/logp_error"] = float(sum(off)) / rollouts.tokens
        known["entropy/policy"] = float(sum(r.entropy.sum() for _, r in read)) / rollouts.tokens
    return known


def _unreadable(rollouts: Rollouts, terms: Terms) -> dict[str, float]:
    """Of each reward that consists of verdicts the share that could not be read."""
    said = zip(*(each.said.told for each in rollouts.drawn), strict=True)
    shares = {name: unreadable(told) for name, told in zip(terms.names, said, strict=True)}
    return {f"unreadable/{name}": share for name, share in shares.items() if share is not None}


def _variety(samples: Sequence[Sample], n: int) -> list[float | None]:
    """distinct-2 of the tokens of each prompt's samples together."""
    return [distinct([sample.response_ids for sample in own]) for own in _groups(samples, n)]


def _groups(values: Sequence[T], n: int) -> list[Sequence[T]]:
    return [values[k : k + n] for k in range(0, len(values), n)]


def _means(prompts: Sequence[str], groups: Sequence[Sequence[float]]) -> dict[str, float]:
    """The mean of each prompt's values; a prompt may come more than once."""
    found: dict[str, list[float]] = {}
    for prompt, values in zip(prompts, groups, strict=True):
        found.setdefault(prompt, []).extend(values)
    return {prompt: fmean(values) for prompt, values in found.items()}
