"""Idempotency: a POST repeated with its key has one effect, and is answered byte for byte as the first time.

The answer is stored in the transaction of the effect, so there is never one without the other. Records belong to the
key that made the request and live for 24 hours. Bodies are sealed: some show a key or a code that is kept nowhere else.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Index, LargeBinary, Text, Uuid, text
from sqlmodel import Field, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.errors import Flaw, IdempotencyInFlight, IdempotencyKeyReused
from ontology.records import TenantRow, Timestamp
from ontology.sealing import SealBroken, seal, unseal

LIFE = timedelta(hours=24)
KEY_LENGTH_MAX = 255


class IdempotencyRecord(TenantRow, table=True):
    """An answer given, under the key it was asked with."""

    __tablename__ = "idempotency_records"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_idempotency_records_created_at", "created_at"),)
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    key_id: UUID = Field(sa_type=Uuid, primary_key=True)
    idempotency_key: str = Field(sa_type=Text, primary_key=True)
    group_id: UUID = Field(sa_type=Uuid)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    status: int
    media_type: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Timestamp)
    etag: str | None = Field(default=None, sa_type=Text)


@dataclass(frozen=True, slots=True)
class Intent:
    """One request that wants to happen once."""

    idempotency_key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer given before."""

    status: int
    body: bytes
    etag: str | None


def describe_intent(idempotency_key: str, method: str, path: str, query: bytes, body: bytes) -> Intent:
    """What makes two requests the same: operation and body."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), query, body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Intent(idempotency_key, digest.digest())


async def find_answer(
    session: AsyncSession, actor: Actor, intent: Intent, *, secret: str, now: datetime
) -> KeptAnswer | None:
    """The answer given before, or None, in which case this transaction alone may act on the intent.

    Raises:
        IdempotencyInFlight: another request with the key is running. IdempotencyKeyReused: it was another request, or
            the secret under which its answer was sealed is gone.
    """
    lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 1))")
    name = _describe_place(actor, intent)
    if not (await run_sql(session, lock, {"name": name})).scalar_one():
        raise IdempotencyInFlight(retry_after_seconds=1)
    query = select(IdempotencyRecord).where(
        IdempotencyRecord.org_id == actor.org_id,
        IdempotencyRecord.key_id == actor.key_id,
        IdempotencyRecord.idempotency_key == intent.idempotency_key,
    )
    found = (await session.exec(query)).first()
    if found is None:
        return None
    if found.created_at + LIFE <= now:
        await session.delete(found)
        await session.flush()
        return None
    if found.fingerprint != intent.fingerprint:
        flaw = Flaw("header.Idempotency-Key", "was used with another body or operation", "use a new key")
        raise IdempotencyKeyReused(flaws=[flaw])
    try:
        return KeptAnswer(found.status, unseal(secret, name, found.body), found.etag)
    except SealBroken:
        flaw = Flaw("header.Idempotency-Key", "its answer can no longer be read", "look what was done, use a new key")
        raise IdempotencyKeyReused(flaws=[flaw]) from None


def keep_answer(
    session: AsyncSession,
    actor: Actor,
    intent: Intent,
    *,
    secret: str,
    status: int,
    media_type: str,
    body: bytes,
    now: datetime,
    etag: str | None = None,
) -> None:
    """Store an answer in the transaction of its effect."""
    if actor.key_id is None:
        return
    session.add(
        IdempotencyRecord(
            org_id=actor.org_id,
            key_id=actor.key_id,
            idempotency_key=intent.idempotency_key,
            group_id=actor.group_id,
            fingerprint=intent.fingerprint,
            status=status,
            media_type=media_type,
            body=seal(secret, _describe_place(actor, intent), body),
            created_at=now,
            etag=etag,
        )
    )


def _describe_place(actor: Actor, intent: Intent) -> str:
    return f"{actor.org_id}|{actor.key_id}|{intent.idempotency_key}"


async def forget_old_answers(session: AsyncSession, now: datetime) -> None:
    """Delete records past their life (duty `housekeeping`)."""
    await run_sql(session, text("DELETE FROM idempotency_records WHERE created_at < :limit"), {"limit": now - LIFE})
