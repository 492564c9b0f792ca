"""The REST interface, version 1: what programs do, and what `openapi.json` describes."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Response
from fastapi.responses import StreamingResponse

from gnomon.labelling import export, tally
from gnomon.labelling.auth import Database, MayLabel, MayManage, MayRead, SignedIn, SiteAdmin, Tasks
from gnomon.labelling.items import Item
from gnomon.labelling.judgement import Answer
from gnomon.labelling.queue import Task
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import journal, people, projects, subjects
from gnomon.labelling.store.database import Store
from gnomon.labelling.wire import (
    GuidelinesSeen,
    Link,
    MemberSeen,
    NewGuidelines,
    NewInvitation,
    NewKey,
    NewProject,
    Next,
    ProjectSeen,
    StandingSeen,
    TaskSeen,
)

api = APIRouter(prefix="/api/v1")

IdempotencyKey = Annotated[str, Header(min_length=8, max_length=64)]


@api.get("/projects")
def list_projects(store: Database, caller: SignedIn) -> list[ProjectSeen]:
    """The projects the caller has a part in."""
    with store.read() as tx:
        found = projects.of_annotator(tx, caller.annotator)
    own = [(project, role) for project, role in found if caller.reaches(project.id)]
    return [ProjectSeen(slug=project.slug, title=project.title, role=role) for project, role in own]


@api.post("/projects", status_code=201)
def create_project(body: NewProject, store: Database, caller: SiteAdmin) -> ProjectSeen:
    """Create a project."""
    with store.write() as tx:
        project = projects.create(tx, body.slug, body.title, body.settings, caller.annotator.id)
    return ProjectSeen(slug=project.slug, title=project.title, role="admin")


@api.get("/projects/{slug}/settings")
def get_settings(access: MayManage) -> ProjectSettings:
    """How the project asks."""
    return access.project.settings


@api.put("/projects/{slug}/settings")
def put_settings(body: ProjectSettings, store: Database, access: MayManage) -> ProjectSettings:
    """Change how the project asks, from the next task on."""
    with store.write() as tx:
        projects.settle(tx, access.project, body, access.caller.annotator.id)
    return body


@api.post("/projects/{slug}/items", status_code=201)
def add_items(body: list[Item], store: Database, access: MayManage) -> dict[str, int]:
    """Add items, all or none."""
    with store.write() as tx:
        return {"items": projects.add_items(tx, access.project.id, body, access.caller.annotator.id)}


@api.post("/projects/{slug}/next")
def next_task(queue: Tasks, access: MayLabel) -> Next:
    """The task in the caller's hands, or else a new one."""
    given = queue.next(access.turn)
    if isinstance(given, Task):
        return Next(task=TaskSeen.model_validate(asdict(given)), state="task")
    return Next(task=None, state=given)


@api.post("/projects/{slug}/tasks/{token}/label")
def submit(
    token: str, body: Answer, idempotency_key: IdempotencyKey, queue: Tasks, access: MayLabel
) -> dict[str, bool]:
    """Keep an answer: a judgement of two, an ordering of more. The same key, sent again, changes nothing."""
    queue.submit(access.turn, token, body, idempotency_key)
    return {"kept": True}


@api.post("/projects/{slug}/tasks/{token}/undo")
def undo(token: str, queue: Tasks, access: MayLabel) -> TaskSeen:
    """Take an answer back: the task is in the caller's hands again."""
    return TaskSeen.model_validate(asdict(queue.undo(access.turn, token)))


@api.post("/projects/{slug}/tasks/{token}/release")
def release(token: str, queue: Tasks, access: MayLabel) -> Response:
    """Give a task back unanswered."""
    queue.release(access.turn, token)
    return Response(status_code=204)


@api.get("/projects/{slug}/standing")
def standing(queue: Tasks, access: MayLabel) -> StandingSeen:
    """How many tasks the caller has answered, and about how many are left."""
    return StandingSeen.model_validate(queue.standing(access.turn)._asdict())


@api.get("/projects/{slug}/guidelines")
def get_guidelines(store: Database, access: MayLabel) -> GuidelinesSeen:
    """The newest guidelines; 404 where there are none."""
    with store.read() as tx:
        newest = projects.current_guidelines(tx, access.project.id)
    if newest is None:
        raise HTTPException(404, "this project has no guidelines yet")
    return GuidelinesSeen(version=newest.version, text=newest.text)


@api.put("/projects/{slug}/guidelines")
def put_guidelines(body: NewGuidelines, store: Database, access: MayManage) -> GuidelinesSeen:
    """Add a version of the guidelines."""
    with store.write() as tx:
        version = projects.write_guidelines(tx, access.project.id, body.text, access.caller.annotator.id)
    return GuidelinesSeen(version=version, text=body.text)


@api.get("/projects/{slug}/members")
def list_members(store: Database, access: MayManage) -> list[MemberSeen]:
    """Everybody in the project, by pseudonym."""
    with store.read() as tx:
        return [
            MemberSeen.model_validate(member._asdict()) for member in people.members(tx, access.project.id)
        ]


@api.post("/projects/{slug}/invitations", status_code=201)
def invite(body: NewInvitation, store: Database, access: MayManage) -> Link:
    """Make a one-time link, which is shown here and never again, or let an e-mail address sign in."""
    with store.write() as tx:
        if body.email is not None:
            project, actor = access.project.id, access.caller.annotator.id
            subjects.invite_address(tx, project, body.email, body.role, actor)
            return Link(path="/login")
        token = people.invite(tx, body.role, access.project.id, access.caller.annotator.id)
    return Link(path=f"/join/{token}")


@api.get("/projects/{slug}/statistics")
def get_statistics(store: Database, access: MayRead) -> dict[str, Any]:
    """Counts, and what each annotator did."""
    with store.read() as tx:
        return tally.summary(tx, access.project)


@api.get("/projects/{slug}/export")
def get_export(
    store: Database, access: MayRead, form: export.Form = "jsonl", *, text: bool = True
) -> StreamingResponse:
    """Every label that counts, as a stream: memory does not grow with their number."""
    name = f"{access.project.slug}.{export.ENDINGS[form]}"
    return StreamingResponse(
        export.stream(store, access.project.id, form, with_text=text),
        media_type=export.MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@api.get("/projects/{slug}/audit")
def get_audit(
    store: Database, access: MayManage, limit: int = 100, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest lines of the audit log, those below number `before` if it is given."""
    return _audit(store, access.project.id, limit, before)


@api.get("/audit")
def get_site_audit(
    store: Database, caller: SiteAdmin, limit: int = 100, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest lines about the site and no project, sign-ins above all, those below `before` if given."""
    return _audit(store, None, limit, before)


@api.get("/keys")
def list_keys(store: Database, caller: SignedIn) -> list[dict[str, Any]]:
    """The caller's keys, each with its first characters; to a key none that may do more than itself."""
    with store.read() as tx:
        found = people.keys_of(tx, caller.annotator.id)
    return [key for key in found if caller.may_handle(frozenset(key["scopes"]))]


@api.post("/keys", status_code=201)
def create_key(body: NewKey, store: Database, caller: SignedIn) -> dict[str, str]:
    """Make a key; it is shown here and never again. It may do no more than who makes it."""
    if not caller.may_handle(body.scopes):
        raise HTTPException(403, "a key may not make a key that may do more than itself")
    with store.write() as tx:
        project = projects.find(tx, body.project) if body.project else None
        if body.project and (project is None or people.role_in(tx, project.id, caller.annotator) is None):
            raise HTTPException(404, "there is no such project, or you have no part in it")
        key = people.create_key(tx, caller.annotator.id, body.scopes, project.id if project else None)
    return {"key": key}


@api.delete("/keys/{key}")
def revoke_key(key: int, store: Database, caller: SignedIn) -> Response:
    """Make one of the caller's keys worthless; a key does so to none that may do more than itself."""
    with store.write() as tx:
        own = {one["id"]: frozenset(one["scopes"]) for one in people.keys_of(tx, caller.annotator.id)}
        if key not in own:
            raise HTTPException(404, "you have no such key")
        if not caller.may_handle(own[key]):
            raise HTTPException(403, "a key may not revoke a key that may do more than itself")
        people.revoke_key(tx, caller.annotator.id, key)
    return Response(status_code=204)


def _audit(store: Store, project: int | None, limit: int, before: int | None) -> list[dict[str, Any]]:
    with store.read() as tx:
        lines = journal.entries(tx, project, min(max(limit, 1), 1000), before)
    return [{"id": number, **entry._asdict()} for number, entry in lines]
