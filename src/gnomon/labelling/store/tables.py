"""The tables. Times are milliseconds since 1970 in UTC; secrets are kept as digests only, but for those of
webhooks, which have to sign.

An annotator is a pseudonym; who that is stands in `identities` and `subjects` alone, so that a person can be
forgotten while the votes stay. `events` and `audit` only grow (triggers hold it); `labels` and `decisions`
are the views of what counts now: the last event of each assignment, where that is a label, or a decision.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

OPEN = text("wanted > 0")
"""Items that want votes: an index has these alone, and is read where a query says it in these very words."""

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", String(64), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

guidelines = Table(
    "guidelines",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("prompt", JSON, nullable=False),
    Column("expected", Integer),
    Column("taken", Integer, nullable=False, default=0),
    Column("answers", Integer, nullable=False, default=2),
    Column("created_at", BigInteger, nullable=False),
    Column("drawn", JSON(none_as_null=True)),
    Column("lot", BigInteger, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("probe", JSON(none_as_null=True)),
    UniqueConstraint("project_id", "external_id"),
    Index(None, "project_id", "purpose", "taken"),
    Index(None, "project_id", "purpose", "lot", sqlite_where=OPEN, postgresql_where=OPEN),
)
"""`expected` is the place of the better response where it is known (gold, qualification). `taken` counts the
votes given or under way towards the overlap, and `wanted` those that are missing, always 1 where everybody is
asked. An item is drawn by its `lot`. More than two `answers` are to be ranked; `drawn` says how a pair was
sampled, `probe` of which probe it is a version."""

responses = Table(
    "responses",
    metadata,
    Column("item_id", ForeignKey("items.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("messages", JSON, nullable=False),
    Column("origin", Text),
)
"""`origin` is the model that wrote it, which no annotator sees."""

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("digest", String(16), nullable=False),
    Column("about", JSON, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("skipped", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "digest"),
)
"""Collecting pairs of a policy's answers: `about` says whose and to what, and `digest` is an id of that.

`asked` counts prompts, `pairs` what became items, and `skipped` the others by reason.
"""

dialogues = Table(
    "dialogues",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(32), nullable=False, unique=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("annotator_id", ForeignKey("annotators.id"), nullable=False),
    Column("topic_id", ForeignKey("items.id")),
    Column("propensity", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "project_id", "annotator_id", "state"),
    Index(None, "topic_id"),
)
"""Somebody talking with the model, `open` or `ended`, about a topic that was drawn with a `propensity`.

After `expires_at` the topic is given to others; its holder may go on all the same.
"""

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dialogue_id", ForeignKey("dialogues.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("item_id", ForeignKey("items.id"), unique=True),
    Column("goes_on", Integer),
    Column("chosen_by", String(16)),
    UniqueConstraint("dialogue_id", "number"),
    Index(None, "state"),
)
"""A message of a dialogue and the two answers to it, an item: `sampling`, then `answered`, or `failed`.

`goes_on` is the place of the answer that the dialogue goes on with, `chosen_by` the `vote` or, where that
prefers neither, a `draw`.
"""

annotators = Table(
    "annotators",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pseudonym", String(32), nullable=False, unique=True),
    Column("site_admin", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("annotator_id", ForeignKey("annotators.id"), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
)

memberships = Table(
    "memberships",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("annotator_id", ForeignKey("annotators.id"), primary_key=True),
    Column("role", String(16), nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("project_id", ForeignKey("projects.id")),
    Column("role", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("email", String(320)),
    Index(None, "email"),
)
"""A role for whoever has the token, or, where there is an `email`, for whoever signs in with that address."""

subjects = Table(
    "subjects",
    metadata,
    Column("issuer", String(500), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("annotator_id", ForeignKey("annotators.id"), nullable=False),
    Column("email", String(320), nullable=False),
    Index(None, "annotator_id"),
)
"""Who somebody is to a provider that vouches for them, and the address they had at their last sign-in."""

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("state_hash", String(64), primary_key=True),
    Column("browser_hash", String(64), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)
"""Sign-ins that were begun at a provider: what it sends back, and the secret that the browser keeps."""

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("annotator_id", ForeignKey("annotators.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("annotator_id", ForeignKey("annotators.id"), nullable=False),
    Column("project_id", ForeignKey("projects.id")),
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(32), nullable=False, unique=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("item_id", ForeignKey("items.id"), nullable=False),
    Column("annotator_id", ForeignKey("annotators.id"), nullable=False),
    Column("pass_number", Integer, nullable=False),
    Column("shown_order", JSON, nullable=False),
    Column("chosen_by", String(32), nullable=False),
    Column("propensity", Float, nullable=False),
    Column("guideline_version", Integer),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("answered_by", Integer),
    UniqueConstraint("item_id", "annotator_id", "pass_number"),
    Index("ix_assignments_answered", "project_id", "annotator_id", "state", "answered_by", "pass_number"),
    Index(None, "state", "expires_at"),
)
"""An item given to an annotator: `leased`, then `done`, or `returned` when the lease ran out.

`shown_order` has the places of the responses from left to right; `propensity` is the probability with
which this item was drawn out of those that could have been, and `answered_by` the event that made it done.
Pass 1 is somebody's judgement, 2 the same once more, and 0 the hearing of what others said: its event is a
decision, not a vote.
"""

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("assignment_id", ForeignKey("assignments.id"), nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("preferred", Integer),
    Column("strength", Integer),
    Column("flags", JSON),
    Column("rationale", Text),
    Column("active_ms", BigInteger),
    Column("elapsed_ms", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("seen", JSON),
    Column("ranks", JSON(none_as_null=True)),
    UniqueConstraint("assignment_id", "idempotency_key"),
    sqlite_autoincrement=True,
)
"""What was said, of `kind` label, decision or undo; a decision has `seen`, the labels that counted then, and
an ordering the `ranks` of the answers by place."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    Index(None, "project_id"),
)
"""Who listens to which events of a project. A deleted one stays for its log, without its secret."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    Column("message", String(64), nullable=False, unique=True),
    Column("event", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "state", "due_at"),
    Index(None, "webhook_id", "id"),
)
"""What is told to a webhook: `waiting` until `due_at`, then `delivered`, or `dead` when it was tried enough.

`message` is the id by which a receiver knows what it has seen.
"""

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("outbox_id", ForeignKey("outbox.id"), nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("took_ms", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "outbox_id"),
)
"""How each attempt to deliver went: the HTTP status, or why there was none."""

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("actor_id", Integer),
    Column("project_id", Integer),
    Column("action", String(64), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "action", "created_at"),
    sqlite_autoincrement=True,
)


def _view(name: str, *more: Column[Any]) -> Table:
    """What events say, in a place apart from the tables that migrations make."""
    return Table(
        name,
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("assignment_id", Integer),
        Column("outcome", String(16)),
        Column("preferred", Integer),
        Column("strength", Integer),
        Column("flags", JSON),
        Column("rationale", Text),
        Column("active_ms", BigInteger),
        Column("elapsed_ms", BigInteger),
        Column("created_at", BigInteger),
        *more,
    )


labels = _view("labels", Column("ranks", JSON))
decisions = _view("decisions", Column("seen", JSON))
