"""Preferences without a reward model: what a policy's log-probs must do on pairs of answers."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gnomon.losses.reward import bradley_terry


@dataclass(frozen=True)
class PairLogps:
    """Log-probs of both answers of each pair, summed over their tokens, under policy and reference."""

    first: Float[Tensor, "pairs"]
    second: Float[Tensor, "pairs"]
    ref_first: Float[Tensor, "pairs"]
    ref_second: Float[Tensor, "pairs"]

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


def dpo(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """-[p log s(d) + (1 - p) log s(-d)], d = beta * margin, p = P(first is better).

    Direct preference optimisation, arXiv:2305.18290, eq. 7, which has p = 1. Soft labels are the same
    likelihood with p between 0 and 1; p = 1 - epsilon is its conservative form for labels of which a share
    epsilon is flipped (Mitchell 2023, "A note on DPO with noisy preferences").
    """
    return bradley_terry(beta * logps.margin, preference)
