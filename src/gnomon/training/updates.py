"""Samples laid out for forward passes, and the losses of a policy and its critic on them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnomon.kernels.branches import Branches
from gnomon.kernels.fused import token_logps, weighted_nll
from gnomon.kernels.head import Head
from gnomon.losses.kl import divergence, k3
from gnomon.losses.masking import divisors
from gnomon.losses.policy import clipped, clipped_value, surrogate_weights
from gnomon.models.branches import batches, branch_states
from gnomon.models.critic import Critic
from gnomon.models.heads import without_dropout
from gnomon.models.load import LanguageModel
from gnomon.settings.policy import PolicySettings
from gnomon.training.lesson import Lesson
from gnomon.training.objective import Figures, Micro


class Targets(NamedTuple):
    """Of each token: what its values were and are to be, [labels, outputs]."""

    old_values: Tensor
    returns: Tensor


class SampleBatch(NamedTuple):
    """Samples laid out for one forward pass, and of each of their tokens: where it is predicted, what it is,
    what it weighs, and its log-prob when it was drawn. `tokens` are the whole step's."""

    rows: Branches
    before: Tensor
    labels: Tensor
    weights: Tensor
    drawn: Tensor
    tokens: int
    targets: Targets | None


class RatioBatch(NamedTuple):
    """The same for one of several updates: of each token its advantage, its log-probs before any update and
    under the reference, and what its loss is divided by. `beta` is the weight of KL in the loss."""

    rows: Branches
    before: Tensor
    labels: Tensor
    advantages: Tensor
    old_logps: Tensor
    ref_logps: Tensor
    divisors: Tensor
    beta: float
    tokens: int
    targets: Targets | None


def minibatch(lesson: Lesson, settings: PolicySettings, seed: int, batch: int, update: int) -> Lesson:
    """The samples of an update of a batch: each pass takes the prompts in an order of its own."""
    epoch, position = divmod(update, settings.minibatches)
    prompts = settings.optim.batch_size // settings.samples
    order = np.random.default_rng([seed, batch, epoch]).permutation(prompts).tolist()
    count = prompts // settings.minibatches
    return lesson.of_prompts(order[position * count : (position + 1) * count])


def micros_of(lm: LanguageModel, lesson: Lesson, settings: PolicySettings) -> Iterator[Micro]:
    """The lesson in micro-batches: weighed where it has one update, else with what ratios need."""
    if not lesson.rows:
        return
    lengths = torch.tensor([len(own) for own in lesson.advantages])
    by = divisors(lengths, settings.form.average, settings.max_new_tokens).tolist()
    tokens, device = int(lengths.sum()), lm.device

    def joined(of: list[Tensor], own: list[int]) -> Tensor:
        return torch.cat([of[i] for i in own]).to(device)

    for laid in batches(lm, lesson.rows, settings.optim.micro_tokens):
        own = list(laid.places)
        targets = Targets(joined(lesson.values, own), joined(lesson.returns, own)) if lesson.returns else None
        places, drawn = laid.after(lesson.starts), joined(lesson.drawn, own)
        batch: SampleBatch | RatioBatch
        if settings.updates == 1:
            weights = torch.cat([_weights(lesson, settings, i, by[i]) for i in own]).to(device)
            batch = SampleBatch(laid, *places, weights, drawn, tokens, targets)
        else:
            known = joined(lesson.advantages, own), joined(lesson.logps, own)
            reference = drawn - joined(lesson.log_ratios, own)
            each = torch.cat([torch.full((len(lesson.advantages[i]),), by[i]) for i in own]).to(device)
            batch = RatioBatch(laid, *places, *known, reference, each, lesson.beta, tokens, targets)
        ids = tuple(lesson.ids[i] for i in own)
        yield Micro(ids, batch, sum(len(lesson.rows[i]) for i in own), laid.size)


def _weights(lesson: Lesson, settings: PolicySettings, i: int, divisor: int) -> Tensor:
    advantages, ratios = lesson.advantages[i], lesson.log_ratios[i]
    return surrogate_weights(
        advantages, ratios, beta=lesson.beta, estimator=settings.form.estimator, divisor=divisor
    )


def policy_loss(
    lm: LanguageModel, head: Head, batch: SampleBatch | RatioBatch, settings: PolicySettings
) -> tuple[Tensor, Figures]:
    """A micro-batch's part of the policy's loss, and figures that add up over the step."""
    with without_dropout(lm.model):  # with it, the policy trained is not the one sampled
        states = branch_states(lm.model, batch.rows)[batch.before]
    if isinstance(batch, SampleBatch):
        loss, logps = weighted_nll(states, head, batch.labels, batch.weights, settings.temperature)
        off = (logps - batch.drawn).abs()
        return loss, {"sampler/logp_error": off.sum().double() / batch.tokens}
    form, clip = settings.form, settings.clip
    logps = token_logps(states, head, batch.labels, settings.temperature)
    each = -batch.advantages * logps
    if form.clipped:
        old, advantages = batch.old_logps, batch.advantages
        each = clipped(logps, old, advantages, low=clip.low, high=form.high, dual=clip.dual)
    if batch.beta:
        each = each + batch.beta * divergence(logps - batch.ref_logps, form.estimator)
    return (each / batch.divisors).sum(), _moved(logps.detach(), batch, settings)


def _moved(logps: Tensor, batch: RatioBatch, settings: PolicySettings) -> Figures:
    """How far the updates have moved the policy from the one that sampled, and what of it is clipped."""
    known: Figures = {"kl/update": k3(batch.old_logps - logps).sum().double() / batch.tokens}
    if not settings.form.clipped:
        return known
    ratio = (logps - batch.old_logps).exp()
    over = (ratio > 1 + settings.form.high) & (batch.advantages > 0)
    under = (ratio < 1 - settings.clip.low) & (batch.advantages < 0)
    return known | {"clip/share": (over | under).sum().double() / batch.tokens}


def value_loss(
    critic: Critic, batch: SampleBatch | RatioBatch, targets: Targets, settings: PolicySettings
) -> tuple[Tensor, Figures]:
    """The same of the critic's loss: a mean over the step's tokens, added up over its outputs."""
    with without_dropout(critic.model):
        states = branch_states(critic.lm.model, batch.rows)[batch.before]
    values = critic.model.read(states)
    old, returns = targets.old_values.to(values.dtype), targets.returns.to(values.dtype)
    each = clipped_value(values, old, returns, clip=settings.critic.clip)
    loss = each.sum() / batch.tokens
    return settings.critic.coef * loss, {"loss/value": loss.detach()}
