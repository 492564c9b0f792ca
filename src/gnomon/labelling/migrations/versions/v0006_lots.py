"""What a draw goes by: a lot for each item, the votes it still wants, and each assignment's last answer."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

BATCH = 1000
_ANSWERED = """
UPDATE assignments SET answered_by = (SELECT max(id) FROM events WHERE events.assignment_id = assignments.id)
WHERE state = 'done'
"""


def upgrade() -> None:
    """Add the three columns, fill them from what is there, and make the indexes that draws read."""
    for name, kind in (("lot", sa.BigInteger), ("wanted", sa.Integer)):
        op.add_column("items", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("assignments", sa.Column("answered_by", sa.Integer))
    connection = op.get_bind()
    items = sa.table("items", *map(sa.column, ("id", "project_id", "external_id", "purpose", "taken")))
    changed = sa.text("UPDATE items SET lot = :lot, wanted = :wanted WHERE id = :id")
    overlaps = _overlaps(connection)
    rows = connection.execute(sa.select(items).order_by(items.c.id)).all()
    for start in range(0, len(rows), BATCH):
        connection.execute(changed, [_filled(row, overlaps) for row in rows[start : start + BATCH]])
    op.execute(_ANSWERED)
    op.create_index(
        None,
        "items",
        ["project_id", "purpose", "lot"],
        sqlite_where=sa.text("wanted > 0"),
        postgresql_where=sa.text("wanted > 0"),
    )
    op.drop_index("ix_assignments_project_id_annotator_id_state", "assignments")
    op.create_index(
        "ix_assignments_answered",
        "assignments",
        ["project_id", "annotator_id", "state", "answered_by", "pass_number"],
    )


def _overlaps(connection: sa.Connection) -> dict[int, int]:
    projects = sa.table("projects", sa.column("id"), sa.column("settings", sa.JSON))
    rows = connection.execute(sa.select(projects)).all()
    return {key: settings.get("overlap", 1) for key, settings in rows}


def _filled(row: Any, overlaps: Mapping[int, int]) -> dict[str, int]:
    """Everybody is asked what is not ordinary: such items go on wanting one."""
    wanted = overlaps[row.project_id] - row.taken if row.purpose == "ordinary" else 1
    lot = int.from_bytes(sha256(row.external_id.encode()).digest()[:8]) % 2**53
    return {"id": row.id, "lot": lot, "wanted": wanted}
