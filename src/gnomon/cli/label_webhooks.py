"""`gnomon label webhook`: who is told of what happens in a project, and what became of the messages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.label import DEFAULT, Allowed, Db, Project, needing_extra, opened
from gnomon.cli.options import AsJson
from gnomon.errors import ConfigError
from gnomon.markup import visible

if TYPE_CHECKING:
    from gnomon.labelling.store.database import Transaction

webhook_app = typer.Typer(help="Say who is told of what happens.", no_args_is_help=True)

Hook = Annotated[int, typer.Argument(metavar="ID", help="The webhook's number, as list shows it.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The message's, as deliveries shows it.")]


@webhook_app.callback()
def _group() -> None:
    """Say who is told of what happens."""


@webhook_app.command()
def add(
    project: Project,
    url: Annotated[str, typer.Argument(metavar="URL", help="The address that is told.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="item.finished or project.finished, all if not given; may be given several times."),
    ] = None,
    allow_target: Allowed = None,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Have an address told, and print the secret that signs, which is not shown again."""
    with needing_extra():
        from gnomon.labelling.reach import Reach  # noqa: PLC0415  an extra
        from gnomon.labelling.settings import EVENTS  # noqa: PLC0415
        from gnomon.labelling.store import webhooks  # noqa: PLC0415
    told_of = [known for known in EVENTS if not event or known in event]
    if unknown := set(event or ()) - set(told_of):
        raise ConfigError(f"there is no event {min(unknown)!r}; there is: {', '.join(EVENTS)}")
    Reach.of(allow_target or []).resolve(url)  # may take long, so not while others wait to write
    with _changing(db, project) as (tx, key):
        hook, secret = webhooks.add(tx, key, url, told_of)
    if as_json:
        print_json({"id": hook, "secret": secret})
    else:
        out.print(Text(f"webhook {hook} of {project}; it is signed with {secret}"), soft_wrap=True)


@webhook_app.command("list")
def list_(project: Project, db: Db = DEFAULT, as_json: AsJson = False) -> None:
    """Show who is told, how many messages wait, and how many were given up."""
    with opened(db) as store:
        from gnomon.labelling.store import projects, webhooks  # noqa: PLC0415  an extra

        with store.read() as tx:
            found = webhooks.of_project(tx, projects.named(tx, project).id)
    if as_json:
        print_json({"webhooks": [hook._asdict() for hook in found]})
        return
    rows = [
        (one.id, one.url, ", ".join(one.events), one.waiting, one.dead, "paused" if one.paused else "told")
        for one in found
    ]
    _show(("id", "address", "events", "waiting", "dead", "state"), rows, f"nobody is told of {project}")


@webhook_app.command("test")
def send_test(project: Project, hook: Hook, db: Db = DEFAULT) -> None:
    """Have the server send a message that tells of nothing."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import outbox, webhooks  # noqa: PLC0415  an extra

        _need(webhooks.has(tx, key, hook), project, hook)
        outbox.put(tx, key, hook, outbox.TEST)


@webhook_app.command()
def pause(project: Project, hook: Hook, db: Db = DEFAULT) -> None:
    """Let its messages wait."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import webhooks  # noqa: PLC0415  an extra

        _need(webhooks.pause(tx, key, hook, paused=True), project, hook)


@webhook_app.command()
def resume(project: Project, hook: Hook, db: Db = DEFAULT) -> None:
    """Go on with the messages that waited."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import webhooks  # noqa: PLC0415  an extra

        _need(webhooks.pause(tx, key, hook, paused=False), project, hook)


@webhook_app.command()
def remove(project: Project, hook: Hook, db: Db = DEFAULT) -> None:
    """Tell it nothing more, and erase its secret."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import webhooks  # noqa: PLC0415  an extra

        _need(webhooks.delete(tx, key, hook), project, hook)


@webhook_app.command()
def deliveries(
    project: Project,
    hook: Hook,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest messages.")] = 20,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages with every attempt to deliver them."""
    with opened(db) as store:
        from gnomon.labelling.store import projects, webhooks  # noqa: PLC0415  an extra

        with store.read() as tx:
            _need(webhooks.has(tx, projects.named(tx, project).id, hook), project, hook)
            found = webhooks.deliveries(tx, hook, limit)
    if as_json:
        print_json({"deliveries": found})
        return
    rows = [
        (one["id"], one["event"], _moment(one["created_at"]), one["state"], _tried(one["attempts"]))
        for one in found
    ]
    head = ("number", "event", "written (UTC)", "state", "attempts")
    _show(head, rows, f"nothing was told to webhook {hook} yet")


@webhook_app.command()
def redeliver(project: Project, hook: Hook, number: Number, db: Db = DEFAULT) -> None:
    """Have the server send a message once more, under its id, whatever became of it."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import webhooks  # noqa: PLC0415  an extra

        _need(webhooks.again(tx, key, hook, number), project, hook, number)


@webhook_app.command()
def discard(project: Project, hook: Hook, number: Number, db: Db = DEFAULT) -> None:
    """Take a message out of the log, and do not send it any more."""
    with _changing(db, project) as (tx, key):
        from gnomon.labelling.store import webhooks  # noqa: PLC0415  an extra

        _need(webhooks.discard(tx, key, hook, number), project, hook, number)


@contextmanager
def _changing(db: str, project: str) -> Iterator[tuple["Transaction", int]]:
    """A transaction that changes something in a project; ConfigError where there is none of this name."""
    with opened(db) as store:
        from gnomon.labelling.store import projects  # noqa: PLC0415  an extra

        with store.write() as tx:
            yield tx, projects.named(tx, project).id


def _need(there: bool, project: str, hook: int, number: int | None = None) -> None:  # noqa: FBT001  the question
    if not there and number is None:
        raise ConfigError(
            f"{project} has no webhook {hook}; gnomon label webhook list {project} shows those there are"
        )
    if not there:
        raise ConfigError(
            f"webhook {hook} of {project} has no message {number}; gnomon label webhook deliveries {project} "
            f"{hook} shows those there are"
        )


def _show(head: tuple[str, ...], rows: Sequence[tuple[object, ...]], otherwise: str) -> None:
    if not rows:
        out.print(Text(otherwise), soft_wrap=True)
        return
    table = Table(*head)
    for row in rows:
        table.add_row(*(Text(visible(str(cell))) for cell in row))
    out.print(table)


def _tried(attempts: list[Mapping[str, Any]]) -> str:
    told = (f"{_moment(one['at'])}: {one['error'] or one['status']}" for one in attempts)
    return "\n".join(told) or "none yet"


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"
