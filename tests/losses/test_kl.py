import math
from itertools import product

import pytest
import torch
from plain_losses import sequence_sum
from torch.testing import assert_close

from gnomon.losses.kl import divergence, k3, kl_penalised, slope

KEEP = torch.tensor([[True, True, False], [True, False, False]])


def test_k1_sums_over_the_response_and_leaves_the_rest_out():
    logps = torch.tensor([[-1.0, -2.0, 50.0], [-0.5, 50.0, 50.0]])
    reference = torch.tensor([[-1.5, -1.0, -50.0], [-2.5, -50.0, -50.0]])
    # (-1 + 1.5) + (-2 + 1) and -0.5 + 2.5
    assert_close(sequence_sum(divergence(logps - reference, "k1"), KEEP), torch.tensor([-0.5, 2.0]))


@pytest.mark.mistake("kl-clamped")
def test_k1_is_not_clamped_token_by_token():
    """Clamped at 0 the first row would be 0.5."""
    assert divergence(torch.tensor([0.5, -1.0]), "k1").sum().item() == -0.5


def test_k1_weighed_by_its_probabilities_is_the_exact_divergence():
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.3, 0.5])
    each = divergence(policy.log() - reference.log(), "k1")
    exact = 0.7 * math.log(0.7 / 0.2) + 0.2 * math.log(0.2 / 0.3) + 0.1 * math.log(0.1 / 0.5)
    assert_close((policy * each).sum(), torch.tensor(exact))


POLICY, REFERENCE = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.2, 0.3, 0.5]).double()


def chain(seed):
    """Log-probs of a toy language: three words, each after each other and (last row) at the start."""
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(torch.randn(4, 3, generator=generator, dtype=torch.float64), dim=1)


@pytest.mark.mistake("kl-not-zero-at-the-start")
def test_k1_over_all_sentences_of_a_toy_language_is_the_exact_divergence():
    """By the chain rule: of each place the divergence after what came before, as often as it comes."""
    policy, reference = chain(0), chain(1)
    sentences = torch.tensor(list(product(range(3), repeat=4)))
    before = torch.cat([torch.full((81, 1), 3), sentences[:, :-1]], dim=1)
    logps, ref_logps = policy[before, sentences], reference[before, sentences]
    share = logps.sum(dim=1).exp()
    assert_close(share.sum(), torch.tensor(1.0, dtype=torch.float64))
    kl = divergence(logps - ref_logps, "k1").sum(dim=1)
    assert float(kl.min()) < 0
    state, exact = torch.eye(4, dtype=torch.float64)[3], 0.0
    for _ in range(4):
        exact = exact + state @ (policy.exp() * (policy - reference)).sum(dim=1)
        state = torch.cat([state @ policy.exp(), torch.zeros(1, dtype=torch.float64)])
    assert_close((share * kl).sum(), exact)


def test_k3_in_worked_numbers():
    # a token twice and half as likely as under the reference: 1/2 + ln 2 - 1, and 2 - ln 2 - 1
    ratios = torch.tensor([math.log(2), -math.log(2), 0.0], dtype=torch.float64)
    wanted = torch.tensor([math.log(2) - 0.5, 1 - math.log(2), 0.0], dtype=torch.float64)
    assert_close(k3(ratios), wanted)


@pytest.mark.mistake("kl-not-zero-at-the-start")
def test_k3_is_never_negative_however_small():
    ratios = torch.linspace(-3, 3, 1001).double() ** 7
    assert bool((k3(ratios) >= 0).all())


def test_k3_weighed_by_its_probabilities_is_the_exact_divergence():
    exact = (POLICY * (POLICY / REFERENCE).log()).sum()
    assert_close((POLICY * k3((POLICY / REFERENCE).log())).sum(), exact)


def test_k3_as_a_loss_descends_the_divergence_the_other_way_round():
    logits = POLICY.log().requires_grad_()

    def descended(divergence):
        return torch.autograd.grad(divergence(torch.log_softmax(logits, dim=0)), logits)[0]

    sampled = descended(lambda logps: (POLICY * k3(logps - REFERENCE.log())).sum())
    assert_close(sampled, descended(lambda logps: (REFERENCE * (REFERENCE.log() - logps)).sum()))
    own = descended(lambda logps: (logps.exp() * (logps - REFERENCE.log())).sum())
    assert not torch.allclose(sampled, own, rtol=0.1)


def test_the_penalty_is_taken_off_the_score():
    rewards = kl_penalised(torch.tensor([1.0, 1.0]), torch.tensor([4.0, -2.0]), beta=0.25)
    assert_close(rewards, torch.tensor([0.0, 1.5]))


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_slope_is_the_derivative(estimator):
    ratios = torch.tensor([-1.5, 0.0, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(divergence(ratios, estimator).sum(), ratios)
    assert_close(slope(ratios.detach(), estimator), wanted)


def test_as_a_value_k1_and_k3_are_right_and_k2_is_not():
    ratios = (POLICY / REFERENCE).log()
    k1, k2, k3_ = ((POLICY * divergence(ratios, name)).sum() for name in ("k1", "k2", "k3"))
    assert_close(k1, k3_)
    # 0.7 ln(3.5)^2 / 2 + 0.2 ln(2/3)^2 / 2 + 0.1 ln(0.2)^2 / 2, where KL is 0.635
    assert k2.item() == pytest.approx(0.6953, abs=1e-4)
    assert k1.item() == pytest.approx(0.6349, abs=1e-4)


def descended(logits, estimate):
    """The expected gradient of a loss on samples: log-probs differentiable, what is drawn not."""
    logps = torch.log_softmax(logits, dim=0)
    return torch.autograd.grad((logps.detach().exp() * estimate(logps)).sum(), logits)[0]


@pytest.mark.parametrize(("estimator", "share"), [("k1", 0.0), ("k2", 1.0)])
def test_as_a_loss_k1_teaches_nothing_and_k2_the_divergence(estimator, share):
    logits = POLICY.log().requires_grad_()
    found = descended(logits, lambda logps: divergence(logps - REFERENCE.log(), estimator))
    logps = torch.log_softmax(logits, dim=0)
    (truth,) = torch.autograd.grad((logps.exp() * (logps - REFERENCE.log())).sum(), logits)
    assert_close(found, share * truth, rtol=1e-9, atol=1e-9)


def test_in_the_reward_k3_climbs_the_difference_of_both_divergences():
    """The policy gradient of a reward of -k3: that of -(KL(pi || pi_ref) - KL(pi_ref || pi))."""
    logits = POLICY.log().requires_grad_()
    fixed = divergence((POLICY / REFERENCE).log(), "k3")
    found = descended(logits, lambda logps: fixed * logps)
    logps = torch.log_softmax(logits, dim=0)
    ahead = (logps.exp() * (logps - REFERENCE.log())).sum()
    back = (REFERENCE * (REFERENCE.log() - logps)).sum()
    (truth,) = torch.autograd.grad(ahead - back, logits)
    assert_close(found, truth)
