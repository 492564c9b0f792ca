"""Probes: of which pair an item is a version, and which answer its cue is for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the column."""
    op.add_column("items", sa.Column("probe", sa.JSON))
