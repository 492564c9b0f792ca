"""Dialogues with a model, and what is exchanged in them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "dialogues",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token", sa.String(32), nullable=False, unique=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("annotator_id", sa.Integer, sa.ForeignKey("annotators.id"), nullable=False),
        sa.Column("topic_id", sa.Integer, sa.ForeignKey("items.id")),
        sa.Column("propensity", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index(None, "dialogues", ["project_id", "annotator_id", "state"])
    op.create_index(None, "dialogues", ["topic_id"])
    op.create_table(
        "exchanges",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dialogue_id", sa.Integer, sa.ForeignKey("dialogues.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), unique=True),
        sa.Column("goes_on", sa.Integer),
        sa.Column("chosen_by", sa.String(16)),
        sa.UniqueConstraint("dialogue_id", "number"),
    )
    op.create_index(None, "exchanges", ["state"])
