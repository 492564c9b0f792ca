"""Rankings: items of more than two answers, and the ranks that events give them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LABELS = """
CREATE VIEW labels AS
SELECT id, assignment_id, outcome, preferred, strength, flags, rationale, active_ms, elapsed_ms, created_at,
    ranks
FROM events
WHERE kind = 'label' AND NOT EXISTS (
    SELECT 1 FROM events AS later WHERE later.assignment_id = events.assignment_id AND later.id > events.id
)
"""


def upgrade() -> None:
    """Count the answers of items, two so far, let events say ranks, and show them in the view of labels."""
    op.add_column("items", sa.Column("answers", sa.Integer, nullable=False, server_default="2"))
    op.add_column("events", sa.Column("ranks", sa.JSON))
    op.execute("DROP VIEW labels")
    op.execute(_LABELS)
