"""What inspect_ai finds Gnomon by: the name `gnomon` for models. Needs the extra `inspect`."""

from typing import Any

from inspect_ai.model import modelapi


def gnomon() -> Any:
    """The provider's class; torch is imported where a model is asked for, and not before."""
    from gnomon.evaluation.adapters.inspect_model import GnomonAPI  # noqa: PLC0415  see above

    return GnomonAPI


modelapi(name="gnomon")(gnomon)
