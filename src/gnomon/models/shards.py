"""A model's layers shared out among processes (FSDP2): each holds a part of every layer, and gathers a layer
whole for as long as it computes it.

Each layer is sharded by itself and nothing above it is, so that the layer's own forward gathers it whoever
calls it. Embeddings, norm and head, which the fused head reads without any forward, are whole everywhere.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from gnomon.distributed import check_alike, gather, in_lockstep, lasting, leads, size
from gnomon.errors import ConfigError
from gnomon.kernels.head import wide
from gnomon.models.branches import shares
from gnomon.models.heads import hidden_states, without_dropout
from gnomon.models.recompute import decoder_layers

T = TypeVar("T")


def shard(module: nn.Module) -> None:
    """Share out the layers of the language model in a module over all processes, unless there is but one.

    What is not shared out goes to the device with them. Call it before anything holds a layer's weights.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if size() > 1:
        _share_out(_language_model(module), kind)
    if kind == "cuda":
        module.to(kind)


def _share_out(model: Any, kind: str) -> None:
    layers = decoder_layers(model)
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no layers that can be shared out; set model.sharding=none"
        )
    shares(model)  # tried while every process has the weights
    check_alike(parameter for layer in layers for parameter in layer.parameters())
    mesh = DeviceMesh.from_group(lasting(), kind)  # which torch's caches hold to the end
    for layer in layers:
        trained = [parameter.dtype for parameter in layer.parameters() if parameter.requires_grad]
        policy = MixedPrecisionPolicy(reduce_dtype=wide(trained[0]) if trained else None)
        sharded = fully_shard(layer, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
        sharded.set_gradient_divide_factor(1.0)  # a loss is a share of one mean: gradients add up
        sharded.set_force_sum_reduction_for_comms(True)


def sharded_layers(module: nn.Module) -> list[FSDPModule]:
    """The layers that are shared out."""
    return [part for part in module.modules() if isinstance(part, FSDPModule)]


def is_part(tensor: Tensor) -> bool:
    """Whether this process holds a part of the tensor alone."""
    return isinstance(tensor, DTensor)


def part_of(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, in the memory that it is held in."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor


def like_part(tensor: Tensor, weight: Tensor) -> Tensor:
    """What belongs to this process's part of a weight, as a part of what belongs to the weight."""
    if not isinstance(weight, DTensor) or not tensor.ndim:
        return tensor
    return DTensor.from_local(
        tensor,
        weight.device_mesh,
        weight.placements,
        run_check=False,
        shape=weight.shape,
        stride=weight.stride(),
    )


@contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Inside the block every process holds the layers whole: it may compute alone, as often as it likes.

    All must come to it together. The weights must not change meanwhile, and nothing is differentiable.
    """
    layers = sharded_layers(module)
    if layers:
        with in_lockstep():
            for layer in layers:
                layer.set_reshard_after_forward(False)
                layer.unshard()
    try:
        yield
    finally:
        for layer in layers:
            layer.set_reshard_after_forward(True)
            layer.reshard()


@contextmanager
def evenly(module: nn.Module, passes: Iterable[T]) -> Iterator[Iterable[T]]:
    """Inside the block a process takes its passes through the module, one for each of what is yielded.

    Every process must come to a layer that is shared out equally often, so those that have fewer passes take
    empty ones at the end. All must come to it together.
    """
    if not sharded_layers(module):
        yield passes
        return
    own = list(passes)
    most = max(gather(len(own)))
    with in_lockstep():
        yield own
        for _ in range(most - len(own)):
            _empty_pass(module)


def gathered(module: nn.Module, *, only: str = "") -> dict[str, Tensor]:
    """The module's weights by name, whole, where this process is the first, elsewhere none; of those whose
    names hold `only`. What was shared out comes to the host's memory. All must call it."""
    weights: dict[str, Tensor] = {}
    with torch.no_grad(), in_lockstep():
        for name, value in module.state_dict().items():
            if only not in name:
                continue
            full = value.full_tensor() if isinstance(value, DTensor) else value
            if leads():
                weights[name] = full.cpu() if isinstance(value, DTensor) else full
    return weights


def _language_model(module: nn.Module) -> Any:
    """The language model in a module, adapters or a score on it."""
    return next(part for part in module.modules() if isinstance(part, PreTrainedModel))


def _empty_pass(module: nn.Module) -> None:
    """Come to every layer as the others do, with nothing to learn from it and nothing drawn."""
    model = _language_model(module)
    ids = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    with without_dropout(module):
        states = hidden_states(model, ids, torch.ones_like(ids, dtype=torch.bool))
    if states.requires_grad:
        (0.0 * states.sum()).backward()  # type: ignore[no-untyped-call]
