"""The way in through a provider of OpenID Connect, if there is one, and what becomes of those who take it."""

import logging
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, unquote

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from gnomon.labelling.auth import COOKIE, Database, remember
from gnomon.labelling.doors import JOIN, inside
from gnomon.labelling.sign_in import WHY, Attempt, Person, SignInError
from gnomon.labelling.store import journal, people, subjects
from gnomon.labelling.store.database import Store
from gnomon.labelling.store.subjects import SIGN_IN_MS, Offers
from gnomon.labelling.tokens import new_token
from gnomon.labelling.views import show

if TYPE_CHECKING:
    from gnomon.labelling.openid import Provider

PATH = "/oidc"
BROWSER = "gnomon_sign_in"
"""The cookie that a sign-in is bound to: the secret of the attempt, and where its browser wants to go."""

router = APIRouter(prefix=PATH)

Told = Annotated[str, Query(max_length=4000)]


@router.get("/start")
def start(request: Request, store: Database, next: Told = "/") -> Response:
    """Send a browser to the provider."""
    provider = _provider(request)
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):  # only people begin this
        return RedirectResponse(f"/login?next={quote(inside(next))}", 303)
    attempt, state = Attempt(), new_token()
    try:
        where = provider.way_in(state, attempt)
    except SignInError as problem:
        return _refused(request, problem)
    with store.write() as tx:
        subjects.begin(tx, state, attempt.secret)
    response = RedirectResponse(where, 303)
    response.set_cookie(
        BROWSER,
        f"{attempt.secret}.{quote(inside(next), safe='')}",
        max_age=SIGN_IN_MS // 1000,
        path=PATH,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/callback")
def finish(
    request: Request, store: Database, state: Told = "", code: Told = "", error: Told = "", iss: Told = ""
) -> Response:
    """Let in who comes back from the provider, or say why not."""
    provider = _provider(request)
    secret, _, rest = request.cookies.get(BROWSER, "").partition(".")
    if not secret or not _begun_here(store, state, secret):
        return _refused(request, SignInError("over"))
    try:
        _refuse_error(provider, code, error, iss)
        person = provider.person(code, Attempt(secret))
        where, session = _let_in(provider, store, person, inside(unquote(rest)))
        _leave(store, request.cookies.get(COOKIE))
    except SignInError as problem:
        with store.write() as tx:
            journal.note(tx, "sign-in refused", by="openid", reason=problem.reason, detail=problem.detail)
        response = _refused(request, problem)
    else:
        response = RedirectResponse(where, 303)
        remember(request, response, session)
    response.delete_cookie(BROWSER, path=PATH)
    return response


@router.get("/left")
def left(request: Request) -> Response:
    """What there is to do after signing out here: the provider goes on knowing who this is."""
    provider = _provider(request)
    return show(request, "left.html", way_out=provider.way_out())


def _provider(request: Request) -> "Provider":
    provider: Provider | None = request.app.state.openid
    if provider is None:
        raise HTTPException(404, "nobody signs in here with an account elsewhere")
    return provider


def _begun_here(store: Store, state: str, secret: str) -> bool:
    with store.write() as tx:
        return subjects.finish(tx, state, secret)


def _refuse_error(provider: "Provider", code: str, error: str, issuer: str) -> None:
    """SignInError for what a provider sends back in the place of a code, or for another's (RFC 9207)."""
    if issuer and issuer != provider.settings.issuer:
        raise SignInError("token", f"the answer is of the issuer {issuer!r}")
    if error == "access_denied":
        raise SignInError("denied")
    if error or not code:
        raise SignInError("provider", f"sent back with the error {error!r}")


def _let_in(provider: "Provider", store: Store, person: Person, next: str) -> tuple[str, str]:
    """Where somebody goes on, and their session there; SignInError for somebody nothing lets in."""
    offers = Offers(provider.settings.ruled(person.values), provider.settings.projects)
    link = next.removeprefix(JOIN) if next.startswith(JOIN) else ""
    admitted = subjects.let_in(store, person, offers, link)
    if admitted is None:
        raise SignInError("uninvited")
    return "/" if link and admitted.new else next, admitted.session


def _leave(store: Store, session: str | None) -> None:
    """End the session that a browser had before."""
    if session:
        with store.write() as tx:
            people.close_session(tx, session)


def _refused(request: Request, problem: SignInError) -> Response:
    if problem.detail:
        logging.getLogger(__name__).warning("sign-in refused: %s: %s", problem.reason, problem.detail)
    told = WHY[problem.reason]
    return show(request, "error.html", told.status, title=told.title, message=told.message)
