"""What a batch of samples teaches: how much better each token was than expected, and what it is held to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gnomon.losses.advantages import best, dr_grpo, gae, grpo, rloo, token_rewards
from gnomon.losses.control import constrained
from gnomon.losses.kl import divergence, kl_penalised
from gnomon.losses.masking import standardised
from gnomon.settings.policy import Form, PolicySettings
from gnomon.training.control import Weights
from gnomon.training.samples import Rollouts

BY_GROUP = {"rloo": rloo, "grpo": grpo, "dr_grpo": dr_grpo, "dapo": grpo, "raft": best}


@dataclass(frozen=True)
class Lesson:
    """Samples that are learnt from, one list for each thing known of them, and of their tokens [tokens].

    `prompts` are the places of their prompts in the batch. `drawn` are the sampler's log-probs; `logps` the
    training forward's, where there are several updates; `values` and `returns` [tokens, outputs] a critic's.
    `beta` is the weight of KL in the loss.
    """

    ids: list[str]
    prompts: list[int]
    rows: list[list[int]]
    starts: list[int]
    advantages: list[Tensor]
    log_ratios: list[Tensor]
    drawn: list[Tensor]
    logps: list[Tensor]
    values: list[Tensor]
    returns: list[Tensor]
    beta: float

    def only(self, places: Sequence[int]) -> "Lesson":
        """Some of the samples, by their places."""
        own = {
            name: [known[i] for i in places] if known else []
            for name, known in vars(self).items()
            if name != "beta"
        }
        return Lesson(**own, beta=self.beta)

    def of_prompts(self, prompts: Sequence[int]) -> "Lesson":
        """The samples of some of the prompts."""
        wanted = set(prompts)
        return self.only([i for i, prompt in enumerate(self.prompts) if prompt in wanted])

    def state_dict(self) -> dict[str, Any]:
        """All of it, to be written with a checkpoint; `Lesson(**state)` reads it."""
        return dict(vars(self))


def lesson_of(
    rollouts: Rollouts, settings: PolicySettings, weights: Weights
) -> tuple[Lesson, dict[str, float]]:
    """What the samples teach under these weights, and figures of it; of raft's only those that are kept."""
    form = settings.form
    streams = [rollouts.paid / weights.scale, *rollouts.costs]
    if form.by_token:
        advantages, returns, known = _by_token(rollouts, streams, settings, weights)
    else:
        advantages, known = _by_sample(rollouts, streams, settings, weights)
        returns = []
    readings = [each.reading.logps for each in rollouts.drawn if each.reading is not None]
    samples = rollouts.samples
    lesson = Lesson(
        list(rollouts.ids),
        [i // settings.samples for i in range(len(samples))],
        [[*sample.prompt_ids, *sample.response_ids] for sample in samples],
        [len(sample.prompt_ids) for sample in samples],
        advantages,
        rollouts.log_ratios,
        [torch.tensor(d.sample.logps, dtype=d.log_ratio.dtype) for d in rollouts.drawn],
        readings,
        [each.values for each in rollouts.drawn if each.values is not None],
        returns,
        weights.beta if form.kl == "loss" else 0.0,
    )
    if settings.algorithm == "raft":
        lesson = lesson.only([i for i, advantage in enumerate(advantages) if bool(advantage.any())])
    return lesson, known | _explained(lesson)


def _by_sample(
    rollouts: Rollouts, streams: Sequence[Tensor], settings: PolicySettings, weights: Weights
) -> tuple[list[Tensor], dict[str, float]]:
    """One advantage for each sample, measured against its prompt's others, at all of its tokens; and figures
    of them."""
    form, groups = settings.form, BY_GROUP[settings.algorithm]
    worth = list(streams)
    if form.kl == "reward":
        kl = torch.stack([divergence(own, form.estimator).sum() for own in rollouts.log_ratios])
        prices = _prices(form, weights, len(streams))
        worth = [kl_penalised(stream, kl, beta) for stream, beta in zip(streams, prices, strict=True)]
    first, *others = (groups(own.view(-1, settings.samples)).flatten() for own in worth)
    total = constrained(first, others, weights.lambdas)
    lengths = [len(own) for own in rollouts.log_ratios]
    parts = [value.expand(n) for value, n in zip(total, lengths, strict=True)]
    return parts, {"advantage/std": float(total.std()), "reward/penalised": float(worth[0].mean())}


def _by_token(
    rollouts: Rollouts, streams: Sequence[Tensor], settings: PolicySettings, weights: Weights
) -> tuple[list[Tensor], list[Tensor], dict[str, float]]:
    """Advantages [tokens] and returns [tokens, outputs] of each sample, from the rewards of its tokens; and
    figures of them."""
    form, mask = settings.form, _mask(rollouts.log_ratios)
    ratios = pad_sequence(rollouts.log_ratios, batch_first=True)
    penalties = divergence(ratios, form.estimator)
    known = [each.values.to(ratios.dtype) for each in rollouts.drawn if each.values is not None]
    values = pad_sequence(known, batch_first=True) if known else ratios.new_zeros(*ratios.shape, len(streams))
    lam = settings.lam if known else 1.0
    prices = _prices(form, weights, len(streams))
    rewards = [
        token_rewards(stream.to(ratios.dtype), beta * penalties, mask)
        for stream, beta in zip(streams, prices, strict=True)
    ]
    each = [gae(own, values[:, :, k], mask, gamma=settings.gamma, lam=lam) for k, own in enumerate(rewards)]
    total = constrained(each[0], each[1:], weights.lambdas)
    total = standardised(total, mask) if form.standardise else total
    returns = torch.stack(each, dim=-1) + values
    lengths = [len(own) for own in rollouts.log_ratios]
    parts = [row[:n] for row, n in zip(total, lengths, strict=True)]
    back = [row[:n] for row, n in zip(returns, lengths, strict=True)] if known else []
    paid = float(rewards[0].sum(dim=1).mean())
    return parts, back, {"advantage/std": float(total[mask].std()), "reward/penalised": paid}


def _prices(form: Form, weights: Weights, streams: int) -> list[float]:
    """What KL costs in the reward and, with the other sign, in what is to stay low: so it weighs as much
    whatever the multipliers are (arXiv:2310.12773)."""
    beta = weights.beta if form.kl == "reward" else 0.0
    return [beta, *[-beta] * (streams - 1)]


def _mask(rows: Sequence[Tensor]) -> Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(int(lengths.max()))[None] < lengths[:, None]


def _explained(lesson: Lesson) -> dict[str, float]:
    """The share of the returns' variance that the values knew of; nothing without a critic."""
    if not lesson.returns:
        return {}
    returns, values = (torch.cat(rows)[:, 0].double() for rows in (lesson.returns, lesson.values))
    spread = returns.var(correction=0)
    share = 1 - (returns - values).var(correction=0) / spread if spread > 0 else spread
    return {"value/explained": float(share)}
