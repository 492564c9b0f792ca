"""Signing in with an account elsewhere: who people are there, sign-ins under way, invitations by address."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the column and the two tables."""
    op.add_column("invitations", sa.Column("email", sa.String(320)))
    op.create_index(None, "invitations", ["email"])
    op.create_table(
        "subjects",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("annotator_id", sa.Integer, sa.ForeignKey("annotators.id"), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
    )
    op.create_index(None, "subjects", ["annotator_id"])
    op.create_table(
        "sign_ins",
        sa.Column("state_hash", sa.String(64), primary_key=True),
        sa.Column("browser_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index(None, "sign_ins", ["expires_at"])
