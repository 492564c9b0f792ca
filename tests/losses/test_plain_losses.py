"""What holds for every loss of preferences: it is its formula, a soft label is a mean, answers may swap."""

import plain_losses as plain
import pytest
import torch
from plain_losses import Answer
from torch.autograd import gradcheck
from torch.testing import assert_close
from verdicts import kto_of_pairs

from gnomon.losses.anchored import apo_down, apo_zero
from gnomon.losses.length_aware import r_dpo
from gnomon.losses.preference import PairLogps, dpo, hinge, ipo, robust_dpo
from gnomon.losses.reference_free import cpo, odds_ratio, preferred_nll, simpo, slic

PAIRS = 6
WEIGHTS = {"beta": 0.4, "desirable_weight": 1.3, "undesirable_weight": 0.6}
CASES = {
    "dpo": (dpo, plain.dpo, {"beta": 0.3}),
    "robust_dpo": (robust_dpo, plain.robust_dpo, {"beta": 0.3, "flips": 0.2}),
    "ipo": (ipo, plain.ipo, {"beta": 0.3, "average": False}),
    "ipo, average": (ipo, plain.ipo, {"beta": 0.7, "average": True}),
    "hinge": (hinge, plain.hinge, {"beta": 0.2}),
    "slic": (slic, plain.slic, {"delta": 3.0}),
    "cpo": (cpo, plain.cpo, {"beta": 0.2}),
    "simpo": (simpo, plain.simpo, {"beta": 2.5, "gamma": 0.7}),
    "odds_ratio": (odds_ratio, plain.odds_ratio, {"odds_weight": 0.3}),
    "preferred_nll": (preferred_nll, plain.preferred_nll, {}),
    "kto": (kto_of_pairs, plain.kto, WEIGHTS | {"baseline": torch.tensor(0.8, dtype=torch.float64)}),
    "apo_zero": (apo_zero, plain.apo_zero, {"beta": 0.4}),
    "apo_down": (apo_down, plain.apo_down, {"beta": 0.4}),
    "r_dpo": (r_dpo, plain.r_dpo, {"beta": 0.3, "length_penalty": 0.2}),
}
EACH = pytest.mark.parametrize(("ours", "theirs", "settings"), CASES.values(), ids=CASES)


@pytest.fixture
def pairs():
    """Ragged pairs on either side of every threshold, their policy log-probs differentiable."""
    torch.manual_seed(4)
    tokens = [torch.randint(2, 12, (PAIRS,)) for _ in range(2)]
    policy = [-(1 + torch.rand(PAIRS, dtype=torch.float64)) * count for count in tokens]
    reference = [own + 2 * torch.randn(PAIRS, dtype=torch.float64) for own in policy]
    return PairLogps(*(own.requires_grad_() for own in policy), *reference, *tokens)


def answers(logps):
    return (
        Answer(logps.first, logps.ref_first, logps.first_tokens),
        Answer(logps.second, logps.ref_second, logps.second_tokens),
    )


def labels(*values):
    return torch.tensor(values, dtype=torch.float64).expand(PAIRS)


@EACH
def test_value_and_gradient_are_those_of_the_formula(ours, theirs, settings, pairs):
    mine, formula = ours(pairs, labels(1.0), **settings), theirs(*answers(pairs), **settings)
    assert_close(mine, formula)
    assert mine.std() > 1e-3
    own = (pairs.first, pairs.second)
    found, wanted = (
        torch.autograd.grad(values.sum(), own, allow_unused=True, materialize_grads=True)
        for values in (mine, formula)
    )
    assert found[0].abs().max() > 1e-3
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)


@EACH
def test_a_soft_label_is_the_mean_of_both_verdicts(ours, theirs, settings, pairs):
    better, worse = answers(pairs)
    sure, opposite = theirs(better, worse, **settings), theirs(worse, better, **settings)
    for share in (0.0, 0.3, 0.5, 0.9):
        mine = ours(pairs, labels(share), **settings)
        assert_close(mine, share * sure + (1 - share) * opposite)


@EACH
def test_swapping_answers_and_label_changes_nothing(ours, theirs, settings, pairs):
    mixed = torch.linspace(0, 1, PAIRS, dtype=torch.float64)
    mine, swapped = ours(pairs, mixed, **settings), ours(pairs.swapped(), 1 - mixed, **settings)
    assert_close(mine, swapped)
    assert (mine - ours(pairs, 1 - mixed, **settings)).abs().max() > 1e-3


@EACH
def test_gradient_equals_finite_differences(ours, theirs, settings, pairs):
    mixed = torch.linspace(0, 1, PAIRS, dtype=torch.float64)
    rest = (pairs.ref_first, pairs.ref_second, pairs.first_tokens, pairs.second_tokens)
    assert gradcheck(
        lambda *own: ours(PairLogps(*own, *rest), mixed, **settings), (pairs.first, pairs.second)
    )


@EACH
def test_a_pair_s_loss_does_not_depend_on_its_mates(ours, theirs, settings, pairs):
    whole = ours(pairs, labels(0.8), **settings)
    fields = (
        pairs.first,
        pairs.second,
        pairs.ref_first,
        pairs.ref_second,
        pairs.first_tokens,
        pairs.second_tokens,
    )
    alone = PairLogps(*(field[2:3] for field in fields))
    assert_close(ours(alone, labels(0.8)[:1], **settings), whole[2:3])
