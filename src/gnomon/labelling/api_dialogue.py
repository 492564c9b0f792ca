"""The REST interface to dialogues; the pairs they come to are tasks, and judged as such."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from gnomon.labelling.api import IdempotencyKey
from gnomon.labelling.auth import MayLabel, Talks
from gnomon.labelling.dialogue import NoModelError, Talk
from gnomon.labelling.wire import DialogueSeen, NewMessage, NextDialogue

dialogue_api = APIRouter(prefix="/api/v1/projects/{slug}/dialogue")


@dialogue_api.post("/next")
def next_dialogue(talks: Talks, access: MayLabel) -> NextDialogue:
    """The dialogue the caller is in, or else a new one; 503 where this server has no model to answer."""
    given = talks.next(access.turn)
    if isinstance(given, Talk):
        return NextDialogue(dialogue=_seen(given), state="dialogue")
    if given == "no_model":
        raise NoModelError
    return NextDialogue(dialogue=None, state=given)


@dialogue_api.post("/{token}/say")
def say(
    token: str, body: NewMessage, idempotency_key: IdempotencyKey, talks: Talks, access: MayLabel
) -> DialogueSeen:
    """Have a message answered; look at `next` for the answers. The same key, sent again, changes nothing."""
    return _seen(talks.say(access.turn, token, body.message, idempotency_key))


@dialogue_api.post("/{token}/end")
def end(token: str, talks: Talks, access: MayLabel) -> Response:
    """End a dialogue; answers that wait to be judged are left."""
    talks.end(access.turn, token)
    return Response(status_code=204)


def _seen(talk: Talk) -> DialogueSeen:
    return DialogueSeen.model_validate(asdict(talk))
