"""`kernels.attention` under any model of transformers that takes its attention from outside."""

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from gnomon.kernels.attention import LONGEST, added_to_scores, attend, attend_once, causal

NAME = "gnomon"
"""What the settings of a model call it."""

BEYOND = ("dropout", "softcap", "position_bias", "s_aux", "cache")
"""What an architecture may ask for that the kernel does not do."""


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """[batch, heads, queries, width] and fewer heads of keys and values -> [batch, queries, heads, width].

    Long rows, masks that differ by head, what is `BEYOND` the kernel and what a GPU computes are left to
    torch, as the implementation "sdpa" of transformers has them; so are single queries, as rows of one head.
    """
    queries, keys = query.shape[2], key.shape[2]
    able = query.device.type == "cpu" and not any(more.get(name) for name in BEYOND)
    able = able and (attention_mask is None or attention_mask.shape[1] == 1)
    scale = more.get("scaling") or query.shape[-1] ** -0.5
    if able and queries == 1:
        return attend_once(query, key, value, attention_mask, scale), None
    able = able and keys <= LONGEST
    causally = getattr(module, "is_causal", True) if more.get("is_causal") is None else more["is_causal"]
    if attention_mask is None and able and causally and queries == keys:
        attention_mask = causal(queries, keys, query.device)[None, None]
    if attention_mask is None or not able:
        found: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **more)[0]
        return found, None
    if not attention_mask.is_floating_point():
        attention_mask = added_to_scores(attention_mask.bool(), query.dtype)
    return attend(query, key, value, attention_mask, scale), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
