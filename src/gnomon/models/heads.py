"""Finding a model's body and output head, and checking that the head is what it seems."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.errors import ModelError
from gnomon.kernels.head import Head, head_logits


def body(model: Any) -> Any:
    """The decoder under the vocabulary head, adapters included."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.get_decoder()


def output_head(model: Any) -> Head:
    """The output layer with the scaling its architecture applies."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    layer, config = inner.get_output_embeddings(), inner.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(
        getattr(config, "logits_scaling", None) or 1.0
    )
    return Head(layer.weight, layer.bias, scale, getattr(config, "final_logit_softcapping", None))


def hidden_states(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Last hidden states [batch, seq, width], positions counted over real tokens."""
    positions = (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)
    output = body(model)(
        input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False
    )
    states: Tensor = output.last_hidden_state
    return states


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Inside the block the module is in evaluation mode; then it is again in the mode it was in."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@torch.no_grad()
def check_head(model: Any) -> None:
    """ModelError where `output_head` does not reproduce the model's own logits on a few tokens."""
    ids = torch.arange(4, device=next(model.parameters()).device)[None]
    with without_dropout(model):
        hidden = hidden_states(model, ids, torch.ones_like(ids, dtype=torch.bool))[0]
        ours, theirs = head_logits(hidden, output_head(model)), model(input_ids=ids).logits[0]
    tolerance = max(1e-4, 3 * torch.finfo(theirs.dtype).eps)  # some models scale and cap in bfloat16
    theirs = theirs.to(ours.dtype)
    if not torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max())):
        raise ModelError(
            f"{type(model).__name__} does something to its logits that Gnomon does not know (off by up to "
            f"{float((ours - theirs).abs().max()):.3g}); it cannot be trained or sampled from exactly"
        )
