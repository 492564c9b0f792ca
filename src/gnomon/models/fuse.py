"""A model's LoRA layers computed as the kernel computes them, whoever put the adapters on.

As peft computes them an output is rounded before its update is added: scores, log-probs and answers of saved
adapters would not be those of the model that was trained, and take half as long again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from gnomon.kernels.lora import lora_linear
from gnomon.kernels.mlp import ACTIVATIONS, Activation, Adapted, lora_mlp

GATED = ("gate_proj", "up_proj", "down_proj")
"""What the layers of a gated feed-forward layer are called, by nearly all that transformers has."""


def fused(model: Any) -> Any:
    """The model itself, its plain LoRA layers computed by fused kernels; peft still owns the weights."""
    for module in model.modules():
        if plain_lora(module):
            module.forward = partial(_fused_forward, module, module.forward)
    acts: dict[type, Activation | None] = {}
    for module in model.modules():
        if all(plain_lora(getattr(module, name, None)) for name in GATED):
            if type(module) not in acts:
                acts[type(module)] = _activation(module)
            if (act := acts[type(module)]) is not None:
                module.forward = partial(_fused_mlp, module, act, module.forward)
    return model


def plain_lora(module: Any) -> bool:
    """Whether it is a linear layer with adapters, and the layer below them nothing but that."""
    return isinstance(module, LoraLinear) and type(module.get_base_layer()) is nn.Linear


@torch.no_grad()
def _activation(mlp: Any) -> Activation | None:
    """What opens the gate, where the kernel computes what the module does; tried on a few rows."""
    layers, own = _adapted(mlp), getattr(mlp, "act_fn", None)
    if layers is None or own is None or layers[0].weight.is_meta:
        return None
    if not {name for name, _ in mlp.named_children()} <= {*GATED, "act_fn"}:
        return None
    weight = layers[0].weight
    grid = torch.linspace(-8, 8, 1001, device=weight.device)
    x = torch.linspace(-3, 5, 7 * weight.shape[1], device=weight.device).view(7, -1).sin().to(weight.dtype)
    wanted = mlp(x)
    for act in ACTIVATIONS.values():
        if torch.allclose(act.function(grid), own(grid), rtol=1e-6, atol=1e-7):
            differs = (lora_mlp(x, *layers, act) - wanted).norm()
            return act if differs <= 0.02 * wanted.norm() else None
    return None


def _adapted(mlp: Any) -> tuple[Adapted, Adapted, Adapted] | None:
    """The three layers, where the kernel computes what they compute one after another."""
    found = []
    for layer in (getattr(mlp, name) for name in GATED):
        adapter, base = only_adapter(layer), layer.get_base_layer()
        if adapter is None or base.bias is not None:
            return None
        found.append(Adapted(base.weight, *adapter))
    gate, up, down = found
    return gate, up, down


def _fused_mlp(
    mlp: Any, act: Activation, plain: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """The kernel where it computes what the module would, and where a backward pass may follow: layers that
    only answer may have been made ready for that, each by itself (`models.inference`)."""
    layers = _adapted(mlp) if torch.is_grad_enabled() and not args and not kwargs else None
    return plain(x, *args, **kwargs) if layers is None else lora_mlp(x, *layers, act)


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
