"""Preferences without a reward model: what a policy's log-probs must do on pairs of answers.

`preference` is P(first is better) of each pair, 0 to 1. Papers have hard labels; a soft one costs what hard
ones drawn with its probability cost on average, whatever the loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.losses.reward import bradley_terry


@dataclass(frozen=True)
class PairLogps:
    """Log-probs of both answers of each pair, summed over their tokens, under policy and reference; and how
    many tokens these are. Without a reference its log-probs are 0, and ratios are the policy's own."""

    first: Float[Tensor, "pairs"]
    second: Float[Tensor, "pairs"]
    ref_first: Float[Tensor, "pairs"]
    ref_second: Float[Tensor, "pairs"]
    first_tokens: Int[Tensor, "pairs"]
    second_tokens: Int[Tensor, "pairs"]

    @property
    def first_ratio(self) -> Float[Tensor, "pairs"]:
        """log pi - log pi_ref of the first answer; times beta it is what DPO takes for its reward."""
        return self.first - self.ref_first

    @property
    def second_ratio(self) -> Float[Tensor, "pairs"]:
        """log pi - log pi_ref of the second answer."""
        return self.second - self.ref_second

    @property
    def margin(self) -> Float[Tensor, "pairs"]:
        """The first answer's log-ratio minus the second's, in nats."""
        return self.first_ratio - self.second_ratio

    def averaged(self) -> "PairLogps":
        """Every log-prob over the number of its answer's tokens."""
        first, second = self.first_tokens, self.second_tokens
        return replace(
            self,
            first=self.first / first,
            second=self.second / second,
            ref_first=self.ref_first / first,
            ref_second=self.ref_second / second,
        )

    def swapped(self) -> "PairLogps":
        """The same pairs with their answers in the other order."""
        return PairLogps(
            self.second,
            self.first,
            self.ref_second,
            self.ref_first,
            self.second_tokens,
            self.first_tokens,
        )


def expected(
    loss: Callable[[PairLogps], Float[Tensor, "pairs"]],
    logps: PairLogps,
    preference: Float[Tensor, "pairs"],
) -> Float[Tensor, "pairs"]:
    """p l + (1 - p) l', l the loss where the first answer is the better, l' where the second is."""
    return preference * loss(logps) + (1 - preference) * loss(logps.swapped())


def dpo(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """-[p log s(d) + (1 - p) log s(-d)], d = beta * margin, p = P(first is better).

    Direct preference optimisation, arXiv:2305.18290, eq. 7, which has p = 1. Soft labels are the same
    likelihood with p between 0 and 1; p = 1 - epsilon is its conservative form, cDPO, for labels of which a
    share epsilon is flipped (Mitchell 2023, "A note on DPO with noisy preferences").
    """
    return bradley_terry(beta * logps.margin, preference)


def robust_dpo(
    logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float, flips: float
) -> Float[Tensor, "pairs"]:
    """[(1 - e) l - e l'] / (1 - 2 e), l DPO's loss by the label, l' by the opposite one, e = flips < 1/2.

    rDPO, arXiv:2403.00409. Over labels of which a share e is flipped at random it is on average DPO's loss
    by the true ones, where cDPO's is not. A single pair's has no lower bound: it falls by e beta / (1 - 2 e)
    for each nat of margin.
    """
    told, opposite = dpo(logps, preference, beta=beta), dpo(logps, 1 - preference, beta=beta)
    return ((1 - flips) * told - flips * opposite) / (1 - 2 * flips)


def ipo(
    logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float, average: bool = False
) -> Float[Tensor, "pairs"]:
    """(margin - 1/(2 beta))^2, margin = log-ratio of the better answer minus that of the other.

    Identity preference optimisation, arXiv:2310.12036, eq. 17, whose tau is beta. Log-ratios are of whole
    answers, as written there; with `average` of a token, as other libraries have it: another target.
    """
    seen = logps.averaged() if average else logps
    return expected(lambda pair: torch.square(pair.margin - 1 / (2 * beta)), seen, preference)


def hinge(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """max(0, 1 - beta * margin): a pair that is right by 1 / beta nats stops paying.

    The hinge of SLiC-HF (arXiv:2305.10425) on log-ratios to the reference, as in arXiv:2309.06657 (RSO).
    """
    return expected(lambda pair: (1 - beta * pair.margin).clamp(min=0), logps, preference)
