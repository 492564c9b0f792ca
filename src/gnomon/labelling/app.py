"""The web application: its parts put together, and how errors are told."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import gnomon
from gnomon.errors import GnomonError, StorageError
from gnomon.labelling import case_pages, dialogue_pages, doors, hook_pages, openid_doors, pages
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.api import api
from gnomon.labelling.api_adjudication import adjudication_api
from gnomon.labelling.api_dialogue import dialogue_api
from gnomon.labelling.courier import Courier
from gnomon.labelling.dialogue import Dialogues, NoModelError
from gnomon.labelling.guard import Guard
from gnomon.labelling.hooks import hooks
from gnomon.labelling.partner import Partner, Writer
from gnomon.labelling.queue import Queue, TaskGoneError
from gnomon.labelling.store.database import BusyError, Store
from gnomon.labelling.tries import Tries
from gnomon.labelling.views import show

if TYPE_CHECKING:
    from gnomon.labelling.openid import Provider

API = "/api/"


def create_app(
    store: Store,
    queue: Queue | None = None,
    courier: Courier | None = None,
    partner: Partner | None = None,
    openid: "Provider | None" = None,
) -> FastAPI:
    """The application on a store; `queue` decides what is asked next (drawn by lot if not given).

    While it is served, `courier` tells webhooks (on the public internet if not given) of what happens, and
    `partner` answers in dialogues; without one there are none. People may sign in by way of `openid`.
    """
    courier, queue = courier or Courier(store), queue or Queue(store)

    @asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as background:
            background.enter_context(courier.running())
            if partner:
                background.enter_context(Writer(store, partner, queue.rng).running())
            yield

    app = FastAPI(
        lifespan=working,
        title="Gnomon labelling",
        version=gnomon.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.store, app.state.queue, app.state.bench = store, queue, Bench(store, queue.rng)
    app.state.talks = Dialogues(store, partner, queue.rng)
    app.state.reach, app.state.openid = courier.reach, openid
    app.state.tries = Tries()
    app.add_middleware(Guard, store=store)
    app.include_router(api)
    app.include_router(adjudication_api)
    app.include_router(dialogue_api)
    app.include_router(hooks)
    app.include_router(doors.router, include_in_schema=False)
    app.include_router(openid_doors.router, include_in_schema=False)
    app.include_router(pages.router, include_in_schema=False)
    app.include_router(case_pages.router, include_in_schema=False)
    app.include_router(hook_pages.router, include_in_schema=False)
    app.include_router(dialogue_pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=str(files("gnomon.labelling") / "static")), name="static")
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(GnomonError, _failed)
    return app


def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    page = not request.url.path.startswith(API)
    page = page and "hx-request" not in request.headers
    if page and problem.status_code == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    return _told(request, problem.status_code, str(problem.detail), problem.headers)


def _not_understood(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    errors = problem.errors()
    said = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors[:5])
    return _told(request, HTTPStatus.UNPROCESSABLE_ENTITY, said)


def _failed(request: Request, problem: Exception) -> Response:
    status = HTTPStatus.BAD_REQUEST
    if isinstance(problem, TaskGoneError):
        status = HTTPStatus.CONFLICT
    elif isinstance(problem, NoModelError | BusyError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    elif isinstance(problem, StorageError):
        status = HTTPStatus.INSUFFICIENT_STORAGE
    return _told(request, status, str(problem))


def _told(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The same message as JSON for programs, as plain text for a part of a page, and as a page."""
    if request.url.path.startswith(API):
        return JSONResponse({"detail": message}, status, headers)
    if "hx-request" in request.headers:
        return PlainTextResponse(message, status)
    return show(request, "error.html", status, title=_title(status), message=message)


def _title(status: int) -> str:
    titles: dict[int, Any] = {
        401: "Sign in first",
        403: "Not allowed",
        404: "Not here",
        503: "Not at the moment",
        507: "The disk is full",
    }
    return str(titles.get(status, "That did not work"))
