"""Probes in a project: which of them somebody may be asked next, and what each version says."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, select

from gnomon.labelling.store import projects, work
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import assignments, items, labels


class Ready(NamedTuple):
    """A version of a probe that can be asked, in the order of the other one where that was judged."""

    item_id: int
    order: Sequence[int] | None


def ready(tx: Transaction, project: int, annotator: int, gap: int) -> list[Ready]:
    """The other versions of what somebody judged at least `gap` tasks ago; if there are none, new probes'.

    Both are shown in one order, so that they differ in their cue alone.
    """
    unseen = set(work.unseen(tx, project, annotator, "probe"))
    if not unseen:
        return []
    pairs = dict(_pairs(tx, project))
    early = {pairs[item]: order for item, order in _judged(tx, project, annotator, gap) if item in pairs}
    begun = {pair for item, pair in pairs.items() if item not in unseen}
    others = [Ready(item, early[pairs[item]]) for item in sorted(unseen) if pairs[item] in early]
    return others or [Ready(item, None) for item in sorted(unseen) if pairs[item] not in begun]


def versions(tx: Transaction, project: int) -> Iterator[tuple[Any, list[Any], Any]]:
    """The prompt and the answers' messages of each version, and which version of what it is."""
    query = select(items.c.id, items.c.prompt, items.c.probe).where(_of(project))
    for batch in tx.connection.execute(query.order_by(items.c.id)).partitions(projects.BATCH):
        answers = projects.responses_of(tx, [row.id for row in batch])
        for row in batch:
            yield row.prompt, [messages for messages, _ in answers[row.id]], row.probe


def _pairs(tx: Transaction, project: int) -> Iterator[tuple[int, str]]:
    for row in tx.connection.execute(select(items.c.id, items.c.probe).where(_of(project))):
        yield row.id, row.probe["pair"]


def _judged(tx: Transaction, project: int, annotator: int, gap: int) -> list[tuple[int, Sequence[int]]]:
    """What somebody answered at least `gap` tasks ago, with the order it was in."""
    query = (
        select(assignments.c.item_id, assignments.c.shown_order)
        .join(labels, labels.c.assignment_id == assignments.c.id)
        .where(
            assignments.c.project_id == project,
            assignments.c.annotator_id == annotator,
            assignments.c.pass_number == 1,
        )
        .order_by(labels.c.id)
    )
    rows = [(row.item_id, row.shown_order) for row in tx.connection.execute(query)]
    return rows[: max(0, len(rows) - gap)]


def _of(project: int) -> Any:
    return and_(items.c.project_id == project, items.c.purpose == "probe")
