"""The part of the REST interface that is about webhooks: for administrators of a project."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from gnomon.labelling.auth import Database, MayManage
from gnomon.labelling.reach import Reach
from gnomon.labelling.store import outbox, webhooks
from gnomon.labelling.wire import NewWebhook, Paused, WebhookMade, WebhookSeen

hooks = APIRouter(prefix="/api/v1/projects/{slug}/webhooks")

NO_SUCH = HTTPException(404, "this project has no such webhook")
NO_MESSAGE = HTTPException(404, "this webhook has no such message")


@hooks.get("")
def list_webhooks(store: Database, access: MayManage) -> list[WebhookSeen]:
    """The project's webhooks, without their secrets."""
    with store.read() as tx:
        found = webhooks.of_project(tx, access.project.id)
    return [WebhookSeen.model_validate(hook._asdict()) for hook in found]


@hooks.post("", status_code=201)
def add_webhook(request: Request, body: NewWebhook, store: Database, access: MayManage) -> WebhookMade:
    """Have an address told of what happens. The secret that signs is shown here and never again."""
    reach: Reach = request.app.state.reach
    reach.resolve(body.url)
    with store.write() as tx:
        actor = access.caller.annotator.id
        key, secret = webhooks.add(tx, access.project.id, body.url, body.events, actor)
    return WebhookMade(id=key, secret=secret)


@hooks.post("/{hook}/test", status_code=202)
def test_webhook(hook: int, store: Database, access: MayManage) -> dict[str, str]:
    """Send a message that tells of nothing; the log says whether it arrived."""
    with store.write() as tx:
        if not webhooks.has(tx, access.project.id, hook):
            raise NO_SUCH
        return {"message": outbox.put(tx, access.project.id, hook, outbox.TEST)}


@hooks.put("/{hook}/paused")
def pause_webhook(hook: int, body: Paused, store: Database, access: MayManage) -> Response:
    """Let messages wait, or go on with those that did."""
    with store.write() as tx:
        actor = access.caller.annotator.id
        if not webhooks.pause(tx, access.project.id, hook, actor, paused=body.paused):
            raise NO_SUCH
    return Response(status_code=204)


@hooks.delete("/{hook}")
def delete_webhook(hook: int, store: Database, access: MayManage) -> Response:
    """Tell this address nothing more."""
    with store.write() as tx:
        if not webhooks.delete(tx, access.project.id, hook, access.caller.annotator.id):
            raise NO_SUCH
    return Response(status_code=204)


@hooks.get("/{hook}/deliveries")
def list_deliveries(
    hook: int, store: Database, access: MayManage, limit: int = 100, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest messages with every attempt to deliver them, those below number `before` if it is given."""
    with store.read() as tx:
        if not webhooks.has(tx, access.project.id, hook):
            raise NO_SUCH
        return webhooks.deliveries(tx, hook, min(max(limit, 1), 1000), before)


@hooks.post("/{hook}/deliveries/{number}/again", status_code=202)
def redeliver(hook: int, number: int, store: Database, access: MayManage) -> Response:
    """Send a message once more, under its id, whatever became of it."""
    with store.write() as tx:
        if not webhooks.again(tx, access.project.id, hook, number, access.caller.annotator.id):
            raise NO_MESSAGE
    return Response(status_code=202)


@hooks.delete("/{hook}/deliveries/{number}")
def discard(hook: int, number: int, store: Database, access: MayManage) -> Response:
    """Take a message out of the log, and do not send it any more."""
    with store.write() as tx:
        if not webhooks.discard(tx, access.project.id, hook, number, access.caller.annotator.id):
            raise NO_MESSAGE
    return Response(status_code=204)
