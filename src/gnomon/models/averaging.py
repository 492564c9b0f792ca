"""Several reward models made one by the mean of their weights (WARM, arXiv:2401.12187)."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnomon.errors import ModelError
from gnomon.models.load import DTYPES, adapter_base, load
from gnomon.models.reward_model import HEAD_FILE, MEMBER, Scorer, load_head, load_scorer
from gnomon.models.save import save_model

CONFIG, ADAPTERS = "adapter_config.json", "adapter_model.safetensors"

PLAIN = {"use_dora": False, "use_rslora": False, "bias": "none", "modules_to_save": None}
"""What an adapter must be for its update to be scale * B A and nothing else."""


def average(folders: Sequence[Path], into: Path, *, dtype: str = "bfloat16") -> Scorer:
    """The reward model whose weights are the mean of those in `folders`, written to a new folder `into`.

    Runs that begin at one model and learn from the same kind of rows stay where a mean of their weights is as
    good as any of them, and it remembers less of what single runs learnt by heart. Adapters begin at chance
    and are no weights: here the mean is of their updates, exactly, which is an adapter of all their ranks
    together. ModelError where the models do not begin at one, or are ensembles.
    """
    if len(folders) < 2:
        raise ModelError("a mean is of two reward models or more; name another")
    heads = [load_head(folder) for folder in folders]
    for folder in folders:
        if (folder / MEMBER.format(2)).is_dir():
            raise ModelError(f"{folder} is an ensemble of several bodies, which is a mean of scores already")
    adapted = [(folder / CONFIG).exists() for folder in folders]
    if any(adapted) != all(adapted):
        raise ModelError("some of the reward models are adapters, others whole models; they have no mean")
    into.mkdir(parents=True)
    if all(adapted):
        _average_adapters(folders, into)
    else:
        _average_weights(folders, into, dtype)
    save_file(mean_of(folders, heads), into / HEAD_FILE)
    return load_scorer(into, dtype=dtype)


def mean_of(folders: Sequence[Path], states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of tensors by name, in float32 at least; ModelError where names or shapes differ."""
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for folder, own in zip(folders, shapes, strict=True):
        if own != shapes[0]:
            raise ModelError(f"{folder} has other weights than {folders[0]}; both must begin at one model")
    return {
        name: torch.stack([_wide(state[name]) for state in states]).mean(dim=0).to(states[0][name].dtype)
        for name in states[0]
    }


def _average_adapters(folders: Sequence[Path], into: Path) -> None:
    """A of all ranks under each other and B beside each other: B A is then the sum of all updates."""
    configs = [_config(folder) for folder in folders]
    bases = {adapter_base(folder) for folder in folders}
    if len(bases) > 1:
        raise ModelError(f"the reward models begin at several models, {' and '.join(sorted(bases))}")
    states = [_adapters(folder) for folder in folders]
    names = [set(state) for state in states]
    if any(own != names[0] for own in names):
        raise ModelError(f"{folders[0]} and another have adapters on other layers; they have no mean")
    scales = [config["lora_alpha"] / config["r"] / len(folders) for config in configs]
    joined = {}
    for name in states[0]:
        own = [state[name] for state in states]
        if ".lora_A." in name:
            joined[name] = torch.cat(own)
        elif ".lora_B." in name:
            joined[name] = torch.cat([scale * up for scale, up in zip(scales, own, strict=True)], dim=1)
        else:
            raise ModelError(f"{folders[0] / ADAPTERS}: {name} is no part of a plain adapter")
    rank = sum(config["r"] for config in configs)
    config = {**configs[0], "r": rank, "lora_alpha": rank}
    (into / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(joined, into / ADAPTERS, metadata={"format": "pt"})
    for name in ("chat_template.jinja", "README.md"):
        if (folders[0] / name).exists():
            shutil.copyfile(folders[0] / name, into / name)


def _average_weights(folders: Sequence[Path], into: Path, dtype: str) -> None:
    """One model in memory at a time, beside the sum."""
    lm = load(f"path:{folders[0]}", dtype=dtype)
    total = {name: _wide(parameter) for name, parameter in lm.model.named_parameters()}
    shapes = {name: parameter.shape for name, parameter in total.items()}
    for folder in folders[1:]:
        other = dict(load(f"path:{folder}", dtype=dtype).model.named_parameters())
        if {name: parameter.shape for name, parameter in other.items()} != shapes:
            raise ModelError(f"{folder} has other weights than {folders[0]}; both must begin at one model")
        for name, parameter in other.items():
            total[name] = total[name] + _wide(parameter)
        del other
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            parameter.copy_((total[name] / len(folders)).to(DTYPES[dtype]))
    save_model(lm, into, "")


def _config(folder: Path) -> dict[str, Any]:
    """The adapter's settings; ModelError where its update is more than scale * B A."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        odd = [name for name, plain in PLAIN.items() if config.get(name, plain) != plain]
        odd += [name for name in ("rank_pattern", "alpha_pattern") if config.get(name)]
        _ = config["r"], config["lora_alpha"]
    except (OSError, ValueError, KeyError) as problem:
        raise ModelError(
            f"{folder / CONFIG} is damaged ({problem}); train the reward model again"
        ) from problem
    if odd:
        raise ModelError(f"{folder / CONFIG}: {', '.join(odd)} make an update that has no plain mean")
    return config


def _adapters(folder: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = load_file(folder / ADAPTERS)
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{folder / ADAPTERS} cannot be read: {problem}; train the reward model again"
        ) from problem
    return found


def _wide(tensor: Tensor) -> Tensor:
    """At least float32, where a sum of bfloat16 would round."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
