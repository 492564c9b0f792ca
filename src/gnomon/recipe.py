"""A recipe read from its file, with what it extends and what overrides it; what is wrong with it is named."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from gnomon.config import Recipe
from gnomon.errors import ConfigError
from gnomon.settings.base import Settings
from gnomon.settings.preference import PreferenceSettings

S = TypeVar("S", bound=Settings)

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "learning_rate": "lr",
        "lr_scheduler_type": "schedule",
        "warmup_ratio": "warmup",
        "adam_epsilon": "eps",
        "per_device_train_batch_size": "batch_size",
        "train_batch_size": "batch_size",
        "num_train_epochs": "epochs",
        "num_ppo_epochs": "epochs",
        "max_epochs": "epochs",
        "num_generations": "samples",
        "n_samples_per_prompt": "samples",
        "max_completion_length": "max_new_tokens",
        "response_length": "max_new_tokens",
        "kl_coef": "beta",
        "init_kl_coef": "beta",
        "loss_type": "loss",
        "model_name_or_path": "ref",
        "pretrain": "ref",
        "max_seq_length": "max_length",
        "max_len": "max_length",
        "r": "rank",
        "lora_r": "rank",
        "lora_rank": "rank",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
    }
)
"""What settings of TRL, transformers, PEFT and OpenRLHF are called here, where a section has them."""


def load_recipe(path: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, its `extends` chain and `key.path=value` overrides; ConfigError names what is wrong.

    Without a path the overrides change the defaults.
    """
    values = _given(path, overrides)
    return _filled(Recipe(preference=PreferenceSettings() if "preference" in values else None), values, path)


def load_settings(kind: type[S], path: Path | None = None, overrides: Sequence[str] = ()) -> S:
    """Settings of another kind, read like a recipe."""
    return _filled(kind(), _given(path, overrides), path)


def read_settings(kind: type[S], path: Path) -> S:
    """Settings of a kind of which some have no default, read like a recipe."""
    try:
        return kind.model_validate(_read(path, seen=()))
    except ValidationError as problem:
        raise ConfigError(f"{path}: {describe(problem, kind)}") from problem


def _given(path: Path | None, overrides: Sequence[str]) -> dict[str, Any]:
    values = _read(path, seen=()) if path else {}
    for override in overrides:
        _apply(values, override)
    return values


def _filled(defaults: S, values: Mapping[str, Any], path: Path | None) -> S:
    """The defaults with the values, merged first: a section given in part keeps its stage's defaults, not
    those of its class."""
    kind = type(defaults)
    try:
        return kind.model_validate(_merge(defaults.model_dump(), values))
    except ValidationError as problem:
        where = f"{path}: " if path else ""
        raise ConfigError(f"{where}{describe(problem, kind)}") from problem


def changed(settings: S, **values: Any) -> S:
    """Settings with some values changed, checked like those of a file; ConfigError names what is wrong."""
    try:
        return type(settings).model_validate(settings.model_dump() | values)
    except ValidationError as problem:
        raise ConfigError(describe(problem, type(settings))) from problem


class _Loader(yaml.SafeLoader):
    """YAML as it is, except that a key given twice is an error, where the first would be ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        names = [str(key.value) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"{name} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"{path}: `extends` comes back to itself; remove the circle")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"recipe {path}: {problem.strerror}; check the path") from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path} is not text in UTF-8 ({problem}); save it as UTF-8") from problem
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path} is not valid YAML: {problem}") from problem
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, not a {type(values).__name__}")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    return _merge(_read(path.parent / str(parent), (*seen, path.resolve())), values)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    dotted, sign, text = override.partition("=")
    if not sign or not dotted:
        raise ConfigError(f"override {override!r}: write key.path=value, for example policy.steps=10")
    *parents, last = dotted.split(".")
    for key in parents:
        child = values.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {key} is {child!r}, not a section")
        values = child
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ConfigError(f"override {override!r}: the value is not valid YAML: {problem}") from problem


def describe(problem: ValidationError, kind: type[BaseModel]) -> str:
    """The first thing wrong, a misspelt key before what it leaves missing, with the known keys."""
    error = min(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "value_error":  # of ours, and it says what it got
        said = str(error["ctx"]["error"])
        return f"{where}: {said}" if where else said  # what is wrong with a whole has no place in it
    if error["type"] == "missing":
        return f"{where} is missing; give it"
    if error["type"] == "tuple_type":
        return f"{where}: write a list, [{error['input']}]"
    if error["type"] == "model_type":
        return f"{where} is a section, not {error['input']!r}; {_suggest((*error['loc'], ''), kind)}"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']} (got {error['input']!r})"
    return f"unknown setting {where!r}; {_suggest(error['loc'], kind)}"


def _suggest(loc: Sequence[int | str], kind: type[BaseModel]) -> str:
    for part in loc[:-1]:
        if isinstance(part, str):  # not the place in a list
            kind = next(_models(kind.model_fields[part].annotation))
    known = list(kind.model_fields)
    here = ELSEWHERE.get(str(loc[-1]))
    if here in known:
        meaning = kind.model_fields[here].description
        return f"here it is {here!r}" + (f": {meaning}" if meaning else "")
    close = get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The kinds of settings that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
