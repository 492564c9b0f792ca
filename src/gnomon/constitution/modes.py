"""Ways of judging, by name: what each changes in the settings of labelling."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gnomon.errors import ConfigError
from gnomon.settings.feedback import BUILTIN_EXAMPLES, FeedbackSettings

SEVERAL = 4
"""Principles of an ensemble, where the settings have none."""

_PLAIN: Mapping[str, Any] = MappingProxyType(
    {"method": "choice", "order": "both", "ensemble": 1, "reasoning": 0, "examples": "none", "labels": None}
)

_CHANGES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "choice": {},
        "choice-one-order": {"order": "one"},
        "choice-ensemble": {"ensemble": SEVERAL},
        "choice-examples": {"examples": BUILTIN_EXAMPLES},
        "choice-examples-ensemble": {"examples": BUILTIN_EXAMPLES, "ensemble": SEVERAL},
        "choice-reasoning": {"reasoning": 1},
        "choice-examples-reasoning": {"examples": BUILTIN_EXAMPLES, "reasoning": 1},
        "contrast": {"method": "contrast"},
        "contrast-ensemble": {"method": "contrast", "ensemble": SEVERAL},
    }
)

MODES = tuple(_CHANGES)
ALL, OWN = "all", "recipe"


def mode(name: str, settings: FeedbackSettings) -> FeedbackSettings:
    """The settings under a mode: it says how is asked, the settings say the rest, such as tokens and clamp.

    Ensembles, chains and examples are as many as the settings have, where these have any. `recipe` is the
    settings as they are. ConfigError for a name that is none.
    """
    if name == OWN:
        return settings
    if name not in _CHANGES:
        raise ConfigError(f"mode {name!r} is none of {', '.join((OWN, *MODES))}, or {ALL}")
    changes = {key: _wanted(key, value, settings) for key, value in _CHANGES[name].items()}
    return FeedbackSettings.model_validate(settings.model_dump() | dict(_PLAIN) | changes)


def named(text: str) -> tuple[str, ...]:
    """The modes of a list with commas; `all` stands for every one. ConfigError as in `mode`."""
    names = MODES if text == ALL else tuple(part.strip() for part in text.split(","))
    for name in names:
        mode(name, FeedbackSettings())
    return tuple(dict.fromkeys(names))


def tells_likelihoods(names: Sequence[str], settings: FeedbackSettings) -> tuple[str, ...]:
    """Those of the modes that need likelihoods of whole answers, which a server does not tell."""
    return tuple(name for name in names if mode(name, settings).method == "contrast")


def _wanted(key: str, value: Any, settings: FeedbackSettings) -> Any:
    """What a mode sets, or what the settings have in its place, where that is more than nothing."""
    own = getattr(settings, key)
    if key in ("ensemble", "reasoning"):
        return own if own > dict(_PLAIN)[key] else value
    return own if key == "examples" and own != dict(_PLAIN)[key] else value
