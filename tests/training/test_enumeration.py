"""The policy gradient against the truth, by enumeration of everything that can be sampled."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from gnomon.kernels.head import Head, weighted_nll
from gnomon.losses.advantages import rloo
from gnomon.losses.kl import kl_penalised, sequence_kl
from gnomon.losses.policy import reinforce_weights

REWARDS = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
REFERENCE = torch.log_softmax(torch.tensor([0.3, 0.1, -1.0, 0.2], dtype=torch.float64), dim=0)
START = [[0.5], [-0.4], [1.2], [0.0]]


def expected_gradient(logits, samples, beta):
    """Sum over all groups of samples of the group's probability times what one step would descend."""
    logps = torch.log_softmax(logits.detach().squeeze(1), dim=0)
    keep = torch.ones(samples, 1, dtype=torch.bool)
    hidden = torch.ones(samples, 1, dtype=torch.float64)
    total = torch.zeros_like(logits)
    for group in product(range(len(REWARDS)), repeat=samples):
        tokens = torch.tensor(group)
        kl = sequence_kl(logps[tokens, None], REFERENCE[tokens, None], keep)
        rewards = kl_penalised(REWARDS[tokens], kl, beta)
        weights = reinforce_weights(rloo(rewards[None]).flatten(), samples)
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
