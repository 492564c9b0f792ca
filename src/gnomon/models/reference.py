"""How a model is named: parsed once, before anything is loaded."""

from dataclasses import dataclass
from typing import Literal, get_args

from gnomon.errors import ConfigError

Kind = Literal["hub", "path", "gguf", "tiny"]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """`kind` says where to look, `name` what for."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_model_ref(text: str) -> ModelRef:
    """`hub:ORG/NAME`, `path:DIR`, `gguf:PACKAGE/FILE` or `tiny:SEED`; ConfigError for anything else."""
    kind, _, name = text.partition(":")
    if kind not in get_args(Kind) or not name:
        raise ConfigError(
            f"model {text!r}: write hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE or tiny:SEED "
            "(a random two-layer model for trying things out)"
        )
    if kind == "tiny" and not name.isdecimal():
        raise ConfigError(f"model {text!r}: the seed after tiny: is a whole number, for example tiny:0")
    return ModelRef(kind, name)  # type: ignore[arg-type]  # checked above
