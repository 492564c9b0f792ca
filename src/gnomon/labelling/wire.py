"""What goes over the wire, as the REST interface says it and the client reads it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.labelling.judgement import Answer, Choice, Judgement
from gnomon.labelling.settings import EVENTS, LONGEST_MESSAGE, Event, Permission, ProjectSettings, Role


class Body(BaseModel):
    """A request's body: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewProject(Body):
    """A project to be."""

    slug: str
    title: str = Field(min_length=1, max_length=200)
    settings: ProjectSettings = ProjectSettings()


class ProjectSeen(BaseModel):
    """A project, and what the caller is in it."""

    slug: str
    title: str
    role: Role


class TaskSeen(BaseModel):
    """A task as an annotator may see it: answers from left to right, and nothing on where they come from.

    Two are to be judged, three and more to be ranked.
    """

    token: str
    prompt: list[dict[str, Any]]
    responses: list[list[dict[str, Any]]]
    guideline_version: int | None
    earlier: Answer | None


class Next(BaseModel):
    """The next task, or why there is none."""

    task: TaskSeen | None
    state: Literal["task", "done", "waiting", "empty", "not_qualified", "dialogue"]


class NewMessage(Body):
    """What is said next in a dialogue, as Markdown."""

    message: str = Field(min_length=1, max_length=LONGEST_MESSAGE)


class DialogueSeen(BaseModel):
    """A dialogue as whoever leads it may see it, and nothing on which model answers.

    The person is to `write`, to change the `draft` where the model `failed` to answer it, or to `judge` the
    `task`; the model is `sampling`, or `slow` at it. `left` messages more may be written.
    """

    token: str
    topic: list[dict[str, Any]] | None
    messages: list[dict[str, Any]]
    state: Literal["write", "sampling", "slow", "failed", "judge"]
    task: TaskSeen | None
    draft: str
    left: int


class NextDialogue(BaseModel):
    """The dialogue one is in, or why there is none."""

    dialogue: DialogueSeen | None
    state: Literal["dialogue", "done", "waiting"]


class RationaleSeen(BaseModel):
    """Why somebody said what they said; `swapped` where what they call A stands on the right here."""

    choice: Choice
    swapped: bool
    text: str


class SaidSeen(BaseModel):
    """How often each thing was said; `left` and `right` by strength, from slightly to much."""

    left: list[int]
    right: list[int]
    tie: int
    both_bad: int
    skip: int
    left_flags: dict[str, int]
    right_flags: dict[str, int]
    rationales: list[RationaleSeen]


class CaseSeen(BaseModel):
    """A case as whoever decides may see it: what was said, and nothing on who said or wrote it."""

    token: str
    prompt: list[dict[str, Any]]
    responses: list[list[dict[str, Any]]]
    said: SaidSeen
    earlier: Judgement | None


class NextCase(BaseModel):
    """The next case, or why there is none."""

    case: CaseSeen | None
    state: Literal["case", "done", "waiting"]


class StandingSeen(BaseModel):
    """How far somebody is."""

    done: int
    left: int


class NewGuidelines(Body):
    """The text of a new version, as Markdown."""

    text: str = Field(min_length=1, max_length=100_000)


class GuidelinesSeen(BaseModel):
    """A version of the guidelines."""

    version: int
    text: str


class Invited(Body):
    """What somebody may do in a project."""

    role: Role


class NewInvitation(Invited):
    """A role for whoever has a link, or for whoever signs in with an e-mail address."""

    email: str | None = Field(None, max_length=320)


class Link(BaseModel):
    """The path of a one-time link, or of the page to sign in for who was invited by address."""

    path: str


class NewKey(Body):
    """What a key may do, in one project or, without one, in all of its owner's."""

    scopes: frozenset[Permission] = Field(min_length=1)
    project: str | None = None


class MemberSeen(BaseModel):
    """Somebody in a project, by pseudonym."""

    pseudonym: str
    role: Role


class NewWebhook(Body):
    """An address, and the events it is told of: all of them if none are named."""

    url: str = Field(min_length=1, max_length=2000)
    events: frozenset[Event] = Field(frozenset(EVENTS), min_length=1)


class WebhookMade(BaseModel):
    """A new webhook and the secret that signs what it is told."""

    id: int
    secret: str


class Paused(Body):
    """Whether messages wait."""

    paused: bool


class WebhookSeen(BaseModel):
    """A webhook, with how many messages wait and how many were given up."""

    id: int
    url: str
    events: list[Event]
    paused: bool
    created_at: int
    waiting: int
    dead: int
