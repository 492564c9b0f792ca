"""DPO that does not take length for quality: a sum over more tokens moves more, whatever they say."""

from jaxtyping import Float
from torch import Tensor

from gnomon.losses.preference import PairLogps
from gnomon.losses.reward import bradley_terry


def desensitised(
    first: Float[Tensor, "tokens"], second: Float[Tensor, "others"], *, tail_weight: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Log-probs of two answers by their tokens': sum_{t <= n} + a sum_{t > n}, n the shorter one's length.

    LD-DPO, arXiv:2409.06411: with these sums of policy and reference alike DPO is less sensitive to length.
    a = tail_weight; 1 is DPO, and at 0 nothing counts past the shorter answer's length.
    """
    shared = min(len(first), len(second))
    one, other = (each[:shared].sum() + tail_weight * each[shared:].sum() for each in (first, second))
    return one, other


def r_dpo(
    logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float, length_penalty: float
) -> Float[Tensor, "pairs"]:
    """-log s(beta * margin + a (|better| - |worse|)), lengths in tokens, a = length_penalty.

    Length-regularised DPO, arXiv:2403.19159: DPO's likelihood where the policy is to maximise the reward less
    a for each token, so that a policy's implicit reward is beta log(pi / pi_ref) + a |y|. What a longer
    answer is preferred for by a a token, its log-ratio need not explain.
    """
    longer = length_penalty * (logps.first_tokens - logps.second_tokens)
    return bradley_terry(beta * logps.margin + longer, preference)
