"""What people do in a dialogue beside judging: write, wait, end it. It is on the page of tasks."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field

from gnomon.labelling.auth import MayLabel, Talks, Tasks
from gnomon.labelling.pages import here, screen
from gnomon.labelling.views import after_answer, show

router = APIRouter()


class Written(BaseModel):
    """The form under a dialogue."""

    message: str
    key: str = Field(min_length=8, max_length=64)
    csrf: str = ""


@router.get("/p/{slug}/dialogue")
def look(request: Request, queue: Tasks, talks: Talks, access: MayLabel, seen: str = "") -> Response:
    """The screen, for a page that waits; nothing where it would show the state that page has `seen`."""
    if seen and talks.state(access.turn) == seen:
        return Response(status_code=204)
    return show(request, "turn.html", caller=access.caller, **screen(queue, talks, access))


@router.post("/p/{slug}/dialogue/{token}/say")
def say(
    request: Request,
    token: str,
    form: Annotated[Written, Form()],
    queue: Tasks,
    talks: Talks,
    access: MayLabel,
) -> Response:
    """Have a message answered and show how the dialogue waits."""
    talks.say(access.turn, token, form.message, form.key)
    return after_answer(request, here(access), access.caller, lambda: screen(queue, talks, access))


@router.post("/p/{slug}/dialogue/{token}/end")
def end(request: Request, token: str, queue: Tasks, talks: Talks, access: MayLabel) -> Response:
    """End a dialogue and show the next one."""
    talks.end(access.turn, token)
    return after_answer(request, here(access), access.caller, lambda: screen(queue, talks, access))
