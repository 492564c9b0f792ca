"""The pages on which an administrator says who is told of what, and sees what became of it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from gnomon.labelling.auth import Access, Database, MayManage
from gnomon.labelling.hooks import NO_MESSAGE, NO_SUCH
from gnomon.labelling.reach import Reach
from gnomon.labelling.settings import EVENTS, Event
from gnomon.labelling.store import outbox, webhooks
from gnomon.labelling.views import show

router = APIRouter()

SHOWN = 50
"""Messages on one page of the log."""


class Address(BaseModel):
    """The form for another webhook: where it is, and what it is told of; all if nothing is ticked."""

    url: str = Field(min_length=1, max_length=2000)
    events: list[Event] = []
    csrf: str = ""


@router.get("/p/{slug}/webhooks")
def list_hooks(request: Request, store: Database, access: MayManage) -> Response:
    """Who is told of what happens in a project."""
    with store.read() as tx:
        found = webhooks.of_project(tx, access.project.id)
    return show(request, "webhooks.html", caller=access.caller, project=access.project, hooks=found)


@router.post("/p/{slug}/webhooks")
def add(request: Request, form: Annotated[Address, Form()], store: Database, access: MayManage) -> Response:
    """Have an address told, and show the secret that signs, this once."""
    reach: Reach = request.app.state.reach
    reach.resolve(form.url)
    with store.write() as tx:
        key, secret = webhooks.add(
            tx, access.project.id, form.url, form.events or EVENTS, access.caller.annotator.id
        )
    return show(
        request,
        "webhook_added.html",
        caller=access.caller,
        project=access.project,
        key=key,
        url=form.url,
        secret=secret,
    )


@router.get("/p/{slug}/webhooks/{hook}")
def log(
    request: Request, hook: int, store: Database, access: MayManage, before: int | None = None
) -> Response:
    """A webhook and the newest messages to it, those below number `before` if it is given."""
    with store.read() as tx:
        found = [one for one in webhooks.of_project(tx, access.project.id) if one.id == hook]
        if not found:
            raise NO_SUCH
        messages = webhooks.deliveries(tx, hook, SHOWN, before)
    return show(
        request,
        "webhook.html",
        caller=access.caller,
        project=access.project,
        hook=found[0],
        messages=messages,
        older=messages[-1]["id"] if len(messages) == SHOWN else None,
    )


@router.post("/p/{slug}/webhooks/{hook}/test")
def send_test(hook: int, store: Database, access: MayManage) -> Response:
    """Send a message that tells of nothing."""
    with store.write() as tx:
        if not webhooks.has(tx, access.project.id, hook):
            raise NO_SUCH
        outbox.put(tx, access.project.id, hook, outbox.TEST)
    return _back(access, hook)


@router.post("/p/{slug}/webhooks/{hook}/paused")
def pause(hook: int, store: Database, access: MayManage, paused: Annotated[bool, Form()]) -> Response:
    """Let messages wait, or go on with those that did."""
    with store.write() as tx:
        if not webhooks.pause(tx, access.project.id, hook, access.caller.annotator.id, paused=paused):
            raise NO_SUCH
    return _back(access, hook)


@router.post("/p/{slug}/webhooks/{hook}/delete")
def delete(hook: int, store: Database, access: MayManage) -> Response:
    """Tell this address nothing more."""
    with store.write() as tx:
        if not webhooks.delete(tx, access.project.id, hook, access.caller.annotator.id):
            raise NO_SUCH
    return RedirectResponse(_here(access), 303)


@router.post("/p/{slug}/webhooks/{hook}/deliveries/{number}/again")
def redeliver(hook: int, number: int, store: Database, access: MayManage) -> Response:
    """Send a message once more."""
    with store.write() as tx:
        if not webhooks.again(tx, access.project.id, hook, number, access.caller.annotator.id):
            raise NO_MESSAGE
    return _back(access, hook)


@router.post("/p/{slug}/webhooks/{hook}/deliveries/{number}/discard")
def discard(hook: int, number: int, store: Database, access: MayManage) -> Response:
    """Take a message out of the log."""
    with store.write() as tx:
        if not webhooks.discard(tx, access.project.id, hook, number, access.caller.annotator.id):
            raise NO_MESSAGE
    return _back(access, hook)


def _here(access: Access) -> str:
    return f"/p/{access.project.slug}/webhooks"


def _back(access: Access, hook: int) -> Response:
    return RedirectResponse(f"{_here(access)}/{hook}", 303)
