"""Accounts: how a person signs in to the portal. A password's hash and a session's digest are never returned.

An account belongs to no group; row-level security shows it to the organisation it was made in, and to a transaction
that states the e-mail address. It signs in as one of its people (`Person.account_id`), each of whom stands in one
group. A session is shown to its organisation and to who holds its token.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, Uuid, delete
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor, platform_actor
from ontology.database import state, state_actor
from ontology.errors import NotFound
from ontology.events import record_event
from ontology.groups import ACTIVE, Group, find_ancestor_ids
from ontology.ids import encode_id, new_id
from ontology.passwords import matches_hash
from ontology.people import Person, act_as
from ontology.plans import Plan
from ontology.records import Record, Timestamp
from ontology.roles import Role
from ontology.scopes import Scope

SESSION_LIFE = timedelta(days=14)
# A page offers no more places to go to than this.
MEMBERSHIPS_SHOWN = 20


class Account(Record, table=True):
    """One e-mail address, one account."""

    __tablename__ = "accounts"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("email"),
        ForeignKeyConstraint(["org_id", "person_id"], ["people.org_id", "people.id"]),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True, sa_type=Uuid)
    email: str = Field(sa_type=Text)
    password_hash: str = Field(sa_type=Text)
    org_id: UUID = Field(sa_type=Uuid)
    person_id: UUID = Field(sa_type=Uuid)
    created_at: datetime = Field(sa_type=Timestamp)


class PortalSession(Record, table=True):
    """A signed-in browser; `digest` is of the token in its cookie."""

    __tablename__ = "portal_sessions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "person_id"], ["people.org_id", "people.id"]),
        Index("ix_portal_sessions_expires_at", "expires_at"),
    )
    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    org_id: UUID = Field(sa_type=Uuid)
    person_id: UUID = Field(sa_type=Uuid)
    created_at: datetime = Field(sa_type=Timestamp)
    expires_at: datetime = Field(sa_type=Timestamp)


@dataclass(frozen=True, slots=True)
class Membership:
    """One of the people an account may sign in as."""

    person_id: UUID
    org_id: UUID
    label: str

    @property
    def text_id(self) -> str:
        return encode_id("person", self.person_id)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is behind a session, and as whom else the account may act."""

    actor: Actor
    person_name: str
    email: str
    organisation_name: str
    handle: str
    role: Role = Role.ORG_OWNER
    group_name: str = ""
    """Empty for who acts in the organisation as a whole."""
    memberships: tuple[Membership, ...] = ()

    @property
    def place(self) -> str:
        """Where they act, in words."""
        return _name_place(self.organisation_name, self.group_name)

    def may(self, scope: str) -> bool:
        return Scope(scope) in self.actor.scopes


def normalise_email(email: str) -> str:
    return email.strip().lower()


def digest_token(token: str) -> bytes:
    """Session tokens are random, so a plain hash cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()


async def create_account(session: AsyncSession, person: Person, password_hash: str, now: datetime) -> Account:
    """Give a person a way to sign in; the database refuses a second account for one e-mail address."""
    account = Account(
        email=normalise_email(person.email),
        password_hash=password_hash,
        org_id=person.org_id,
        person_id=person.id,
        created_at=now,
    )
    session.add(account)
    await session.flush()
    person.account_id = account.id
    await session.flush()
    return account


async def verify_password(session: AsyncSession, email: str, password: str) -> Account | None:
    """The account, if the password is right; takes as long when there is no such account.

    The session comes from `open_lookup(email=…)`.
    """
    query = select(Account).where(Account.email == normalise_email(email))
    account = (await session.exec(query)).first()
    matches = await matches_hash(password, account.password_hash if account else None)
    return account if matches else None


async def set_password(
    session: AsyncSession, account: Account, password_hash: str, *, kept: str = "", by_operator: bool = False
) -> int:
    """Give an account another password; how many sessions this ended, in all its organisations.

    Every session ends but the one of the token `kept`, and each place the account belongs to gets the event. API keys
    stay as they are. The session comes from `open_lookup(email=…)`.
    """
    await state(session, {"org_id": str(account.org_id), "group_id": str(account.org_id)})
    account.password_hash = password_hash
    await session.flush()
    ended = 0
    for person in await _list_people(session, account.id, limit=None):
        await _state_person(session, person)
        ended += await close_sessions_of(session, person, kept)
        actor = act_as(person, Plan.STARTER)
        acting = replace(actor, id=platform_actor().id) if by_operator else actor
        record_event(session, acting, "password_reset_completed", group_id=person.group_id, target_id=actor.id)
        await session.flush()
    return ended


async def find_account(session: AsyncSession, email: str) -> Account | None:
    """The account of an e-mail address; the session comes from `open_lookup(email=…)`."""
    return (await session.exec(select(Account).where(Account.email == normalise_email(email)))).first()


async def find_home(session: AsyncSession, account: Account) -> Person | None:
    """The person to sign in as: the one who made the account, or else the oldest whose group is active.

    None: the account belongs nowhere any more.
    """
    people = await _list_people(session, account.id)
    people.sort(key=lambda person: (person.id != account.person_id, person.id))
    for person in people:
        if await _find_place(session, person) is not None:
            return person
    return None


async def open_session(session: AsyncSession, person: Person, now: datetime) -> str:
    """Sign in as a person: a new random token, of which only the digest is stored."""
    token = secrets.token_urlsafe(32)
    await _state_person(session, person)
    session.add(
        PortalSession(
            digest=digest_token(token),
            org_id=person.org_id,
            person_id=person.id,
            created_at=now,
            expires_at=now + SESSION_LIFE,
        )
    )
    actor = act_as(person, Plan.STARTER)
    record_event(session, actor, "user_login", group_id=person.group_id, target_id=actor.id)
    await session.flush()
    return token


async def find_session(session: AsyncSession, token: str, now: datetime) -> SignedIn | None:
    """Who holds the token, if its session is alive; the session comes from `open_lookup(session_digest=…)`."""
    query = select(PortalSession).where(PortalSession.digest == digest_token(token))
    found = (await session.exec(query)).first()
    if found is None or found.expires_at <= now:
        return None
    await state(session, {"org_id": str(found.org_id), "group_id": str(found.org_id)})
    person = (await session.exec(select(Person).where(col(Person.id) == found.person_id))).one()
    if person.status != ACTIVE or (place := await _find_place(session, person)) is None:
        return None
    organisation, group = place
    ancestors = await find_ancestor_ids(session, person.org_id, group.id)
    actor = act_as(person, Plan(organisation.plan), ancestors, organisation.features_on)
    return SignedIn(
        actor=actor,
        person_name=person.name,
        email=person.email,
        organisation_name=organisation.name,
        handle=organisation.handle or "",
        role=Role(person.role),
        group_name=group.name if group.id != organisation.id else "",
        memberships=await _list_memberships(session, person),
    )


async def switch_session(session: AsyncSession, signed_in: SignedIn, token: str, person_id: UUID, now: datetime) -> str:
    """Go on as another person of the same account, under a new token; the old one is worthless from here on.

    The session comes from `open_lookup(session_digest=…)`.

    Raises:
        NotFound: the account has no such person, or their group is archived.
    """
    chosen = next((found for found in signed_in.memberships if found.person_id == person_id), None)
    if chosen is None:
        raise NotFound
    await state_actor(session, signed_in.actor)
    await close_session(session, signed_in.actor, token)
    await session.flush()
    await state(session, {"org_id": str(chosen.org_id), "group_id": str(chosen.org_id)})
    person = (await session.exec(select(Person).where(col(Person.id) == chosen.person_id))).one()
    return await open_session(session, person, now)


async def _list_people(session: AsyncSession, account_id: UUID, limit: int | None = MEMBERSHIPS_SHOWN) -> list[Person]:
    """The active people of an account, in all organisations; whoever was removed has no session any more."""
    await state(session, {"account_id": str(account_id)})
    query = select(Person).where(col(Person.account_id) == account_id, col(Person.status) == ACTIVE)
    return list((await session.exec(query.order_by(col(Person.id)).limit(limit))).all())


async def _list_memberships(session: AsyncSession, current: Person) -> tuple[Membership, ...]:
    """Where the account of a signed-in person may go; empty when there is nowhere else."""
    if current.account_id is None:
        return ()
    people = await _list_people(session, current.account_id)
    if len(people) < 2:
        return ()
    found: list[Membership] = []
    for person in people:
        if (place := await _find_place(session, person)) is not None:
            organisation, group = place
            below = group.name if group.id != organisation.id else ""
            found.append(Membership(person.id, person.org_id, _name_place(organisation.name, below)))
    await _state_person(session, current)
    return tuple(found)


async def _find_place(session: AsyncSession, person: Person) -> tuple[Group, Group] | None:
    """The organisation and the group of a person, unless one of them is archived."""
    await state(session, {"org_id": str(person.org_id), "group_id": str(person.org_id)})
    query = select(Group).where(col(Group.id).in_((person.org_id, person.group_id)), col(Group.status) == ACTIVE)
    groups = {group.id: group for group in (await session.exec(query)).all()}
    if person.org_id not in groups or person.group_id not in groups:
        return None
    return groups[person.org_id], groups[person.group_id]


def _name_place(organisation: str, group: str) -> str:
    return f"{organisation} / {group}" if group else organisation


async def _state_person(session: AsyncSession, person: Person) -> None:
    await state(session, {"org_id": str(person.org_id), "group_id": str(person.group_id)})


async def forget_expired_sessions(session: AsyncSession, now: datetime) -> None:
    """Delete sessions past their life (duty `housekeeping`)."""
    await session.exec(delete(PortalSession).where(col(PortalSession.expires_at) <= now))


async def close_session(session: AsyncSession, actor: Actor, token: str) -> None:
    """Sign out: the token is worthless from here on, on every process."""
    query = select(PortalSession).where(PortalSession.digest == digest_token(token))
    found = (await session.exec(query)).first()
    if found is not None:
        await session.delete(found)
        record_event(session, actor, "user_logout", group_id=actor.group_id, target_id=actor.id)


async def close_sessions_of(session: AsyncSession, person: Person, kept: str = "") -> int:
    """Sign a person out everywhere, on every process, but for the session of the token `kept`; how many ended."""
    query = delete(PortalSession).where(
        col(PortalSession.org_id) == person.org_id,
        col(PortalSession.person_id) == person.id,
        col(PortalSession.digest) != digest_token(kept),
    )
    return (await session.exec(query)).rowcount
