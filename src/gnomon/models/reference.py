"""How a model is named: parsed once, before anything is loaded."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from gnomon.errors import ConfigError

_ENDPOINT = re.compile(
    r"endpoint:(https?://([^\s/?#@]*@)?(?:[\w.-]+|\[[\da-fA-F:]+\])(?::\d{1,5})?(?:/[^\s?#]*)?)#(\S+)"
)

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
    if kind == "endpoint":
        raise ConfigError(
            f"model {text!r}: an endpoint answers, and its weights are elsewhere; gnomon chat, compare and "
            "collect take one, here name a model to load"
        )
    if kind not in get_args(Kind) or not name:
        raise ConfigError(
            f"model {text!r}: write hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE or tiny:SEED "
            "(a random two-layer model for trying things out)"
        )
    if kind == "tiny" and not name.isdecimal():
        raise ConfigError(f"model {text!r}: the seed after tiny: is a whole number, for example tiny:0")
    return ModelRef(kind, name)  # type: ignore[arg-type]  # checked above


@dataclass(frozen=True, slots=True)
class EndpointRef:
    """A model behind an OpenAI-compatible server; `url` is where the server's API begins."""

    url: str
    model: str

    def __str__(self) -> str:
        return f"endpoint:{self.url}#{self.model}"


def is_served(ref: str | None) -> bool:
    """Whether a reference names a model on a server; null, the model at hand, is none."""
    return ref is not None and ref.startswith("endpoint:")


def parse_endpoint_ref(text: str) -> EndpointRef:
    """`endpoint:URL#MODEL`; ConfigError for anything else, and for a URL with a password in it."""
    found = _ENDPOINT.fullmatch(text)
    if not found:
        raise ConfigError(
            f"endpoint {text!r}: write endpoint:URL#MODEL, for example "
            "endpoint:http://localhost:8000/v1#Qwen/Qwen3-0.6B"
        )
    url, secret, model = found.groups()
    if secret:
        raise ConfigError(
            f"the endpoint of {model!r} has a name or a password in its URL, which would be written to logs; "
            "leave it out and set GNOMON_API_KEY"
        )
    return EndpointRef(url.rstrip("/"), model)
