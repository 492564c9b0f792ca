"""A project as those see it who run it: in a database that is served from here, or on a server elsewhere."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from gnomon.errors import ConfigError
from gnomon.labelling.client import LabelClient
from gnomon.labelling.export import rows
from gnomon.labelling.quality.summary import summarise
from gnomon.labelling.queue import Queue
from gnomon.labelling.server import listen, serving
from gnomon.labelling.settings import ProjectSettings, Role
from gnomon.labelling.simulate import Stand, known_better, stands_of
from gnomon.labelling.store import people, probes, projects
from gnomon.labelling.store.database import Store

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """Where it is served, how somebody is let in and who is there, which answers are known to be better and
    which are probes', about how many votes it wants of how many people, and what came of it."""

    url: str
    invite: Callable[[Role], str]
    members: Callable[[], list[str]]
    known: Mapping[str, str]
    stands: Mapping[str, Stand]
    wanted: Callable[[int], int]
    summary: Callable[[], Summary]


def summary_of(store: Store, slug: str, groups: Mapping[str, str] | None = None) -> Summary:
    """The statistics of a project in a database; ConfigError where it is not there."""
    with store.read() as tx:
        project = projects.named(tx, slug)
        about = {"slug": project.slug, "title": project.title}
        return summarise(about, projects.count_items(tx, project.id), rows(tx, project.id), groups)


@contextmanager
def here(store: Store, slug: str, seed: int) -> Iterator[Host]:
    """Serve a project of a database on a free port for the time; what the queue draws follows from `seed`.

    ConfigError where it has labels already: simulated ones could not be told from people's.
    """
    with store.write() as tx:
        project = projects.named(tx, slug)
        _refuse_labels(slug, next(rows(tx, project.id, with_text=False), None) is not None)
        projects.settle(tx, project, _of_a_crowd(project.settings))
        known = known_better(projects.known_answers(tx, project.id))
        stands = stands_of(probes.versions(tx, project.id))
        counts = projects.count_items(tx, project.id)

    def invite(role: Role) -> str:
        with store.write() as tx:
            return f"/join/{people.invite(tx, role, project.id)}"

    def members() -> list[str]:
        with store.read() as tx:
            return [member.pseudonym for member in people.members(tx, project.id)]

    door = listen("127.0.0.1", 0)
    with serving(store, door, Queue(store, rng=Random(seed))) as url:
        wanted = _wanted(counts, project.settings.overlap)
        yield Host(url, invite, members, known, stands, wanted, lambda: summary_of(store, slug))


@contextmanager
def there(url: str, key: str, slug: str) -> Iterator[Host]:
    """A project on a running server, with a key that may manage and read it.

    ConfigError where it has labels already; RefusedError where the key may not.
    """
    with LabelClient(url, key) as client:
        found = client.statistics(slug)
        _refuse_labels(slug, found["labels"] > 0)
        client.settle(slug, _of_a_crowd(client.settings(slug)))
        title = next((project.title for project in client.projects() if project.slug == slug), slug)
        about = {"slug": slug, "title": title}

        def summary() -> Summary:
            with client.export(slug) as pieces:
                return summarise(about, found["items"], _lines(pieces))

        yield Host(
            url=url,
            invite=lambda role: client.invite(slug, role).path,
            members=lambda: [member.pseudonym for member in client.members(slug)],
            known={},
            stands={},
            wanted=_wanted(found["items"], client.settings(slug).overlap),
            summary=summary,
        )


def _of_a_crowd(settings: ProjectSettings) -> ProjectSettings:
    """The settings of a project whose labels are planted, and are called so from now on.

    ConfigError for dialogues: a crowd writes nothing.
    """
    if settings.kind == "dialogue":
        raise ConfigError("a simulated crowd judges answers and writes no messages; name another project")
    return settings.model_copy(update={"source": "planted"})


def _refuse_labels(slug: str, there_are: bool) -> None:  # noqa: FBT001  one question, one answer
    if there_are:
        raise ConfigError(
            f"project {slug} has labels already, and simulated ones could not be told from them; "
            "import its items into a project of their own"
        )


def _wanted(counts: Mapping[str, int], overlap: int) -> Callable[[int], int]:
    return lambda people: (
        counts.get("ordinary", 0) * min(overlap, people) + counts.get("qualification", 0) * people
    )


def _lines(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Rows of JSON Lines that come in pieces of any size."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(json.loads, lines)
