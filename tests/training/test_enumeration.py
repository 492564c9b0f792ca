"""The policy gradient against the truth, by enumeration of everything that can be sampled."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from gnomon.kernels.fused import weighted_nll
from gnomon.kernels.head import Head
from gnomon.losses.advantages import dr_grpo, grpo, rloo
from gnomon.losses.kl import divergence, kl_penalised
from gnomon.losses.policy import surrogate_weights

REWARDS = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
REFERENCE = torch.log_softmax(torch.tensor([0.3, 0.1, -1.0, 0.2], dtype=torch.float64), dim=0)
START = [[0.5], [-0.4], [1.2], [0.0]]


def rloo_weights(tokens, log_ratios, beta):
    rewards = kl_penalised(REWARDS[tokens], divergence(log_ratios, "k1"), beta)
    advantages = rloo(rewards[None]).flatten()
    return surrogate_weights(advantages, log_ratios, beta=0.0, estimator="k1", divisor=len(tokens))


def weights_of(advantages):
    """GRPO's and Dr. GRPO's: of responses of one token, in groups."""

    def weights(tokens, log_ratios, beta):
        found = advantages(REWARDS[tokens][None]).flatten()
        return surrogate_weights(found, log_ratios, beta=beta, estimator="k3", divisor=len(tokens))

    return weights


def expected_gradient(logits, samples, beta, weigh=rloo_weights):
    """Sum over all groups of samples of the group's probability times what one step would descend."""
    logps = torch.log_softmax(logits.detach().squeeze(1), dim=0)
    hidden = torch.ones(samples, 1, dtype=torch.float64)
    total = torch.zeros_like(logits)
    for group in product(range(len(REWARDS)), repeat=samples):
        tokens = torch.tensor(group)
        weights = weigh(tokens, logps[tokens] - REFERENCE[tokens], beta)
        loss, _ = weighted_nll(hidden, Head(logits), tokens, weights)
        (gradient,) = torch.autograd.grad(loss, logits)
        total += logps[tokens].sum().exp() * gradient
    return total


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_rloo_s_expected_step_climbs_the_kl_regularised_objective(samples, beta):
    logits = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    logps = torch.log_softmax(logits.squeeze(1), dim=0)
    objective = (logps.exp() * (REWARDS - beta * (logps - REFERENCE))).sum()
    (truth,) = torch.autograd.grad(objective, logits)
    assert_close(-expected_gradient(logits, samples, beta), truth)


def test_at_the_optimum_the_expected_step_is_zero():
    """The optimum is the reference, each token weighed by exp(reward / beta)."""
    best = (REFERENCE + REWARDS / 0.7)[:, None].requires_grad_()
    assert_close(expected_gradient(best, 2, 0.7), torch.zeros(4, 1, dtype=torch.float64))


@pytest.mark.parametrize("samples", [2, 3])
def test_dr_grpo_s_optimum_is_another_one(samples):
    """Not exp(reward / beta) times the reference, but beta / (mu - share * reward) times it, where mu makes
    the probabilities add up to 1 and share is (k-1)/k: k3 in the loss pulls by KL(pi_ref || pi)."""
    share = (samples - 1) / samples
    low, high = share * float(REWARDS.max()), 100.0
    for _ in range(200):
        mu = (low + high) / 2
        best = 0.7 * REFERENCE.exp() / (mu - share * REWARDS)
        low, high = (mu, high) if best.sum() > 1 else (low, mu)
    zero = torch.zeros(4, 1, dtype=torch.float64)
    logits = best.log()[:, None].requires_grad_()
    assert_close(expected_gradient(logits, samples, 0.7, weights_of(dr_grpo)), zero)
    regularised = (REFERENCE + REWARDS / 0.7)[:, None].requires_grad_()
    assert expected_gradient(regularised, samples, 0.7, weights_of(dr_grpo)).abs().max() > 0.01


def test_without_kl_dr_grpo_climbs_the_mean_reward_and_grpo_does_not():
    """Dr. GRPO with (k-1)/k of its slope; GRPO's std turns the direction too."""
    logits = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    probabilities = torch.softmax(logits.squeeze(1), dim=0)
    (truth,) = torch.autograd.grad((probabilities * REWARDS).sum(), logits)
    assert_close(-expected_gradient(logits, 3, 0.0, weights_of(dr_grpo)), 2 / 3 * truth)
    ours = -expected_gradient(logits, 3, 0.0, weights_of(grpo)).flatten()
    assert torch.cosine_similarity(ours, truth.flatten(), dim=0) < 0.999


def at_rest(weigh):
    """Where the expected step no longer moves the policy, by natural gradient from the reference on."""
    logits = REFERENCE.clone()[:, None]
    for _ in range(120):
        gradient = expected_gradient(logits.requires_grad_(), 2, 0.7, weigh)
        logits = (logits - 0.5 * gradient / torch.softmax(logits, dim=0)).detach()
    return torch.log_softmax(logits.squeeze(1), dim=0)


def distance(logps):
    """KL to the optimum of the KL-regularised objective, pi_ref exp(reward / beta), in nats."""
    best = torch.log_softmax(REFERENCE + REWARDS / 0.7, dim=0)
    return float((logps.exp() * (logps - best)).sum())


def test_rloo_arrives_at_the_reference_weighed_by_the_exponential_of_the_reward():
    assert distance(at_rest(rloo_weights)) < 1e-9


GRPO_OFF, DR_GRPO_OFF = 0.960, 0.392
"""Nats, from two samples of each prompt: written in docs/algorithms/grpo.md."""


def test_grpo_arrives_elsewhere():
    """Docs say how far: std forgets how much better the best is, and k3 pulls the other way round."""
    assert distance(at_rest(weights_of(dr_grpo))) == pytest.approx(DR_GRPO_OFF, abs=1e-3)
    assert distance(at_rest(weights_of(grpo))) == pytest.approx(GRPO_OFF, abs=1e-3)
