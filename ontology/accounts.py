"""Accounts: how a person signs in to the portal. A password's hash and a session's digest are never returned.

An account belongs to no group; row-level security shows it to its organisation, and to a transaction that states the
e-mail address. A session is shown to its organisation and to who holds its token.
"""

import asyncio
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, Uuid, delete
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor, owner_actor
from ontology.database import state
from ontology.events import record_event
from ontology.groups import ACTIVE, Group
from ontology.ids import new_id
from ontology.people import Person
from ontology.plans import Plan
from ontology.records import Record, Timestamp

SESSION_LIFE = timedelta(days=14)
PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 10, 200
# 19 MiB and two passes (OWASP); two threads, so that a flood of sign-ins takes neither the memory nor the event loop.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")


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
class SignedIn:
    """Who is behind a session."""

    actor: Actor
    person_name: str
    email: str
    organisation_name: str
    handle: str


def normalise_email(email: str) -> str:
    return email.strip().lower()


def digest_token(token: str) -> bytes:
    """Session tokens are random, so a plain hash cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.hash, password)


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


_DUMMY_HASH = _HASHER.hash("no account has this password")


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
    return account


async def verify_password(session: AsyncSession, email: str, password: str) -> Account | None:
    """The account, if the password is right; takes as long when there is no such account.

    The session comes from `open_lookup(email=…)`.
    """
    query = select(Account).where(Account.email == normalise_email(email))
    account = (await session.exec(query)).first()
    stored = account.password_hash if account else _DUMMY_HASH
    matches = await asyncio.get_running_loop().run_in_executor(_POOL, _matches, stored, password)
    return account if account and matches else None


async def find_account(session: AsyncSession, email: str) -> Account:
    """The account of an e-mail address that is known to have one."""
    return (await session.exec(select(Account).where(Account.email == normalise_email(email)))).one()


async def open_session(session: AsyncSession, account: Account, now: datetime) -> str:
    """Sign in: a new random token, of which only the digest is stored."""
    token = secrets.token_urlsafe(32)
    await state(session, {"org_id": str(account.org_id), "group_id": str(account.org_id)})
    session.add(
        PortalSession(
            digest=digest_token(token),
            org_id=account.org_id,
            person_id=account.person_id,
            created_at=now,
            expires_at=now + SESSION_LIFE,
        )
    )
    actor = owner_actor(account.org_id, account.person_id)
    record_event(session, actor, "user_login", group_id=account.org_id, target_id=actor.id)
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
    organisation = (await session.exec(select(Group).where(col(Group.id) == found.org_id))).one()
    if person.status != ACTIVE or organisation.status != ACTIVE:
        return None
    actor = owner_actor(found.org_id, person.id, Plan(organisation.plan))
    return SignedIn(actor, person.name, person.email, organisation.name, organisation.handle or "")


async def forget_expired_sessions(session: AsyncSession, now: datetime) -> None:
    """Delete sessions past their life (duty `housekeeping`)."""
    await session.exec(delete(PortalSession).where(col(PortalSession.expires_at) <= now))


async def close_session(session: AsyncSession, actor: Actor, token: str) -> None:
    """Sign out: the token is worthless from here on, on every process."""
    query = select(PortalSession).where(PortalSession.digest == digest_token(token))
    found = (await session.exec(query)).first()
    if found is not None:
        await session.delete(found)
        record_event(session, actor, "user_logout", group_id=actor.org_id, target_id=actor.id)
