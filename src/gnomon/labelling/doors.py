"""The ways in and out: signing in, one-time links, signing out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from gnomon.errors import DataError
from gnomon.labelling.auth import COOKIE, Database, KnownCaller, SignedIn, from_this_site, remember
from gnomon.labelling.store import journal, people
from gnomon.labelling.store.database import Store
from gnomon.labelling.tokens import CrowdError, hash_password
from gnomon.labelling.tries import Tries
from gnomon.labelling.views import show

router = APIRouter()

Name = Annotated[str, Form(max_length=128)]
Password = Annotated[str, Form(max_length=1000)]
OurForm = Depends(from_this_site)

JOIN = "/join/"
"""Where one-time links lead."""


@router.get("/login")
def ask_who(request: Request, caller: KnownCaller, next: str = "/") -> Response:
    """The page to sign in."""
    return RedirectResponse("/", 303) if caller else show(request, "login.html", next=inside(next), error="")


@router.post("/login", dependencies=[OurForm])
def sign_in(
    request: Request, store: Database, name: Name, password: Password, next: Annotated[str, Form()] = "/"
) -> Response:
    """Open a session for a name and its password."""
    tries: Tries = request.app.state.tries
    name, now = name.strip(), store.clock()
    if not tries.begin(name, now):
        error = "too many wrong passwords; try again in a quarter of an hour"
        return show(request, "login.html", 429, next=inside(next), error=error)
    try:
        with store.read() as tx:
            annotator = people.check_password(tx, name, password)
    except CrowdError as problem:
        tries.forgive(name, now)
        return show(request, "login.html", 429, next=inside(next), error=str(problem))
    if annotator is None:
        error = "This name and password do not belong together."
        refusal = show(request, "login.html", 403, next=inside(next), error=error)
        refusal.background = BackgroundTask(_note_wrong, store, name)  # its time tells who has an account
        return refusal
    tries.forgive(name, now)
    with store.write() as tx:
        journal.note(tx, "signed in", actor=annotator.id, by="password")
        token = people.open_session(tx, annotator.id)
    response = RedirectResponse(inside(next), 303)
    remember(request, response, token)
    return response


@router.post("/logout")
def sign_out(request: Request, store: Database, caller: SignedIn) -> Response:
    """End the session."""
    with store.write() as tx:
        people.close_session(tx, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/oidc/left" if request.app.state.openid else "/login", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/join/{token}")
def ask_to_join(request: Request, token: str, store: Database, caller: KnownCaller) -> Response:
    """The page behind a one-time link. Looking at it does not use it up."""
    with store.read() as tx:
        good = people.invitation(tx, token) is not None
    return show(request, "join.html", 200 if good else 404, caller, good=good, error="", name="", token=token)


@router.post("/join/{token}", dependencies=[OurForm])
def join(
    request: Request,
    token: str,
    store: Database,
    caller: KnownCaller,
    name: Name = "",
    password: Password = "",
) -> Response:
    """Use up a one-time link: by a new account, or by whoever is signed in; 403 for keys of programs."""
    if caller and not caller.csrf:
        raise HTTPException(403, "links are for people; open it in a browser")
    try:
        with store.read() as tx:
            people.good_invitation(tx, token)
        kept = "" if caller else hash_password(password)  # takes long, so not while others wait to write
        with store.write() as tx:
            if caller:
                people.accept_as(tx, token, caller.annotator)
                return RedirectResponse("/", 303)
            annotator = people.accept(tx, token, name, kept)
            session = people.open_session(tx, annotator.id)
    except DataError as problem:
        status, told = 429 if isinstance(problem, CrowdError) else 422, str(problem)
        return show(request, "join.html", status, caller, good=True, error=told, name=name, token=token)
    response = RedirectResponse("/", 303)
    remember(request, response, session)
    return response


def _note_wrong(store: Store, name: str) -> None:
    """Remember a wrong password; but what is no name may be a password itself."""
    with store.read() as tx:
        known = people.pseudonym_of(tx, name)
    if known:
        with store.write() as tx:
            journal.note(tx, "wrong password", subject=known)


def inside(path: str) -> str:
    """A path of this site; the front page for anything that would lead elsewhere."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") else "/"
