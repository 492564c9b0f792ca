"""Pages from templates: what every page is given, and the filters that make model text safe."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gnomon.labelling.auth import Caller
from gnomon.labelling.queue import MOST_LEFT
from gnomon.labelling.rendering import to_html
from gnomon.labelling.settings import EVENTS, FLAGS, LONGEST_MESSAGE, STRENGTHS
from gnomon.markup import visible


def show(
    request: Request, template: str, status: int = 200, caller: Caller | None = None, **context: Any
) -> HTMLResponse:
    """A page, or a part of one, for whoever is signed in."""
    values: dict[str, Any] = {"nonce": request.state.nonce, "openid": request.app.state.openid}
    values |= {"caller": caller, "csrf": caller.csrf if caller else ""}
    return HTMLResponse(_PAGES.get_template(template).render(values | context), status)


def after_answer(
    request: Request, here: str, caller: Caller, screen: Callable[[], Mapping[str, Any]]
) -> Response:
    """What `screen` gives, in the place of what was answered; the page `here` anew where no script asked."""
    if "hx-request" not in request.headers:
        return RedirectResponse(here, 303)
    return show(request, "turn.html", caller=caller, **screen())


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of an answer's turns, and the calls it makes as it makes them."""
    parts = []
    for message in messages:
        calls = [f"{call['name']}({call['arguments']})" for call in message.get("tool_calls", ())]
        parts += [message["content"], *calls]
    return "\n\n".join(part for part in parts if part)


def _moment(milliseconds: int) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader("gnomon.labelling"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "rendered": lambda text: Markup(to_html(text)),
        "raw": visible,
        "text": _text,
        "moment": _moment,
    }
    pages.globals |= {"STRENGTHS": STRENGTHS, "FLAGS": FLAGS, "EVENTS": EVENTS}
    pages.globals |= {"MOST_LEFT": MOST_LEFT, "LONGEST_MESSAGE": LONGEST_MESSAGE}
    return pages


_PAGES = _pages()
