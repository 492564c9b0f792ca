"""Policy objectives."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.kl import k3
from gnomon.losses.masking import sequence_sum


def reinforce(
    logps: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch"],
    response_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """-mean_i A_i sum_t log pi(y_it): the whole response is one action (arXiv:2402.14740).

    Its gradient is the policy gradient on samples of the policy itself. Training computes the same from
    hidden states with the fused head and `reinforce_weights`, and tests hold that against this.
    """
    return -(advantages * sequence_sum(logps, response_mask)).mean()


def reinforce_weights(advantages: Float[Tensor, "batch"], sequences: int) -> Float[Tensor, "batch"]:
    """What each token of row i weighs in `reinforce` over a step of `sequences` rows: A_i / sequences."""
    return advantages / sequences


def grpo(
    logps: Float[Tensor, "batch seq"],
    ref_logps: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch"],
    response_mask: Bool[Tensor, "batch seq"],
    *,
    beta: float,
    divisor: int | None = None,
) -> Float[Tensor, ""]:
    """-mean_i 1/|y_i| sum_t [ratio_it A_i - beta k3_it]: arXiv:2402.03300, eq. 3, without its clip.

    With one update on each batch of samples ratio is 1 and the clip never acts. |y_i| pays the tokens of a
    long response less where it is right and forgives them more where it is wrong; Dr. GRPO
    (arXiv:2503.20783) divides by a constant instead, `divisor`. Training computes the same gradient from
    hidden states with the fused head and `grpo_weights`, and tests hold that against this.
    """
    ratio = (logps - logps.detach()).exp()
    each = ratio * advantages[:, None] - beta * k3(logps - ref_logps)
    lengths = response_mask.sum(dim=1) if divisor is None else divisor
    return -(sequence_sum(each, response_mask) / lengths).mean()


def grpo_weights(
    advantage: float, log_ratios: Float[Tensor, "tokens"], *, beta: float, divisor: int
) -> Float[Tensor, "tokens"]:
    """What each token of a response weighs in `grpo`: (A + beta (pi_ref/pi - 1)) / divisor.

    `log_ratios` are log pi - log pi_ref of the tokens; `divisor` is the response's length (Dr. GRPO: the
    constant) times the rows of the step.
    """
    return (advantage + beta * torch.expm1(-log_ratios)) / divisor
