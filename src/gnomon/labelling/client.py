"""A typed client of the REST interface, for programs that ask, judge or collect."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import httpx

from gnomon.errors import ConfigError, DataError, StorageError
from gnomon.labelling.items import Item
from gnomon.labelling.judgement import Answer, Judgement
from gnomon.labelling.settings import Event, Permission, ProjectSettings, Role
from gnomon.labelling.wire import (
    CaseSeen,
    DialogueSeen,
    GuidelinesSeen,
    Link,
    MemberSeen,
    NewGuidelines,
    NewInvitation,
    NewWebhook,
    Next,
    NextCase,
    NextDialogue,
    Paused,
    ProjectSeen,
    StandingSeen,
    TaskSeen,
    WebhookMade,
    WebhookSeen,
)

BATCH = 500
"""Items sent together."""


class RefusedError(DataError):
    """The server's refusal: its HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"the labelling server refused (HTTP {status}): {why}")
        self.status = status


class LabelClient:
    """Speaks to one server with one key. Use it as a context manager, or close it."""

    def __init__(self, url: str, key: str, *, timeout: float = 30.0) -> None:
        """`timeout` is in seconds, for each request."""
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def projects(self) -> list[ProjectSeen]:
        """The projects this key has a part in."""
        return [ProjectSeen.model_validate(row) for row in self._json("GET", "/projects")]

    def create_project(self, slug: str, title: str, settings: ProjectSettings | None = None) -> ProjectSeen:
        """Create a project."""
        body = {"slug": slug, "title": title, "settings": (settings or ProjectSettings()).model_dump()}
        return ProjectSeen.model_validate(self._json("POST", "/projects", body))

    def settings(self, project: str) -> ProjectSettings:
        """How a project asks."""
        return ProjectSettings.model_validate(self._json("GET", f"/projects/{project}/settings"))

    def settle(self, project: str, settings: ProjectSettings) -> None:
        """Change how a project asks."""
        self._json("PUT", f"/projects/{project}/settings", settings.model_dump())

    def add_items(self, project: str, items: Iterable[Item]) -> int:
        """Add items, a few hundred to a request, and return how many; a request adds all of its or none."""
        waiting, total = [], 0
        for item in items:
            waiting.append(item.model_dump(mode="json"))
            if len(waiting) == BATCH:
                total += self._json("POST", f"/projects/{project}/items", waiting)["items"]
                waiting = []
        return total + (self._json("POST", f"/projects/{project}/items", waiting)["items"] if waiting else 0)

    def next(self, project: str) -> Next:
        """The task in one's hands, or else a new one, or why there is none."""
        return Next.model_validate(self._json("POST", f"/projects/{project}/next"))

    def submit(self, project: str, token: str, answer: Answer, key: str | None = None) -> None:
        """Keep an answer. Send it again under the same `key` if it is not known to have arrived."""
        body = answer.model_dump(mode="json")
        headers = {"Idempotency-Key": key or token_hex(16)}
        self._json("POST", f"/projects/{project}/tasks/{token}/label", body, headers)

    def undo(self, project: str, token: str) -> TaskSeen:
        """Take an answer back."""
        return TaskSeen.model_validate(self._json("POST", f"/projects/{project}/tasks/{token}/undo"))

    def release(self, project: str, token: str) -> None:
        """Give a task back unanswered."""
        self._json("POST", f"/projects/{project}/tasks/{token}/release")

    def standing(self, project: str) -> StandingSeen:
        """How many tasks one has answered, and about how many are left."""
        return StandingSeen.model_validate(self._json("GET", f"/projects/{project}/standing"))

    def next_case(self, project: str) -> NextCase:
        """The case in one's hands, or else another, or why there is none."""
        return NextCase.model_validate(self._json("POST", f"/projects/{project}/adjudication/next"))

    def decide(self, project: str, token: str, judgement: Judgement, key: str | None = None) -> None:
        """Keep a decision, or leave the case open by `skip`; with `key` as for `submit`."""
        body = judgement.model_dump(mode="json")
        headers = {"Idempotency-Key": key or token_hex(16)}
        self._json("POST", f"/projects/{project}/adjudication/{token}/decide", body, headers)

    def undo_decision(self, project: str, token: str) -> CaseSeen:
        """Take a decision back."""
        return CaseSeen.model_validate(self._json("POST", f"/projects/{project}/adjudication/{token}/undo"))

    def release_case(self, project: str, token: str) -> None:
        """Give a case back undecided."""
        self._json("POST", f"/projects/{project}/adjudication/{token}/release")

    def standing_of_cases(self, project: str) -> StandingSeen:
        """How many cases one has decided or left open, and how many wait."""
        return StandingSeen.model_validate(self._json("GET", f"/projects/{project}/adjudication/standing"))

    def next_dialogue(self, project: str) -> NextDialogue:
        """The dialogue one is in, or else a new one, or why there is none; its `task` is for `submit`."""
        return NextDialogue.model_validate(self._json("POST", f"/projects/{project}/dialogue/next"))

    def say(self, project: str, token: str, message: str, key: str | None = None) -> DialogueSeen:
        """Have a message answered, with `key` as for `submit`; `next_dialogue` has the answers in time."""
        headers = {"Idempotency-Key": key or token_hex(16)}
        path = f"/projects/{project}/dialogue/{token}/say"
        return DialogueSeen.model_validate(self._json("POST", path, {"message": message}, headers))

    def end_dialogue(self, project: str, token: str) -> None:
        """End a dialogue."""
        self._json("POST", f"/projects/{project}/dialogue/{token}/end")

    def guidelines(self, project: str) -> GuidelinesSeen:
        """The newest guidelines."""
        return GuidelinesSeen.model_validate(self._json("GET", f"/projects/{project}/guidelines"))

    def write_guidelines(self, project: str, text: str) -> GuidelinesSeen:
        """Add a version of the guidelines, as Markdown."""
        body = NewGuidelines(text=text).model_dump()
        return GuidelinesSeen.model_validate(self._json("PUT", f"/projects/{project}/guidelines", body))

    def members(self, project: str) -> list[MemberSeen]:
        """Everybody in a project, by pseudonym."""
        return [MemberSeen.model_validate(row) for row in self._json("GET", f"/projects/{project}/members")]

    def set_role(self, project: str, pseudonym: str, role: Role) -> MemberSeen:
        """Let somebody in the project do what another role may."""
        path = f"/projects/{project}/members/{pseudonym}"
        return MemberSeen.model_validate(self._json("PUT", path, {"role": role}))

    def invite(self, project: str, role: Role = "annotator", email: str | None = None) -> Link:
        """Make a one-time link, or let whoever signs in with an e-mail address have the role."""
        body = NewInvitation(role=role, email=email).model_dump(exclude_none=True)
        return Link.model_validate(self._json("POST", f"/projects/{project}/invitations", body))

    def statistics(self, project: str) -> dict[str, Any]:
        """Counts, and what each annotator did."""
        found: dict[str, Any] = self._json("GET", f"/projects/{project}/statistics")
        return found

    def audit(self, project: str | None = None) -> list[dict[str, Any]]:
        """The newest lines of the audit log about a project, or about the site and none of them."""
        where = f"/projects/{project}" if project is not None else ""
        lines: list[dict[str, Any]] = self._json("GET", f"{where}/audit")
        return lines

    def create_key(self, scopes: Collection[Permission], project: str | None = None) -> str:
        """Make another key that may do no more than this one."""
        return str(self._json("POST", "/keys", {"scopes": sorted(scopes), "project": project})["key"])

    def webhooks(self, project: str) -> list[WebhookSeen]:
        """Who is told of what happens in a project."""
        return [WebhookSeen.model_validate(row) for row in self._json("GET", f"/projects/{project}/webhooks")]

    def add_webhook(self, project: str, url: str, events: Collection[Event] | None = None) -> WebhookMade:
        """Have an address told of events, of all if none are named; its secret is not shown again."""
        body = NewWebhook(url=url, events=frozenset(events)) if events else NewWebhook(url=url)
        made = self._json("POST", f"/projects/{project}/webhooks", body.model_dump(mode="json"))
        return WebhookMade.model_validate(made)

    def test_webhook(self, project: str, hook: int) -> str:
        """Send a webhook a message that tells of nothing; the id it has in the log."""
        return str(self._json("POST", f"/projects/{project}/webhooks/{hook}/test")["message"])

    def pause_webhook(self, project: str, hook: int, *, paused: bool = True) -> None:
        """Let a webhook's messages wait, or go on with those that did."""
        body = Paused(paused=paused).model_dump()
        self._json("PUT", f"/projects/{project}/webhooks/{hook}/paused", body)

    def delete_webhook(self, project: str, hook: int) -> None:
        """Tell a webhook nothing more."""
        self._json("DELETE", f"/projects/{project}/webhooks/{hook}")

    def deliveries(self, project: str, hook: int) -> list[dict[str, Any]]:
        """The newest messages to a webhook, with every attempt to deliver them."""
        found: list[dict[str, Any]] = self._json("GET", f"/projects/{project}/webhooks/{hook}/deliveries")
        return found

    def redeliver(self, project: str, hook: int, number: int) -> None:
        """Send a webhook a message once more, by its number (`id`) in the log."""
        self._json("POST", f"/projects/{project}/webhooks/{hook}/deliveries/{number}/again")

    def discard(self, project: str, hook: int, number: int) -> None:
        """Take a message out of a webhook's log, and do not send it any more."""
        self._json("DELETE", f"/projects/{project}/webhooks/{hook}/deliveries/{number}")

    @contextmanager
    def export(self, project: str, form: str = "jsonl", *, text: bool = True) -> Iterator[Iterator[bytes]]:
        """The labels as a stream of pieces, in one of the forms of `gnomon label export`."""
        query = {"form": form, "text": str(text).lower()}
        with self._http.stream("GET", f"/projects/{project}/export", params=query) as reply:
            if reply.is_error:
                reply.read()
            self._check(reply)
            yield reply.iter_bytes()

    def _json(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        try:
            reply = self._http.request(method, path, json=body, headers=headers)
        except httpx.RequestError as problem:
            raise ConfigError(
                f"{self._http.base_url} cannot be reached ({problem}); is it running?"
            ) from problem
        self._check(reply)
        return reply.json() if reply.content else None

    def _check(self, reply: httpx.Response) -> None:
        if not reply.is_error:
            return
        try:
            why = str(reply.json()["detail"])
        except (ValueError, KeyError, TypeError):
            why = reply.text[:200]
        if reply.status_code == HTTPStatus.INSUFFICIENT_STORAGE:
            raise StorageError(why)
        raise RefusedError(reply.status_code, why)
