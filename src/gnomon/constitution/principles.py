"""A constitution is a file: principles with the requests that put them to use, and a digest of it all."""

import hashlib
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from gnomon.errors import DataError
from gnomon.recipe import describe
from gnomon.settings.base import Settings

Use = Literal["revision", "comparison"]

BUILTIN = "builtin"


class Principle(Settings):
    """One principle; a request left empty is one it cannot be used for."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1, description="what a good answer does, in one sentence")
    tags: tuple[str, ...] = ()
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="how often it is drawn, relatively")
    critique: str = Field("", description="asks what in an answer goes against it")
    revision: str = Field("", description="asks for a better answer")
    comparison: str = Field("", description="asks which of two answers keeps it better")

    def serves(self, use: Use) -> bool:
        """Whether it has the requests that a use needs."""
        return bool(self.critique and self.revision) if use == "revision" else bool(self.comparison)


class Constitution(Settings):
    """Principles by name and version."""

    name: str = Field(min_length=1)
    version: int | str = 1
    licence: str = ""
    principles: tuple[Principle, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """16 hex digits of the sha256 of the content: layout and comments of the file do not count."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def serving(self, use: Use, tag: str = "") -> tuple[Principle, ...]:
        """The principles with the requests that a use needs, of those with a tag where any has it.

        DataError where there is none.
        """
        usable = tuple(p for p in self.principles if p.serves(use))
        if not usable:
            needed = "'critique' and 'revision'" if use == "revision" else "'comparison'"
            raise DataError(
                f"constitution {self.name}: no principle has {needed}; add it or use another file"
            )
        return tuple(p for p in usable if tag in p.tags) or usable

    def draw(self, key: str, seed: int, use: Use, tag: str = "") -> Principle:
        """A principle by weight; the same for the same key and seed, whatever else is drawn."""
        return self.several(key, seed, use, tag=tag)[0]

    def several(self, key: str, seed: int, use: Use, count: int = 1, tag: str = "") -> tuple[Principle, ...]:
        """So many principles by weight, each once, or all there are; a smaller count begins with the same."""
        left, generator = list(self.serving(use, tag)), Random(f"{seed}/{key}")
        found: list[Principle] = []
        while left and len(found) < count:
            found.append(generator.choices(left, [p.weight for p in left])[0])
            left.remove(found[-1])
        return tuple(found)


def load_constitution(source: str) -> Constitution:
    """The shipped constitution (`builtin`), a YAML file of its shape, or a published JSON file.

    DataError names the file, the principle and the field.
    """
    if source == BUILTIN:
        text = files("gnomon.data").joinpath("builtin/constitution.yaml").read_text(encoding="utf-8")
        return _parse("the built-in constitution", yaml.safe_load(text))
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as problem:
        raise DataError(f"constitution {path}: {problem.strerror}; check the path") from problem
    except (ValueError, yaml.YAMLError) as problem:
        raise DataError(f"constitution {path} cannot be read: {problem}") from problem
    if path.suffix == ".json":
        values = _published(path, values)
    return _parse(str(path), values)


def _parse(where: str, values: Any) -> Constitution:
    entries = values.get("principles") if isinstance(values, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{where}: a constitution is a mapping with 'name' and a list of 'principles'")
    principles = tuple(_principle(where, i, entry) for i, entry in enumerate(entries, start=1))
    repeated = [name for name, n in Counter(p.id for p in principles).items() if n > 1]
    if repeated:
        raise DataError(f"{where}: principle {repeated[0]!r} is there twice; give each its own id")
    try:
        return Constitution.model_validate({**values, "principles": principles})
    except ValidationError as problem:
        raise DataError(f"{where}: {describe(problem, Constitution)}") from problem


def _principle(where: str, number: int, entry: Any) -> Principle:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: principle {number} is not a mapping with 'id' and 'text'")
    try:
        return Principle.model_validate(entry)
    except ValidationError as problem:
        whose = repr(entry["id"]) if entry.get("id") else str(number)
        raise DataError(f"{where}: principle {whose}: {describe(problem, Principle)}") from problem


def _published(path: Path, values: Any) -> dict[str, Any]:
    """Critique and revision requests (an object of them) or comparison requests (a list), as published."""
    if isinstance(values, dict):
        principles = [_critique_and_revision(path, name, entry) for name, entry in values.items()]
    elif isinstance(values, list) and all(isinstance(text, str) for text in values):
        texts = [text.strip().removesuffix("Options:").strip() for text in values]
        principles = [{"id": f"comparison{i}", "text": t, "comparison": t} for i, t in enumerate(texts)]
    else:
        raise DataError(
            f"{path}: neither critique and revision requests (an object) nor comparison requests "
            "(a list of texts); few-shot files are not constitutions"
        )
    return {"name": path.stem, "version": "published", "principles": principles}


def _critique_and_revision(path: Path, id: str, entry: Any) -> dict[str, str]:
    try:
        (critique,), revision = entry["prompt"], entry["edit_request"]
        critique = critique.strip().removeprefix("CritiqueRequest:").removesuffix("Critique:").strip()
        revision = revision.strip().removeprefix("RevisionRequest:").removesuffix("Revision:").strip()
    except (TypeError, KeyError, ValueError, AttributeError) as problem:
        raise DataError(
            f"{path}: principle {id!r}: expected 'prompt' (a list of one text) and 'edit_request' (a text)"
        ) from problem
    if not critique or not revision:
        field = "edit_request" if critique else "prompt"
        raise DataError(f"{path}: principle {id!r}: {field!r} is empty; write the request")
    return {"id": id, "text": critique, "critique": critique, "revision": revision}
