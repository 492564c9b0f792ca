"""Preferences by the policy's own log-probs: no reference, and what keeps the policy in its place instead."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from gnomon.losses.preference import PairLogps, expected
from gnomon.losses.reward import bradley_terry


def preferred_nll(logps: PairLogps, preference: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
    """-log pi / |y| of the better answer, in nats a token: the cross-entropy that holds the policy where
    there is no reference, and that other losses may be given beside (arXiv:2404.19733)."""
    return expected(lambda pair: -pair.first / pair.first_tokens, logps, preference)


def slic(logps: PairLogps, preference: Float[Tensor, "pairs"], *, delta: float) -> Float[Tensor, "pairs"]:
    """max(0, delta - log pi(better) + log pi(worse)): the ranking loss of SLiC-HF (arXiv:2305.10425).

    Its cross-entropy is `preferred_nll`, of the better answer and a token's mean; there it is of whole
    answers of the tuned model.
    """
    return expected(lambda pair: (delta - pair.first + pair.second).clamp(min=0), logps, preference)


def cpo(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """-log s(beta (log pi(better) - log pi(worse))): DPO with a reference that finds all answers alike.

    Contrastive preference optimisation, arXiv:2401.08417; its cross-entropy is `preferred_nll`, a token's
    mean.
    """
    return bradley_terry(beta * (logps.first - logps.second), preference)


def simpo(
    logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float, gamma: float
) -> Float[Tensor, "pairs"]:
    """-log s(beta (log pi(better) / |better| - log pi(worse) / |worse|) - gamma).

    SimPO, arXiv:2405.14734, eq. 6: the reward is a token's mean log-prob, what sampling goes by, and gamma
    the margin of rewards that is aimed at.
    """

    def hard(pair: PairLogps) -> Float[Tensor, "pairs"]:
        return -logsigmoid(beta * (pair.first - pair.second) - gamma)

    return expected(hard, logps.averaged(), preference)


def odds_ratio(
    logps: PairLogps, preference: Float[Tensor, "pairs"], *, odds_weight: float
) -> Float[Tensor, "pairs"]:
    """-lambda log s(log odds(better) - log odds(worse)), odds = P / (1 - P), P = exp(log pi / |y|).

    ORPO's second term, arXiv:2403.07691, eq. 7, lambda = odds_weight; its first is `preferred_nll`, here over
    the answer alone.
    """
    mean = logps.averaged()
    return odds_weight * bradley_terry(_log_odds(mean.first) - _log_odds(mean.second), preference)


def _log_odds(logp: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
    """log P - log(1 - P); a log-prob that rounding has taken to 0 or above counts as the next below."""
    below = logp.clamp(max=-torch.finfo(logp.dtype).eps)
    return below - torch.log(-torch.expm1(below))
