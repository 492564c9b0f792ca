"""People: pseudonyms, who they are (kept apart), what they may do, and what proves that it is they."""

import secrets
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Executable, Select, delete, exists, insert, select, update

from gnomon.errors import ConfigError, DataError
from gnomon.labelling.settings import Permission, Role
from gnomon.labelling.store import journal
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.prepared import prepared
from gnomon.labelling.store.tables import (
    annotators,
    api_keys,
    identities,
    invitations,
    memberships,
    projects,
    sessions,
    subjects,
)
from gnomon.labelling.tokens import digest, new_token, password_fits

HOUR = 3600 * 1000
SESSION_MS = 14 * 24 * HOUR
INVITATION_MS = 7 * 24 * HOUR
KEY_PREFIX = "gnomon_"
NO_GOOD = "this link was used already or is too old; ask for another"
"""What is said of an invitation that gives nothing."""


class Annotator(NamedTuple):
    """Somebody by pseudonym. Site administrators may do everything in every project."""

    id: int
    pseudonym: str
    site_admin: bool


class Invitation(NamedTuple):
    """What a one-time link gives: a role in a project, or in all of them where there is none."""

    token_hash: str
    project_id: int | None
    role: Role


class Key(NamedTuple):
    """What an API key lets its annotator's programs do."""

    annotator: Annotator
    scopes: frozenset[Permission]
    project_id: int | None


class Member(NamedTuple):
    """Somebody in a project."""

    pseudonym: str
    role: Role


def has_site_admin(tx: Transaction) -> bool:
    """Whether anybody administers the site; a fresh one has nobody."""
    return bool(tx.connection.execute(select(exists().where(annotators.c.site_admin))).scalar())


def invite(tx: Transaction, role: Role, project: int | None = None, actor: int | None = None) -> str:
    """A one-time token; without a project it makes a site administrator. What is kept is its digest."""
    if project is None and role != "admin":
        raise ConfigError("only administrators can be invited to all projects; name a project")
    token = new_token()
    tx.connection.execute(
        insert(invitations).values(
            token_hash=digest(token),
            project_id=project,
            role=role,
            created_at=tx.now,
            expires_at=tx.now + INVITATION_MS,
        )
    )
    journal.note(tx, "invitation made", actor=actor, project=project, role=role)
    return token


def withdraw_site_invitations(tx: Transaction) -> None:
    """Make earlier links to administer the site worthless: a new one replaces them."""
    tx.connection.execute(
        delete(invitations).where(invitations.c.project_id.is_(None), invitations.c.used_at.is_(None))
    )


def invitation(tx: Transaction, token: str, *, hold: bool = False) -> Invitation | None:
    """What a token gives, or None where it is unknown, used or too old; nobody else uses it meanwhile if it
    is to be used (`hold`)."""
    query = select(invitations.c.token_hash, invitations.c.project_id, invitations.c.role).where(
        invitations.c.token_hash == digest(token),
        invitations.c.used_at.is_(None),
        invitations.c.expires_at > tx.now,
    )
    row = tx.connection.execute(query.with_for_update() if hold else query).one_or_none()
    return Invitation(*row) if row else None


def good_invitation(tx: Transaction, token: str, *, hold: bool = False) -> Invitation:
    """What a token gives; DataError where that is nothing."""
    if (given := invitation(tx, token, hold=hold)) is None:
        raise DataError(NO_GOOD)
    return given


def accept(tx: Transaction, token: str, name: str, password_hash: str) -> Annotator:
    """Use up an invitation by a new account; DataError where it is no good, or the name is taken."""
    given = good_invitation(tx, token, hold=True)
    name = name.strip()
    if not 1 <= len(name) <= 128:
        raise DataError("a name has 1 to 128 characters; choose another")
    if tx.connection.execute(select(exists().where(identities.c.name == name))).scalar():
        raise DataError("somebody has this name already; choose another")
    annotator = add_annotator(tx, site_admin=given.project_id is None)
    tx.connection.execute(
        insert(identities).values(annotator_id=annotator.id, name=name, password_hash=password_hash)
    )
    _use(tx, given, annotator)
    return annotator


def enter(tx: Transaction, token: str) -> Annotator | None:
    """Use up an invitation by somebody new whom a provider vouches for; None where it is no good."""
    if (given := invitation(tx, token, hold=True)) is None:
        return None
    annotator = add_annotator(tx, site_admin=given.project_id is None)
    _use(tx, given, annotator)
    return annotator


def accept_as(tx: Transaction, token: str, annotator: Annotator) -> None:
    """Use up an invitation by somebody who has an account; DataError where it gives nothing new."""
    given = good_invitation(tx, token, hold=True)
    if given.project_id is None:
        raise DataError(NO_GOOD)
    if role_in(tx, given.project_id, annotator) is not None:
        raise DataError("you are in this project already; keep the link for somebody else")
    _use(tx, given, annotator)


def _use(tx: Transaction, given: Invitation, annotator: Annotator) -> None:
    tx.connection.execute(
        update(invitations).where(invitations.c.token_hash == given.token_hash).values(used_at=tx.now)
    )
    if given.project_id is not None:
        join(tx, given.project_id, annotator.id, given.role)
    journal.note(tx, "invitation accepted", actor=annotator.id, project=given.project_id, role=given.role)


def forget(tx: Transaction, pseudonym: str) -> None:
    """Erase who somebody is and every way in; the votes stay, under the pseudonym. ConfigError for nobody."""
    who = select(annotators.c.id).where(annotators.c.pseudonym == pseudonym)
    key = tx.connection.execute(who).scalar_one_or_none()
    if key is None:
        raise ConfigError(f"there is no annotator {pseudonym!r}; gnomon label stats lists them")
    addresses = select(subjects.c.email).where(subjects.c.annotator_id == key)
    tx.connection.execute(delete(invitations).where(invitations.c.email.in_(addresses)))
    for table in (sessions, api_keys, memberships, identities, subjects):
        tx.connection.execute(delete(table).where(table.c.annotator_id == key))
    tx.connection.execute(update(annotators).where(annotators.c.id == key).values(site_admin=False))
    journal.note(tx, "annotator forgotten", actor=key)


def add_annotator(tx: Transaction, *, site_admin: bool = False) -> Annotator:
    """A new pseudonym without an identity: a person who accepts an invitation, or a program."""
    pseudonym = f"a-{secrets.token_hex(5)}"
    values = {"pseudonym": pseudonym, "site_admin": site_admin, "created_at": tx.now}
    key = tx.connection.execute(insert(annotators).values(values).returning(annotators.c.id)).scalar_one()
    return Annotator(key, pseudonym, site_admin)


def join(tx: Transaction, project: int, annotator: int, role: Role) -> None:
    """Give somebody a role in a project."""
    tx.connection.execute(insert(memberships).values(project_id=project, annotator_id=annotator, role=role))


def set_role(tx: Transaction, project: int, pseudonym: str, role: Role, actor: int | None = None) -> bool:
    """Give somebody in a project another role there; False where there is nobody of this pseudonym."""
    who = select(annotators.c.id).where(annotators.c.pseudonym == pseudonym).scalar_subquery()
    done = tx.connection.execute(
        update(memberships)
        .where(memberships.c.project_id == project, memberships.c.annotator_id == who)
        .values(role=role)
    )
    if done.rowcount:
        journal.note(tx, "role changed", actor=actor, project=project, member=pseudonym, role=role)
    return bool(done.rowcount)


def role_in(tx: Transaction, project: int, annotator: Annotator) -> Role | None:
    """The role somebody has in a project, or None; site administrators are administrators everywhere."""
    if annotator.site_admin:
        return "admin"
    found: Role | None = _role(tx, project, annotator.id).scalar_one_or_none()
    return found


def members(tx: Transaction, project: int) -> list[Member]:
    """Everybody in a project, in the order they came."""
    query = (
        select(annotators.c.pseudonym, memberships.c.role)
        .join(memberships, memberships.c.annotator_id == annotators.c.id)
        .where(memberships.c.project_id == project)
        .order_by(annotators.c.id)
    )
    return [Member(*row) for row in tx.connection.execute(query)]


def check_password(tx: Transaction, name: str, password: str) -> Annotator | None:
    """Whoever has this name and password, or None. Takes as long for a name that nobody has."""
    query = _annotators().add_columns(identities.c.password_hash).join(identities)
    row = tx.connection.execute(query.where(identities.c.name == name.strip())).one_or_none()
    if not password_fits(password, row.password_hash if row else None) or row is None:
        return None
    return Annotator(row.id, row.pseudonym, row.site_admin)


def pseudonym_of(tx: Transaction, name: str) -> str | None:
    """The pseudonym of who has a name, which is what may be said of them; None for a name that nobody has."""
    who = select(annotators.c.pseudonym).join(identities).where(identities.c.name == name.strip())
    found: str | None = tx.connection.execute(who).scalar_one_or_none()
    return found


def open_session(tx: Transaction, annotator: int) -> str:
    """The token of a new session."""
    token = new_token()
    tx.connection.execute(delete(sessions).where(sessions.c.expires_at <= tx.now))
    tx.connection.execute(
        insert(sessions).values(
            token_hash=digest(token),
            annotator_id=annotator,
            created_at=tx.now,
            expires_at=tx.now + SESSION_MS,
        )
    )
    return token


def close_session(tx: Transaction, token: str) -> None:
    """End a session."""
    tx.connection.execute(delete(sessions).where(sessions.c.token_hash == digest(token)))


def session_of(tx: Transaction, token: str) -> Annotator | None:
    """Whose session this is, or None where it is unknown or over."""
    row = _session(tx, digest(token), tx.now).one_or_none()
    return Annotator(*row) if row else None


def create_key(
    tx: Transaction, annotator: int, scopes: Collection[Permission], project: int | None = None
) -> str:
    """A new API key; it is shown once, what is kept is its digest and its first characters."""
    token = new_token(KEY_PREFIX)
    tx.connection.execute(
        insert(api_keys).values(
            token_hash=digest(token),
            hint=token.removeprefix(KEY_PREFIX)[:4],
            annotator_id=annotator,
            project_id=project,
            scopes=sorted(scopes),
            created_at=tx.now,
        )
    )
    journal.note(tx, "key made", actor=annotator, project=project, scopes=sorted(scopes))
    return token


def key_of(tx: Transaction, token: str) -> Key | None:
    """What a key may do, or None where it is unknown or revoked."""
    row = _key(tx, digest(token)).one_or_none()
    if row is None:
        return None
    return Key(Annotator(row.id, row.pseudonym, row.site_admin), frozenset(row.scopes), row.project_id)


def keys_of(tx: Transaction, annotator: int) -> list[dict[str, Any]]:
    """Somebody's keys that work, as far as they may be shown."""
    columns = (api_keys.c.id, api_keys.c.hint, api_keys.c.scopes, projects.c.slug, api_keys.c.created_at)
    query = select(*columns).outerjoin(projects, projects.c.id == api_keys.c.project_id)
    query = query.where(api_keys.c.annotator_id == annotator, api_keys.c.revoked_at.is_(None))
    rows = tx.connection.execute(query.order_by(api_keys.c.id))
    names = ("id", "hint", "scopes", "project", "created_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def revoke_key(tx: Transaction, annotator: int, key: int) -> None:
    """Make one of somebody's keys worthless."""
    done = tx.connection.execute(
        update(api_keys)
        .where(api_keys.c.id == key, api_keys.c.annotator_id == annotator, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=tx.now)
    )
    if done.rowcount:
        journal.note(tx, "key revoked", actor=annotator, key=key)


@prepared
def _role(project: int, annotator: int) -> Executable:
    own = memberships.c.project_id == project, memberships.c.annotator_id == annotator
    return select(memberships.c.role).where(*own)


@prepared
def _session(token_hash: str, now: int) -> Executable:
    found = _annotators().join(sessions, sessions.c.annotator_id == annotators.c.id)
    return found.where(sessions.c.token_hash == token_hash, sessions.c.expires_at > now)


@prepared
def _key(token_hash: str) -> Executable:
    found = _annotators().add_columns(api_keys.c.scopes, api_keys.c.project_id)
    found = found.join(api_keys, api_keys.c.annotator_id == annotators.c.id)
    return found.where(api_keys.c.token_hash == token_hash, api_keys.c.revoked_at.is_(None))


def _annotators() -> Select[Any]:
    return select(annotators.c.id, annotators.c.pseudonym, annotators.c.site_admin)
