"""Decisions beside the votes: events of a kind of their own, and the view of those that count."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_DECISIONS = """
CREATE VIEW decisions AS
SELECT id, assignment_id, outcome, preferred, strength, flags, rationale, active_ms, elapsed_ms, created_at,
    seen
FROM events
WHERE kind = 'decision' AND NOT EXISTS (
    SELECT 1 FROM events AS later WHERE later.assignment_id = events.assignment_id AND later.id > events.id
)
"""


def upgrade() -> None:
    """Let events say which labels were seen, and make the view; votes and their view stay as they are."""
    op.add_column("events", sa.Column("seen", sa.JSON))
    op.execute(_DECISIONS)
