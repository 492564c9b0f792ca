"""A model's LoRA layers computed as the kernel computes them, whoever put the adapters on.

As peft computes them an output is rounded before its update is added: scores, log-probs and answers of saved
adapters would not be those of the model that was trained, and take half as long again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from gnomon.kernels.lora import lora_linear


def fused(model: Any) -> Any:
    """The model itself, its plain LoRA layers computed by the fused kernel; peft still owns the weights."""
    for module in model.modules():
        if isinstance(module, LoraLinear) and type(module.get_base_layer()) is nn.Linear:
            module.forward = partial(_fused_forward, module, module.forward)
    return model


def only_adapter(layer: Any) -> tuple[Tensor, Tensor, float] | None:
    """Both factors and the scale of the update, where the layer computes what `kernels.lora` does: one
    adapter, no dropout, no variant, nothing merged."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    name = layer.active_adapters[0]
    if name not in layer.lora_A or layer.lora_variant or layer.lora_bias[name]:
        return None
    if layer.training and not isinstance(layer.lora_dropout[name], nn.Identity):
        return None
    return layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]


def _fused_forward(layer: Any, plain: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The kernel where it computes what peft would."""
    adapter = None if args or kwargs else only_adapter(layer)
    if adapter is None:
        return plain(x, *args, **kwargs)
    return lora_linear(x, layer.base_layer.weight, layer.base_layer.bias, *adapter)
