"""Policy objectives."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.kl import Estimator, k3, slope
from gnomon.losses.masking import sequence_sum


def reinforce(
    logps: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch"],
    response_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """-mean_i A_i sum_t log pi(y_it): the whole response is one action (arXiv:2402.14740).

    Its gradient is the policy gradient on samples of the policy itself. Training computes the same from
    hidden states with the fused head and `surrogate_weights`, and tests hold that against this.
    """
    return -(advantages * sequence_sum(logps, response_mask)).mean()


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
    hidden states with the fused head and `surrogate_weights`, and tests hold that against this.
    """
    ratio = (logps - logps.detach()).exp()
    each = ratio * advantages[:, None] - beta * k3(logps - ref_logps)
    lengths = response_mask.sum(dim=1) if divisor is None else divisor
    return -(sequence_sum(each, response_mask) / lengths).mean()


def surrogate_weights(
    advantages: Float[Tensor, "tokens"],
    log_ratios: Float[Tensor, "tokens"],
    *,
    beta: float,
    estimator: Estimator,
    divisor: int,
) -> Float[Tensor, "tokens"]:
    """What each token of a response weighs in a first update: (A - beta slope) / divisor.

    That is minus the derivative, by the token's log-prob, of `clipped` plus `beta` times the KL's estimate
    where pi is still the policy that sampled. `log_ratios` are log pi - log pi_ref; see `masking.divisors`.
    """
    return (advantages - beta * slope(log_ratios, estimator)) / divisor


def clipped(
    logps: Float[Tensor, "*tokens"],
    old_logps: Float[Tensor, "*tokens"],
    advantages: Float[Tensor, "*tokens"],
    *,
    low: float,
    high: float,
    dual: float | None = None,
) -> Float[Tensor, "*tokens"]:
    """-min(ratio A, clip(ratio, 1 - low, 1 + high) A) of each token, ratio = pi/pi_old (arXiv:1707.06347, eq.
    7). `low` and `high` differ in DAPO (arXiv:2503.14476, section 3.1), so that rare tokens can gain.

    A token whose advantage is negative and whose ratio has grown is not clipped by this; `dual` bounds its
    loss by -dual * A (arXiv:1912.09729).
    """
    ratio = (logps - old_logps).exp()
    worst = torch.maximum(-ratio * advantages, -ratio.clamp(1 - low, 1 + high) * advantages)
    if dual is None:
        return worst
    return torch.where(advantages < 0, torch.minimum(worst, -dual * advantages), worst)


def clipped_value(
    values: Float[Tensor, "*tokens"],
    old_values: Float[Tensor, "*tokens"],
    returns: Float[Tensor, "*tokens"],
    *,
    clip: float | None,
) -> Float[Tensor, "*tokens"]:
    """Half the greater of (V - R)^2 and (V' - R)^2 of each token, V' no farther than `clip` from V_old.

    From the code of arXiv:1707.06347: a value that moved by more than `clip` towards its return learns no
    more from it. None leaves V as it is.
    """
    loss = (values - returns) ** 2
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        loss = torch.maximum(loss, (near - returns) ** 2)
    return loss / 2
