"""Projects, their guidelines, and the items people are asked about."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Executable, Select, and_, exists, func, insert, select, update

from gnomon.errors import ConfigError, DataError
from gnomon.labelling.items import Item
from gnomon.labelling.settings import ProjectSettings, Role
from gnomon.labelling.store import journal
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.lots import lot_of
from gnomon.labelling.store.people import Annotator
from gnomon.labelling.store.prepared import prepared
from gnomon.labelling.store.tables import guidelines, items, memberships, projects, responses
from gnomon.records import Message

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
BATCH = 200
"""Items stored by one statement."""
MESSAGES = TypeAdapter(tuple[Message, ...])


class Project(NamedTuple):
    """A project as everything else needs it."""

    id: int
    slug: str
    title: str
    settings: ProjectSettings


class Guidelines(NamedTuple):
    """What annotators are told to go by; versions count from 1."""

    version: int
    text: str


def create(
    tx: Transaction, slug: str, title: str, settings: ProjectSettings, actor: int | None = None
) -> Project:
    """A new project; ConfigError where the name is taken or does not fit into an address."""
    if not SLUG.fullmatch(slug):
        raise ConfigError(f"project {slug!r}: use small letters, digits and hyphens, up to 63 of them")
    if find(tx, slug):
        raise ConfigError(f"project {slug!r} is there already; choose another name")
    values = {"slug": slug, "title": title, "settings": settings.model_dump(), "created_at": tx.now}
    key = tx.connection.execute(insert(projects).values(values).returning(projects.c.id)).scalar_one()
    journal.note(tx, "project created", actor=actor, project=key, settings=settings.model_dump())
    return Project(key, slug, title, settings)


def find(tx: Transaction, slug: str) -> Project | None:
    """The project of this name, or None."""
    row = _of_slug(tx, slug).one_or_none()
    return _project(row) if row else None


def of_id(tx: Transaction, project: int) -> Project:
    """The project of a key that is known to be one."""
    return _project(tx.connection.execute(_projects().where(projects.c.id == project)).one())


def named(tx: Transaction, slug: str) -> Project:
    """The project of this name; ConfigError, with the names there are, for another."""
    if project := find(tx, slug):
        return project
    there = ", ".join(project.slug for project in every(tx)) or "none yet"
    raise ConfigError(f"there is no project {slug!r} (there is: {there}); create it with gnomon label init")


def every(tx: Transaction) -> list[Project]:
    """All projects by name."""
    return [_project(row) for row in tx.connection.execute(_projects().order_by(projects.c.slug))]


def of_annotator(tx: Transaction, annotator: Annotator) -> list[tuple[Project, Role]]:
    """The projects somebody has a part in, each with the role there, by name."""
    if annotator.site_admin:
        return [(project, "admin") for project in every(tx)]
    query = (
        _projects()
        .add_columns(memberships.c.role)
        .join(memberships, memberships.c.project_id == projects.c.id)
        .where(memberships.c.annotator_id == annotator.id)
        .order_by(projects.c.slug)
    )
    return [(_project(row), row.role) for row in tx.connection.execute(query)]


def settings_of(tx: Transaction, project: int, *, hold: bool = False) -> ProjectSettings:
    """How a project asks now, and until the transaction ends if nobody is to change it meanwhile (`hold`)."""
    query = select(projects.c.settings).where(projects.c.id == project)
    kept = tx.connection.execute(query.with_for_update(read=True) if hold else query).scalar_one()
    return ProjectSettings.model_validate(kept)


def settle(tx: Transaction, project: Project, settings: ProjectSettings, actor: int | None = None) -> None:
    """Change how a project asks, from the next task on; ConfigError for another kind where it has items."""
    kept = projects.c.id == project.id
    ordinary = and_(items.c.project_id == project.id, items.c.purpose == "ordinary")
    wanted = settings.votes - items.c.taken
    other = items.c.wanted != wanted
    # locked as others lock: items in their order, then the project, so that nobody waits in a circle
    tx.connection.execute(select(items.c.id).where(ordinary, other).order_by(items.c.id).with_for_update())
    tx.connection.execute(select(projects.c.id).where(kept).with_for_update(key_share=True))
    if settings.kind != settings_of(tx, project.id).kind and has_items(tx, project.id):
        raise ConfigError(f"{project.slug} has items of its kind, which cannot change; make another project")
    tx.connection.execute(update(projects).where(kept).values(settings=settings.model_dump()))
    tx.connection.execute(update(items).where(ordinary, other).values(wanted=wanted))
    journal.note(tx, "settings changed", actor=actor, project=project.id, settings=settings.model_dump())


def write_guidelines(tx: Transaction, project: int, text: str, actor: int | None = None) -> int:
    """Add a version of the guidelines and return its number; earlier ones stay as they were."""
    newest = current_guidelines(tx, project)
    version = newest.version + 1 if newest else 1
    tx.connection.execute(
        insert(guidelines).values(project_id=project, version=version, text=text, created_at=tx.now)
    )
    journal.note(tx, "guidelines written", actor=actor, project=project, version=version)
    return version


def current_guidelines(tx: Transaction, project: int) -> Guidelines | None:
    """The newest version, or None where there is none yet."""
    query = (
        select(guidelines.c.version, guidelines.c.text)
        .where(guidelines.c.project_id == project)
        .order_by(guidelines.c.version.desc())
        .limit(1)
    )
    row = tx.connection.execute(query).one_or_none()
    return Guidelines(*row) if row else None


def guideline_version(tx: Transaction, project: int) -> int | None:
    """The number of the newest version, or None where there is none yet."""
    found: int | None = _newest(tx, project).scalar_one()
    return found


def add_items(tx: Transaction, project: int, new: Iterable[Item], actor: int | None = None) -> int:
    """Store items and return how many.

    DataError where an id is there already, or for items of another kind of project; then none is stored.
    """
    source, total = iter(new), 0
    settings = settings_of(tx, project, hold=True)
    while batch := list(islice(source, BATCH)):
        for item in batch:
            _refuse_other_kind(item, settings.kind)
        store_items(tx, project, batch, settings.votes)
        total += len(batch)
    journal.note(tx, "items imported", actor=actor, project=project, items=total)
    return total


def store_items(tx: Transaction, project: int, batch: Sequence[Item], votes: int) -> dict[str, int]:
    """Store a few items, of which ordinary ones want so many votes, and return their keys by id.

    DataError where an id is there already.
    """
    _refuse_known(tx, project, [item.id for item in batch])
    tx.connection.execute(insert(items), [_item_values(tx, project, item, votes) for item in batch])
    keys = _keys(tx, project, [item.id for item in batch])
    rows = [
        {
            "item_id": keys[item.id],
            "place": place,
            "messages": _dumped(response.messages),
            "origin": response.origin,
        }
        for item in batch
        for place, response in enumerate(item.responses)
    ]
    if rows:
        tx.connection.execute(insert(responses), rows)
    return keys


def has_items(tx: Transaction, project: int) -> bool:
    """Whether there is an item of any purpose."""
    return bool(tx.connection.execute(select(exists().where(items.c.project_id == project))).scalar())


def count_items(tx: Transaction, project: int) -> dict[str, int]:
    """How many items there are of each purpose."""
    query = (
        select(items.c.purpose, func.count()).where(items.c.project_id == project).group_by(items.c.purpose)
    )
    return {str(purpose): int(count) for purpose, count in tx.connection.execute(query)}


def responses_of(
    tx: Transaction, keys: Sequence[int], *, with_text: bool = True
) -> dict[int, list[tuple[Any, str | None]]]:
    """The messages of each item's responses in their own order, each with its origin; None for the messages
    unless `with_text`."""
    found: dict[int, list[tuple[Any, str | None]]] = {key: [] for key in keys}
    for item, origin, *messages in _responses(tx, keys, with_text=with_text):
        found[item].append((messages[0] if messages else None, origin))
    return found


def known_answers(tx: Transaction, project: int) -> Iterator[tuple[Any, list[Any], int]]:
    """Prompts of which the better answer is known, with both answers' messages and its place."""
    query = select(items.c.id, items.c.prompt, items.c.expected).where(
        items.c.project_id == project, items.c.expected.is_not(None)
    )
    for batch in tx.connection.execute(query).partitions(BATCH):
        answers = responses_of(tx, [row.id for row in batch])
        for row in batch:
            yield row.prompt, [messages for messages, _ in answers[row.id]], row.expected


@prepared
def _of_slug(slug: str) -> Executable:
    return _projects().where(projects.c.slug == slug)


@prepared
def _newest(project: int) -> Executable:
    return select(func.max(guidelines.c.version)).where(guidelines.c.project_id == project)


@prepared
def _responses(keys: Sequence[int], *, with_text: bool) -> Executable:
    text = (responses.c.messages,) if with_text else ()
    found = select(responses.c.item_id, responses.c.origin, *text).where(responses.c.item_id.in_(keys))
    return found.order_by(responses.c.place)


def _projects() -> Select[Any]:
    return select(projects.c.id, projects.c.slug, projects.c.title, projects.c.settings)


def _project(row: Any) -> Project:
    return Project(row.id, row.slug, row.title, ProjectSettings.model_validate(row.settings))


def _item_values(tx: Transaction, project: int, item: Item, votes: int) -> dict[str, Any]:
    return {
        "project_id": project,
        "external_id": item.id,
        "purpose": item.purpose,
        "prompt": _dumped(item.prompt),
        "expected": item.expected,
        "taken": 0,
        "answers": len(item.responses),
        "created_at": tx.now,
        "drawn": item.drawn.model_dump(mode="json") if item.drawn else None,
        "lot": lot_of(item.id),
        "wanted": votes if item.purpose == "ordinary" else 1,
        "probe": item.probe.model_dump() if item.probe else None,
    }


def _dumped(messages: Any) -> Any:
    return MESSAGES.dump_python(messages, mode="json", exclude_defaults=True)


def _keys(tx: Transaction, project: int, ids: Sequence[str]) -> dict[str, int]:
    query = select(items.c.external_id, items.c.id).where(
        items.c.project_id == project, items.c.external_id.in_(ids)
    )
    return {str(name): int(key) for name, key in tx.connection.execute(query)}


def _refuse_other_kind(item: Item, kind: str) -> None:
    if kind == "dialogue" and item.purpose != "topic":
        raise DataError(f"{item.id} has answers, which are made in dialogues here; import prompts as topics")
    if kind != "dialogue" and item.purpose == "topic":
        raise DataError(f"{item.id} is a topic, and nobody talks here; make a project with kind=dialogue")


def _refuse_known(tx: Transaction, project: int, ids: Sequence[str]) -> None:
    twice = next(iter({name for name in ids if ids.count(name) > 1} | set(_keys(tx, project, ids))), None)
    if twice is not None:
        raise DataError(f"item {twice!r} is there already; ids are unique in a project")
