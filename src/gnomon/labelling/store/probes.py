"""Probes in a project: which of them somebody may be asked next, and what each version says."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, select

from gnomon.labelling.store import projects, work
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import assignments, items


class Ready(NamedTuple):
    """A version of a probe that can be asked, in the order of the other one where that was judged."""

    item_id: int
    order: Sequence[int] | None


def ready(tx: Transaction, project: int, annotator: int, gap: int) -> list[Ready]:
    """The other versions of what somebody judged at least `gap` tasks ago; if there are none, new probes'.

    Both are shown in one order, so that they differ in their cue alone.
    """
    found = tx.connection.execute(_seen_by(project, annotator)).all()
    unseen = [row for row in found if row.state in (None, "returned")]
    if not unseen:
        return []
    until = work.answered_before(tx, project, annotator, gap)
    early = {
        row.probe["pair"]: row.shown_order
        for row in found
        if row.state == "done" and until is not None and row.answered_by <= until
    }
    others = [Ready(row.id, early[row.probe["pair"]]) for row in unseen if row.probe["pair"] in early]
    begun = {row.probe["pair"] for row in found if row.state not in (None, "returned")}
    return others or [Ready(row.id, None) for row in unseen if row.probe["pair"] not in begun]


def versions(tx: Transaction, project: int) -> Iterator[tuple[Any, list[Any], Any]]:
    """The prompt and the answers' messages of each version, and which version of what it is."""
    query = select(items.c.id, items.c.prompt, items.c.probe).where(_of(project))
    for batch in tx.connection.execute(query.order_by(items.c.id)).partitions(projects.BATCH):
        answers = projects.responses_of(tx, [row.id for row in batch])
        for row in batch:
            yield row.prompt, [messages for messages, _ in answers[row.id]], row.probe


def _seen_by(project: int, annotator: int) -> Select[Any]:
    """Every probe of a project with what became of it in somebody's hands."""
    mine = and_(
        assignments.c.item_id == items.c.id,
        assignments.c.annotator_id == annotator,
        assignments.c.pass_number == 1,
    )
    told = (assignments.c.state, assignments.c.shown_order, assignments.c.answered_by)
    query = select(items.c.id, items.c.probe, *told).select_from(items.outerjoin(assignments, mine))
    return query.where(_of(project)).order_by(items.c.id)


def _of(project: int) -> Any:
    return and_(items.c.project_id == project, items.c.purpose == "probe")
