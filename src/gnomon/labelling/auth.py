"""Who is asking, and whether they may: sessions of browsers, keys of programs, roles in projects."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Response
from starlette.requests import HTTPConnection

from gnomon.labelling.adjudication import Bench
from gnomon.labelling.dialogue import Dialogues
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.settings import GRANTS, Permission, Role
from gnomon.labelling.store import people, projects
from gnomon.labelling.store.database import Store
from gnomon.labelling.store.people import SESSION_MS, Annotator
from gnomon.labelling.store.projects import Project
from gnomon.labelling.tokens import csrf_token, same

COOKIE = "gnomon_session"
SAFE = ("GET", "HEAD", "OPTIONS")
EVERYTHING: frozenset[Permission] = frozenset({"label", "adjudicate", "read", "manage"})
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody signed in, by a session (which has a token against forged requests) or by a key."""

    annotator: Annotator
    scopes: frozenset[Permission] = EVERYTHING
    project_id: int | None = None
    csrf: str = ""

    def reaches(self, project: int) -> bool:
        """Whether a key, if it is one, is good for a project."""
        return self.project_id in (None, project)

    def may_handle(self, scopes: frozenset[Permission]) -> bool:
        """Whether keys of such scopes do no more than this caller, in all of its projects."""
        return self.project_id is None and scopes <= self.scopes


@dataclass(frozen=True, slots=True)
class Access:
    """A caller in a project, with the role there."""

    caller: Caller
    project: Project
    role: Role

    @property
    def turn(self) -> Turn:
        """The caller as the queue sees them."""
        return Turn(self.project, self.caller.annotator.id)

    def may(self, permission: Permission) -> bool:
        """Whether role and key both allow it."""
        return permission in GRANTS[self.role] & self.caller.scopes


async def store_of(request: Request) -> Store:
    """The application's database."""
    store: Store = request.app.state.store
    return store


async def queue_of(request: Request) -> Queue:
    """The application's queue."""
    queue: Queue = request.app.state.queue
    return queue


async def bench_of(request: Request) -> Bench:
    """Where the application's disagreements are decided."""
    bench: Bench = request.app.state.bench
    return bench


async def talks_of(request: Request) -> Dialogues:
    """The application's dialogues."""
    talks: Dialogues = request.app.state.talks
    return talks


Database = Annotated[Store, Depends(store_of)]
Tasks = Annotated[Queue, Depends(queue_of)]
Cases = Annotated[Bench, Depends(bench_of)]
Talks = Annotated[Dialogues, Depends(talks_of)]


async def sent_token(request: Request) -> str:
    """The token against forged requests, from a header or a form's field."""
    sent = request.headers.get("x-csrf-token", "")
    if not sent and request.headers.get("content-type", "").split(";")[0] in FORMS:
        sent = str((await request.form()).get("csrf", ""))
    return sent


def from_this_site(request: Request) -> None:
    """Refuse what another site's page sends: browsers say where it comes from, and pages cannot lie."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        ours = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if request.method not in SAFE and not ours:
        raise HTTPException(
            403, "this request came from another site's page; open the page here and try again"
        )


def caller_of(request: HTTPConnection, store: Store) -> Caller | None:
    """Whose key or session a request bears, or None."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        with store.read() as tx:
            found = people.key_of(tx, key)
        return Caller(*found) if found else None
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    with store.read() as tx:
        annotator = people.session_of(tx, token)
    return Caller(annotator, csrf=csrf_token(token)) if annotator else None


def known_caller(
    request: Request, store: Database, sent: Annotated[str, Depends(sent_token)]
) -> Caller | None:
    """Who is asking, or None; a session's unsafe requests must prove that they come from its own pages."""
    caller = caller_of(request, store)
    if caller and caller.csrf and request.method not in SAFE:
        from_this_site(request)
        if not same(sent, caller.csrf):
            raise HTTPException(403, "this page is too old; load it again and try again")
    return caller


KnownCaller = Annotated[Caller | None, Depends(known_caller)]


async def signed_in(caller: KnownCaller) -> Caller:
    """Who is asking; 401 for nobody known."""
    if caller is None:
        raise HTTPException(401, "sign in first", headers={"WWW-Authenticate": "Bearer"})
    return caller


SignedIn = Annotated[Caller, Depends(signed_in)]


async def site_admin(caller: SignedIn) -> Caller:
    """A site administrator; 403 for others, and for keys of one project or without `manage`."""
    if not caller.annotator.site_admin or caller.project_id is not None or "manage" not in caller.scopes:
        raise HTTPException(403, "only site administrators may do this")
    return caller


SiteAdmin = Annotated[Caller, Depends(site_admin)]


@dataclass(frozen=True, slots=True)
class Needs:
    """Lets through those who may do something in the project in the address.

    404 for projects somebody has no part in, as for those that do not exist; 403 for the wrong role.
    """

    permission: Permission

    def __call__(self, slug: str, store: Database, caller: SignedIn) -> Access:
        """The access, which names the project."""
        with store.read() as tx:
            project = projects.find(tx, slug)
            role = people.role_in(tx, project.id, caller.annotator) if project else None
        if project is None or role is None or not caller.reaches(project.id):
            raise HTTPException(404, "there is no such project, or you have no part in it")
        access = Access(caller, project, role)
        if not access.may(self.permission):
            raise HTTPException(403, f"this needs the permission to {self.permission} in {slug}")
        return access


MayLabel = Annotated[Access, Depends(Needs("label"))]
MayAdjudicate = Annotated[Access, Depends(Needs("adjudicate"))]
MayRead = Annotated[Access, Depends(Needs("read"))]
MayManage = Annotated[Access, Depends(Needs("manage"))]


def remember(request: Request, response: Response, token: str) -> None:
    """Give the browser its session, where no script can read it."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_MS // 1000,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
