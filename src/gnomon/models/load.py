"""Loading a causal language model with its tokenizer and template, from any reference."""

import json
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from gnomon.errors import ConfigError, ModelError
from gnomon.models import gguf, tiny
from gnomon.models.fuse import fused
from gnomon.models.heads import check_head
from gnomon.models.reference import ModelRef, parse_model_ref
from gnomon.models.settle import settled
from gnomon.models.templates import Template
from gnomon.records import Conversation, EncodedRow

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@dataclass
class LanguageModel:
    """A model and what is needed to talk to it. `ref` names the base where adapters sit on top."""

    model: Any
    tokenizer: Any
    template: Template
    ref: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a turn."""
        return self.template.stop_ids

    @property
    def pad_id(self) -> int:
        """What fills a batch; never attended to, never trained."""
        pad = self.tokenizer.pad_token_id
        return int(min(self.stop_ids) if pad is None else pad)

    def encode_prompt(self, conversation: Conversation) -> list[int]:
        """Ids up to and including the generation prompt."""
        return self.template.encode_prompt(conversation)

    def encode(self, conversation: Conversation) -> EncodedRow:
        """Ids and response mask of a whole conversation."""
        return self.template.encode(conversation)


def load(
    ref: str, *, dtype: str = "bfloat16", device: str | None = None, trainable: bool = False
) -> LanguageModel:
    """Load `hub:ORG/NAME`, `path:DIR` (full weights or adapters, `trainable` or not), `gguf:PACKAGE/FILE` or
    `tiny:SEED`. ModelError where its logits are not what `output_head` gives."""
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    lm = _loaded(ref, dtype, place, trainable=trainable)
    check_head(lm.model)  # of adapters on their base, not of each: it takes as long as the weights do
    return lm


def _loaded(ref: str, dtype: str, place: str, *, trainable: bool = False) -> LanguageModel:
    parsed = parse_model_ref(ref)
    if parsed.kind == "path" and Path(parsed.name).is_symlink():
        # Adapters name their base by this, and a link may lead elsewhere later.
        ref = f"path:{Path(parsed.name).resolve()}"
    if parsed.kind == "tiny":
        model, tokenizer = tiny.tiny_model(int(parsed.name), DTYPES[dtype]), tiny.tiny_tokenizer()
        return LanguageModel(settled(model.to(place)).eval(), tokenizer, Template(tokenizer), ref)
    source = resolve(parsed)
    if isinstance(source, Path) and (source / "adapter_config.json").exists():
        return with_adapter(_loaded(_base_of(source), dtype, place), source, trainable=trainable)
    return _load_full(source, ref, DTYPES[dtype], place)


def reads_alike(one: LanguageModel, other: LanguageModel) -> bool:
    """Whether the same conversation has the same ids for both."""
    pairs = ((lm.tokenizer.get_vocab(), lm.tokenizer.get_chat_template()) for lm in (one, other))
    return next(pairs) == next(pairs)


def resolve(ref: ModelRef) -> Path | str:
    """The folder or hub name behind a reference."""
    if ref.kind == "gguf":
        return gguf.prepare(ref.name)
    if ref.kind == "path":
        folder = Path(ref.name)
        if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
            raise ModelError(
                f"model path:{folder}: no config.json or adapter_config.json in it; "
                f"{elsewhere(folder) or 'check the folder'}"
            )
        return folder
    return ref.name


def elsewhere(folder: Path) -> str | None:
    """What to do where `folder` is not a model but what a stage or a run wrote; None where it is neither."""
    if (folder / "model").is_dir():
        return f"name {folder / 'model'}"
    return f"name one of those in {folder / 'models'}" if (folder / "models").is_dir() else None


def adapter_base(folder: Path) -> str:
    """The reference of the model that the adapters in `folder` belong on."""
    config = folder / "adapter_config.json"
    try:
        base = str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(
            f"{config} is damaged ({problem}); write it again or take an older checkpoint"
        ) from problem
    if base.split(":", maxsplit=1)[0] in ("hub", "gguf", "tiny", "path"):
        return base
    return f"path:{base}" if Path(base).is_absolute() or Path(base).exists() else f"hub:{base}"


def _base_of(folder: Path) -> str:
    """The base of the adapters in `folder`; ModelError, which names both, where it is not there."""
    base = adapter_base(folder)
    kind, _, name = base.partition(":")
    if kind == "path" and not Path(name).is_dir():
        raise ModelError(
            f"adapters in {folder} belong on the model in {name}, which is not there; if it was moved, say "
            f"where to as base_model_name_or_path in {folder / 'adapter_config.json'}"
        )
    return base


def with_adapter(base: LanguageModel, folder: Path, *, trainable: bool = False) -> LanguageModel:
    """Put the adapters saved in `folder` on a loaded base."""
    try:
        model = PeftModel.from_pretrained(base.model, folder, is_trainable=trainable)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
        raise ModelError(f"adapters in {folder} cannot be read: {problem}") from problem
    template = folder / "chat_template.jinja"
    if template.exists():
        base.tokenizer.chat_template = template.read_text(encoding="utf-8")
    return LanguageModel(
        fused(model if trainable else model.eval()),
        base.tokenizer,
        Template(base.tokenizer, sorted(base.stop_ids)),
        base.ref,
    )


def _load_full(source: Path | str, ref: str, dtype: torch.dtype, device: str) -> LanguageModel:
    try:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        tokenizer = copy(_tokenizer(source, _stamp(source)))
    except ImportError as problem:
        raise ConfigError(f"model {ref} needs a package that is missing: {problem}") from problem
    except Exception as problem:  # transformers raises whatever its many backends raise
        raise ModelError(f"model {ref} cannot be loaded: {_first_line(problem)}; check the name") from problem
    stops = model.generation_config.eos_token_id
    extra = stops if isinstance(stops, list) else [stops] if stops is not None else []
    return LanguageModel(settled(model.to(device)).eval(), tokenizer, Template(tokenizer, extra), ref)


@lru_cache(maxsize=4)
def _tokenizer(source: Path | str, stamp: tuple[tuple[str, int, int], ...]) -> Any:
    """Read once a process: of 262,144 words it takes 3 seconds, a model's weights a tenth of one. Whoever has
    it takes a copy, for its template may be set; the words of both are the same."""
    return AutoTokenizer.from_pretrained(source)


def _stamp(source: Path | str) -> tuple[tuple[str, int, int], ...]:
    """The name, time and size of every file of a folder that may say something of its tokenizer."""
    if isinstance(source, str):
        return ()
    files = sorted(file for file in source.iterdir() if file.suffix != ".safetensors")
    return tuple((file.name, (told := file.stat()).st_mtime_ns, told.st_size) for file in files)


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
