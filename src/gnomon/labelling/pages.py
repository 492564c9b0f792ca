"""The pages: projects, a task to judge, guidelines."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, ValidationError

from gnomon.labelling import tally
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.auth import Access, Database, MayLabel, MayManage, MayRead, SignedIn, Talks, Tasks
from gnomon.labelling.dialogue import Dialogues, Talk
from gnomon.labelling.judgement import Judgement, Ordering
from gnomon.labelling.queue import Idle, Queue, Task
from gnomon.labelling.settings import GRANTS, Role
from gnomon.labelling.store import people, projects, subjects
from gnomon.labelling.tokens import new_token
from gnomon.labelling.views import after_answer, show

router = APIRouter()


class Answer(BaseModel):
    """The form under a task. `choice` is `left-3` and the like, or an outcome without a side."""

    choice: str
    key: str = Field(min_length=8, max_length=64)
    left_flags: list[str] = []
    right_flags: list[str] = []
    rationale: str = ""
    active_ms: int | None = None
    elapsed_ms: int | None = None
    csrf: str = ""

    def judgement(self) -> Judgement:
        """What it says; HTTP 422 where it says nothing that can be kept."""
        side, _, strength = self.choice.partition("-")
        values: dict[str, Any] = self.model_dump(exclude={"choice", "key", "csrf"})
        try:
            return Judgement.model_validate(values | {"choice": side, "strength": strength or None})
        except ValidationError as problem:
            raise HTTPException(422, problem.errors()[0]["msg"]) from problem


class Order(BaseModel):
    """The form under answers that are to be ranked: a rank for each as they stand there, or `skip`.

    A flag is where its answer stands and its name, `2:wrong`.
    """

    key: str = Field(min_length=8, max_length=64)
    ranks: list[str] = []
    skip: str = ""
    flags: list[str] = []
    rationale: str = ""
    active_ms: int | None = None
    elapsed_ms: int | None = None
    csrf: str = ""

    def ordering(self) -> Ordering:
        """What it says, gaps between ranks closed; HTTP 422 where an answer has no rank and it is no skip."""
        if not self.skip and not all(rank.isdecimal() for rank in self.ranks):
            raise HTTPException(422, "give each answer a rank, or skip")
        given = [int(rank) for rank in self.ranks] if not self.skip else []
        distinct = sorted(set(given))
        flags: dict[str, set[str]] = {}
        for flag in self.flags:
            where, _, name = flag.partition(":")
            flags.setdefault(where, set()).add(name)
        values: dict[str, Any] = self.model_dump(include={"rationale", "active_ms", "elapsed_ms"})
        values |= {"ranks": [distinct.index(rank) + 1 for rank in given] or None, "flags": flags}
        try:
            return Ordering.model_validate(values)
        except ValidationError as problem:
            raise HTTPException(422, problem.errors()[0]["msg"]) from problem


@router.get("/")
def home(request: Request, store: Database, caller: SignedIn) -> Response:
    """The projects somebody has a part in; straight to the work where there is but one to label."""
    with store.read() as tx:
        found = [own for own in projects.of_annotator(tx, caller.annotator) if caller.reaches(own[0].id)]
    if len(found) == 1 and found[0][1] == "annotator":
        return RedirectResponse(f"/p/{found[0][0].slug}", 303)
    cards = [(project, GRANTS[role] & caller.scopes) for project, role in found]
    return show(request, "home.html", caller=caller, cards=cards)


@router.get("/p/{slug}")
def work(request: Request, queue: Tasks, talks: Talks, store: Database, access: MayLabel) -> Response:
    """The page on which tasks are judged one after the other; loading it again shows the same task."""
    with store.read() as tx:
        guidelines = projects.current_guidelines(tx, access.project.id)
    shown = screen(queue, talks, access)
    return show(request, "work.html", caller=access.caller, guidelines=guidelines, **shown)


@router.post("/p/{slug}/tasks/{token}/label")
def answer(
    request: Request,
    token: str,
    form: Annotated[Answer, Form()],
    queue: Tasks,
    talks: Talks,
    access: MayLabel,
) -> Response:
    """Keep an answer and show the next task in its place; on a page of its own where no script asked."""
    queue.submit(access.turn, token, form.judgement(), form.key)
    return after_answer(request, here(access), access.caller, lambda: screen(queue, talks, access))


@router.post("/p/{slug}/tasks/{token}/rank")
def rank(
    request: Request,
    token: str,
    form: Annotated[Order, Form()],
    queue: Tasks,
    talks: Talks,
    access: MayLabel,
) -> Response:
    """Keep an order and show the next task in its place; on a page of its own where no script asked."""
    queue.submit(access.turn, token, form.ordering(), form.key)
    return after_answer(request, here(access), access.caller, lambda: screen(queue, talks, access))


@router.post("/p/{slug}/tasks/{token}/undo")
def undo(request: Request, token: str, queue: Tasks, talks: Talks, access: MayLabel) -> Response:
    """Take back an answer and show its task again."""
    task = queue.undo(access.turn, token)
    return show(request, "turn.html", caller=access.caller, **screen(queue, talks, access, task))


@router.get("/p/{slug}/guidelines")
def guidelines(request: Request, store: Database, access: MayLabel) -> Response:
    """What annotators are told to go by."""
    with store.read() as tx:
        newest = projects.current_guidelines(tx, access.project.id)
    return show(request, "guidelines.html", caller=access.caller, project=access.project, guidelines=newest)


@router.get("/p/{slug}/results")
def results(request: Request, store: Database, talks: Talks, access: MayRead) -> Response:
    """What has come in so far."""
    with store.read() as tx:
        counts = tally.summary(tx, access.project)
        everybody = people.members(tx, access.project.id)
    return show(
        request,
        "results.html",
        caller=access.caller,
        project=access.project,
        counts=counts,
        members=everybody,
        manages=access.may("manage"),
        unanswered=access.turn.talks and talks.partner is None,
    )


@router.post("/p/{slug}/invite")
def invite(
    request: Request,
    store: Database,
    access: MayManage,
    role: Annotated[Role, Form()],
    email: Annotated[str, Form(max_length=320)] = "",
) -> Response:
    """Let an e-mail address sign in, or else make a one-time link and show it, this once."""
    project, actor = access.project, access.caller.annotator.id
    link = f"{request.url.scheme}://{request.headers.get('host', '')}"
    with store.write() as tx:
        if email:
            subjects.invite_address(tx, project.id, email, role, actor)
            link += "/login"
        else:
            link += f"/join/{people.invite(tx, role, project.id, actor)}"
    return show(
        request, "invited.html", caller=access.caller, project=project, link=link, role=role, email=email
    )


def screen(queue: Queue, talks: Dialogues, access: Access, task: Task | Idle | None = None) -> dict[str, Any]:
    """What is shown on the page of tasks: one to judge, or the dialogue that will have one, or why there is
    neither."""
    talk = talks.next(access.turn) if access.turn.talks else None
    if isinstance(talk, Talk):
        given: Task | str = talk.task or talk.state
    else:
        given = talk or task or queue.next(access.turn)
    return beside(access, queue) | {
        "talk": talk if isinstance(talk, Talk) else None,
        "task": given if isinstance(given, Task) else None,
        "state": "task" if isinstance(given, Task) else given,
        "said": None,
        "here": here(access),
        "tasks": f"{here(access)}/tasks",
        "verb": "label",
    }


def here(access: Access) -> str:
    """The address of the page of tasks."""
    return f"/p/{access.project.slug}"


def beside(access: Access, given_by: Queue | Bench) -> dict[str, Any]:
    """What a screen shows beside a task or a case: how far somebody is, what an undo takes back."""
    return {
        "project": access.project,
        "talk": None,
        "standing": given_by.standing(access.turn),
        "last": given_by.last(access.turn),
        "key": new_token()[:32],
        "reads": access.may("read"),
    }
