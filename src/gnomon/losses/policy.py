"""Policy objectives."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnomon.losses.kl import Estimator, slope


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
