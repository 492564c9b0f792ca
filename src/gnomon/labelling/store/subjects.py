"""People who sign in with an account elsewhere: who they are there, and what they may do here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gnomon.errors import DataError
from gnomon.labelling.settings import Role
from gnomon.labelling.sign_in import Person, compared
from gnomon.labelling.store import journal, people, projects
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.people import INVITATION_MS, Annotator
from gnomon.labelling.store.tables import annotators, invitations, memberships, sign_ins, subjects
from gnomon.labelling.tokens import digest, new_token

SIGN_IN_MS = 10 * 60 * 1000
"""How long somebody may take at the provider."""


class Offers(NamedTuple):
    """What the settings of a provider give somebody: a role, or none, in each project that rules speak of,
    and projects whose annotator everybody is who may come in."""

    ruled: Mapping[str, Role | None]
    open: Sequence[str]


class Admitted(NamedTuple):
    """The session of somebody who was let in, for the first time or again."""

    session: str
    new: bool


def begin(tx: Transaction, state: str, secret: str) -> None:
    """Keep that a sign-in was begun: digests of what the provider sends back and what the browser keeps."""
    tx.connection.execute(delete(sign_ins).where(sign_ins.c.expires_at <= tx.now))
    tx.connection.execute(
        insert(sign_ins).values(
            state_hash=digest(state), browser_hash=digest(secret), expires_at=tx.now + SIGN_IN_MS
        )
    )


def finish(tx: Transaction, state: str, secret: str) -> bool:
    """Whether a sign-in was begun by this browser, lately, and not finished yet; it is finished now."""
    done = tx.connection.execute(
        delete(sign_ins).where(
            sign_ins.c.state_hash == digest(state),
            sign_ins.c.browser_hash == digest(secret),
            sign_ins.c.expires_at > tx.now,
        )
    )
    return bool(done.rowcount)


def invite_address(tx: Transaction, project: int, email: str, role: Role, actor: int | None = None) -> None:
    """Let whoever signs in with an address have a role; DataError for what is no address."""
    email = compared(email)
    name, _, domain = email.rpartition("@")
    if not name or not domain or not email.isprintable() or " " in email or len(email) > 320:
        raise DataError(f"{email[:100]!r} is no e-mail address; write it as ada@example.org")
    gone = (invitations.c.expires_at <= tx.now) & invitations.c.email.is_not(None)
    tx.connection.execute(delete(invitations).where(gone))
    tx.connection.execute(
        insert(invitations).values(
            token_hash=digest(new_token()),  # of a token that nobody is told
            project_id=project,
            role=role,
            created_at=tx.now,
            expires_at=tx.now + INVITATION_MS,
            email=email,
        )
    )
    journal.note(tx, "invitation made", actor=actor, project=project, role=role, by="address")


def let_in(store: Store, person: Person, offers: Offers, link: str = "") -> Admitted | None:
    """Let somebody in, with the roles that are theirs now; None for somebody new whom nothing lets in.

    That is an invitation of their address, what the settings of the provider give, or a one-time link.
    """
    try:
        with store.write() as tx:
            return _admitted(tx, person, offers, link)
    except IntegrityError:  # somebody new, in two browsers at the same moment: now they are known
        with store.write() as tx:
            return _admitted(tx, person, offers, link)


def _admitted(tx: Transaction, person: Person, offers: Offers, link: str) -> Admitted | None:
    known = _known(tx, person)
    invited = _invited(tx, person.email)
    annotator = known
    if annotator is None and link:
        annotator = people.enter(tx, link)
    if annotator is None and (invited or offers.open or any(offers.ruled.values())):
        annotator = people.add_annotator(tx)
    if annotator is None:
        return None
    _remember(tx, person, annotator, new=known is None)
    ruled = {projects.named(tx, slug).id: role for slug, role in offers.ruled.items()}
    for project, role in ruled.items():
        _rule(tx, annotator, project, role)
    for slug in offers.open:
        invited.setdefault(projects.named(tx, slug).id, "annotator")
    for project, role in invited.items():
        if project not in ruled and _role(tx, project, annotator.id) is None:
            _join(tx, annotator, project, role)
    journal.note(tx, "signed in", actor=annotator.id, by="openid")
    return Admitted(people.open_session(tx, annotator.id), known is None)


def _known(tx: Transaction, person: Person) -> Annotator | None:
    query = (
        select(annotators.c.id, annotators.c.pseudonym, annotators.c.site_admin)
        .join(subjects, subjects.c.annotator_id == annotators.c.id)
        .where(subjects.c.issuer == person.issuer, subjects.c.subject == person.subject)
    )
    row = tx.connection.execute(query).one_or_none()
    return Annotator(*row) if row else None


def _invited(tx: Transaction, email: str) -> dict[int, Role]:
    """The roles that invitations of an address give; they are used up, and forget the address."""
    theirs = (invitations.c.email == email) & (invitations.c.expires_at > tx.now)
    query = select(invitations.c.project_id, invitations.c.role).where(theirs)
    rows = tx.connection.execute(query.order_by(invitations.c.created_at))
    found: dict[int, Role] = {row.project_id: row.role for row in rows}
    tx.connection.execute(update(invitations).where(theirs).values(used_at=tx.now, email=None))
    return found


def _remember(tx: Transaction, person: Person, annotator: Annotator, *, new: bool) -> None:
    key = {"issuer": person.issuer, "subject": person.subject}
    if new:
        values = key | {"annotator_id": annotator.id, "email": person.email}
        tx.connection.execute(insert(subjects).values(values))
        return
    tx.connection.execute(update(subjects).filter_by(**key).values(email=person.email))


def _role(tx: Transaction, project: int, annotator: int) -> Role | None:
    """The role somebody was given in a project, whatever a site administrator may do there besides."""
    found: Role | None = tx.connection.execute(
        select(memberships.c.role).filter_by(project_id=project, annotator_id=annotator)
    ).scalar_one_or_none()
    return found


def _join(tx: Transaction, annotator: Annotator, project: int, role: Role) -> None:
    people.join(tx, project, annotator.id, role)
    journal.note(tx, "member joined", actor=annotator.id, project=project, role=role, by="openid")


def _rule(tx: Transaction, annotator: Annotator, project: int, role: Role | None) -> None:
    """Give somebody the role in a project that the provider's claim says, or take away the one they had."""
    now = _role(tx, project, annotator.id)
    if now == role:
        return
    if role is None:
        tx.connection.execute(delete(memberships).filter_by(project_id=project, annotator_id=annotator.id))
        journal.note(tx, "member removed", actor=annotator.id, project=project, by="openid")
    elif now is None:
        _join(tx, annotator, project, role)
    else:
        people.set_role(tx, project, annotator.pseudonym, role, annotator.id)
