"""Estimators of sequences against the truth, by enumeration of everything a small language can say."""

from itertools import product

import pytest
import torch
from language import KEEP, PREFIXES, SENTENCES, by_prefix, drawn, logps
from plain_losses import reinforce, sequence_sum
from torch.testing import assert_close

from gnomon.losses.advantages import gae, rloo, token_rewards
from gnomon.losses.kl import divergence
from gnomon.losses.policy import clipped

BETA = 0.4
SCORES = torch.tensor([len(s) - 2.0 * s.count(2) + (s[-1] == 0) for s in SENTENCES], dtype=torch.float64)
REFERENCE = logps(drawn(1))
POLICY = drawn(0)


def truth(logits):
    """The gradient of sum_y pi(y) [score(y) - beta (log pi(y) - log pi_ref(y))]."""
    each = sequence_sum(logps(logits), KEEP)
    value = (each.exp() * (SCORES - BETA * (each - sequence_sum(REFERENCE, KEEP)))).sum()
    return torch.autograd.grad(value, logits)[0]


def expected(logits, losses):
    """The gradient that a loss of each sentence [sentences] climbs, weighed by how often each is said."""
    share = sequence_sum(logps(logits), KEEP).exp().detach()
    return -torch.autograd.grad((share * losses).sum(), logits)[0]


def ppo(logits, *, sign=1.0, keep=KEEP, lam=1.0, values=None):
    """Of each sentence what PPO's first update minimises: k1 in the reward, nothing whitened."""
    new = logps(logits)
    old = new.detach()
    rewards = token_rewards(SCORES, sign * BETA * divergence(old - REFERENCE, "k1"), keep)
    known = by_prefix(drawn(7)[:, 0]) if values is None else values
    advantages = gae(rewards, known, keep, gamma=1.0, lam=lam)
    return sequence_sum(clipped(new, old, advantages, low=0.2, high=0.2, dual=3.0), keep)


def test_everything_that_can_be_said_is_said_once():
    assert len(SENTENCES) == len(set(SENTENCES)) == 15
    share = sequence_sum(logps(POLICY), KEEP).exp()
    assert_close(share.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_ppo_s_first_expected_step_climbs_the_kl_regularised_objective():
    """Whatever the values are: at lambda 1 they are a baseline of the words before."""
    logits = POLICY.clone().requires_grad_()
    assert_close(expected(logits, ppo(logits)), truth(logits))


SHIFTED = torch.tensor([[t < max(1, len(s) - 1) for t in range(3)] for s in SENTENCES])


@pytest.mark.parametrize(
    "mistake",
    [
        {"sign": -1.0},  # KL paid for instead of taken off
        {"keep": SHIFTED},  # the score a word before the last
        {"lam": 0.5},  # values that are wrong, and no longer only a baseline
    ],
    ids=["sign of KL", "mask", "lambda"],
)
def test_and_planted_mistakes_are_seen(mistake):
    logits = POLICY.clone().requires_grad_()
    assert (expected(logits, ppo(logits, **mistake)) - truth(logits)).abs().max() > 0.01


def test_with_the_right_values_any_lambda_climbs_it():
    """Values that are what is to be expected: the advantage of each word has no bias at any lambda."""
    logits = POLICY.clone().requires_grad_()
    new = logps(logits).detach()
    rewards = token_rewards(SCORES, BETA * (new - REFERENCE), KEEP)
    ahead = gae(rewards, torch.zeros_like(rewards), KEEP, gamma=1.0, lam=1.0)
    share = sequence_sum(new, KEEP).exp()
    values = torch.zeros_like(ahead)
    for i, sentence in enumerate(SENTENCES):
        for t in range(len(sentence)):
            same = [k for k, other in enumerate(SENTENCES) if other[:t] == sentence[:t]]
            values[i, t] = (share[same] * ahead[same, t]).sum() / share[same].sum()
    assert_close(expected(logits, ppo(logits, lam=0.3, values=values)), truth(logits))


def test_reinforce_with_kl_in_the_reward_climbs_it():
    logits = POLICY.clone().requires_grad_()
    new = logps(logits)
    rewards = SCORES - BETA * sequence_sum(new.detach() - REFERENCE, KEEP)
    losses = torch.stack([reinforce(new[i : i + 1], rewards[i : i + 1], KEEP[i : i + 1]) for i in range(15)])
    assert_close(expected(logits, losses), truth(logits))


def test_rloo_over_all_pairs_of_sentences_climbs_it():
    logits = POLICY.clone().requires_grad_()
    new = logps(logits)
    rewards = SCORES - BETA * sequence_sum(new.detach() - REFERENCE, KEEP)
    share = sequence_sum(new, KEEP).exp().detach()
    total = torch.zeros((), dtype=torch.float64)
    for pair in product(range(15), repeat=2):
        both = torch.tensor(pair)
        total = total + share[both].prod() * reinforce(new[both], rloo(rewards[both][None])[0], KEEP[both])
    (found,) = torch.autograd.grad(-total, logits)
    assert_close(found, truth(logits))


def test_k2_in_the_loss_is_exact_for_one_word_and_not_for_several():
    """It leaves out what a word does to the KL of the words after it."""
    logits = POLICY.clone().requires_grad_()
    new = logps(logits)
    found = expected(logits, sequence_sum(divergence(new - REFERENCE, "k2"), KEEP))
    each = sequence_sum(logps(logits), KEEP)
    exact = -torch.autograd.grad((each.exp() * (each - sequence_sum(REFERENCE, KEEP))).sum(), logits)[0]
    last = [len(prefix) == 2 for prefix in PREFIXES]  # after two words there is one word to come
    assert_close(found[last], exact[last])
    assert (found[0] - exact[0]).abs().max() > 0.01
