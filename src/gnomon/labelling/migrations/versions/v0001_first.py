"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LABELS = """
CREATE VIEW labels AS
SELECT id, assignment_id, outcome, preferred, strength, flags, rationale, active_ms, elapsed_ms, created_at
FROM events
WHERE kind = 'label' AND NOT EXISTS (
    SELECT 1 FROM events AS later WHERE later.assignment_id = events.assignment_id AND later.id > events.id
)
"""
_ONLY_GROWS = {
    "sqlite": """
CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} only grows'); END
""",
    "postgresql": """
CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION only_grows()
""",
}
_REFUSE = """
CREATE FUNCTION only_grows() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$
"""


def upgrade() -> None:
    """Make every table, the view of what counts, and the triggers that let two tables only grow."""
    _projects()
    _people()
    _work()
    op.execute(_LABELS)
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(_REFUSE)
    for table in ("events", "audit"):
        for verb in ("UPDATE", "DELETE"):
            op.execute(_ONLY_GROWS[dialect].format(table=table, verb=verb))


def _at(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _to(name: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey(target), nullable=nullable)


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.String(64), nullable=False, unique=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        _at("created_at"),
    )
    op.create_table(
        "guidelines",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        _at("created_at"),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Integer, primary_key=True),
        _to("project_id", "projects.id"),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("prompt", sa.JSON, nullable=False),
        sa.Column("expected", sa.Integer),
        sa.Column("taken", sa.Integer, nullable=False),
        _at("created_at"),
        sa.UniqueConstraint("project_id", "external_id"),
    )
    op.create_index(None, "items", ["project_id", "purpose", "taken"])
    op.create_table(
        "responses",
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("origin", sa.Text),
    )


def _people() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("pseudonym", sa.String(32), nullable=False, unique=True),
        sa.Column("site_admin", sa.Boolean, nullable=False),
        _at("created_at"),
    )
    op.create_table(
        "identities",
        sa.Column("annotator_id", sa.Integer, sa.ForeignKey("annotators.id"), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
    )
    op.create_table(
        "memberships",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id"), primary_key=True),
        sa.Column("annotator_id", sa.Integer, sa.ForeignKey("annotators.id"), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        _to("project_id", "projects.id", nullable=True),
        sa.Column("role", sa.String(16), nullable=False),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        _to("annotator_id", "annotators.id"),
        _at("created_at"),
        _at("expires_at"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("hint", sa.String(8), nullable=False),
        _to("annotator_id", "annotators.id"),
        _to("project_id", "projects.id", nullable=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        _at("created_at"),
        _at("revoked_at", nullable=True),
    )


def _work() -> None:
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token", sa.String(32), nullable=False, unique=True),
        _to("project_id", "projects.id"),
        _to("item_id", "items.id"),
        _to("annotator_id", "annotators.id"),
        sa.Column("pass_number", sa.Integer, nullable=False),
        sa.Column("shown_order", sa.JSON, nullable=False),
        sa.Column("chosen_by", sa.String(32), nullable=False),
        sa.Column("propensity", sa.Float, nullable=False),
        sa.Column("guideline_version", sa.Integer),
        sa.Column("state", sa.String(16), nullable=False),
        _at("created_at"),
        _at("expires_at"),
        sa.UniqueConstraint("item_id", "annotator_id", "pass_number"),
    )
    op.create_index(None, "assignments", ["project_id", "annotator_id", "state"])
    op.create_index(None, "assignments", ["state", "expires_at"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        _to("assignment_id", "assignments.id"),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("preferred", sa.Integer),
        sa.Column("strength", sa.Integer),
        sa.Column("flags", sa.JSON),
        sa.Column("rationale", sa.Text),
        _at("active_ms", nullable=True),
        _at("elapsed_ms", nullable=True),
        _at("created_at"),
        sa.UniqueConstraint("assignment_id", "idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("actor_id", sa.Integer),
        sa.Column("project_id", sa.Integer),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        _at("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(None, "audit", ["action", "created_at"])
