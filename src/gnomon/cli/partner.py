"""The model that people talk with in the labelling application, as the command line names it."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gnomon.cli.machine import open_model
from gnomon.cli.options import model_ref
from gnomon.errors import ConfigError
from gnomon.models.reference import EndpointRef, parse_endpoint_ref

if TYPE_CHECKING:
    from gnomon.labelling.partner import Partner
    from gnomon.labelling.reach import Reach

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Who answers in dialogues: hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE, tiny:SEED, or a folder.",
    ),
]
Endpoint = Annotated[
    str | None, typer.Option(help="Or a model on a server: where its OpenAI-compatible API begins.")
]
EndpointModel = Annotated[str | None, typer.Option(help="The model's name on that server.")]


class Named(NamedTuple):
    """A model by its checked reference, here or on a server; neither where nobody is to answer."""

    local: str | None = None
    remote: EndpointRef | None = None


def named(model: str | None, endpoint: str | None, endpoint_model: str | None) -> Named:
    """What the options name; ConfigError where that is two models, or half of one."""
    if model and endpoint:
        raise ConfigError("--model answers here and --endpoint on a server; give one of them")
    if bool(endpoint) != bool(endpoint_model):
        raise ConfigError("--endpoint says where a model is and --endpoint-model which one; give both")
    if endpoint:
        return Named(remote=parse_endpoint_ref(f"endpoint:{endpoint}#{endpoint_model}"))
    return Named(local=model_ref(model) if model else None)


def open_partner(who: Named, reach: "Reach") -> "Partner | None":
    """The model, ready to answer, None where none is named.

    RefusedTargetError for a server that may not be called.
    """
    from gnomon.labelling.partner import TIMEOUT, Partner  # noqa: PLC0415  an extra

    if who.local:
        local = open_model(who.local)
        from gnomon.pipeline.stages import Start  # noqa: PLC0415  torch is slow to import

        return Partner(local, who.local, Start(who.local).digest)
    if who.remote is None:
        return None
    import httpx  # noqa: PLC0415  an extra

    from gnomon.labelling.reach import Within  # noqa: PLC0415  an extra
    from gnomon.rollouts.endpoint import EndpointEngine  # noqa: PLC0415
    from gnomon.rollouts.server import Patience  # noqa: PLC0415

    reach.resolve(who.remote.url)
    context, patience = httpx.create_ssl_context(), Patience(attempts=2, timeout=TIMEOUT)
    there = EndpointEngine(who.remote, patience=patience, transport=lambda: Within(reach, context))
    return Partner(there, str(who.remote))
