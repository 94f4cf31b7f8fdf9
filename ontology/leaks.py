"""Leaked keys: ended as their organisation wants it, with an event and a notice, whoever found them.

Whoever holds the text of a key can prove that it has leaked by showing it, so a report needs no account. What happens
is the organisation's choice, `leakedKeys` in the settings of its root group: `revoke` (the default), or `shorten`,
which leaves the key a day to be replaced in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor, operator_actor
from ontology.database import open_duty, open_transaction
from ontology.errors import InvalidApiKey, NotFound
from ontology.groups import LEAK_POLICY, get_organisation
from ontology.ids import ThingId
from ontology.key_bounds import BEFORE_LEAK, find_end
from ontology.key_secrets import KeySecret, digest_key, redact_keys
from ontology.key_shapes import describe_status
from ontology.keys import end_key, record_key_event
from ontology.limits import Limiter
from ontology.records import Input, Moment, Record, parse_moment, to_epoch_ms
from ontology.thing_rows import Status, Thing
from ontology.things import add_thing

SHORTEN = "shorten"
SHORTENED_LIFE = timedelta(hours=24)
_LOOKED_UP_AT_ONCE = 1_000
_PLACE_LENGTH_MAX = 500


class LeakSource(StrEnum):
    """Who found a key, or where it stood."""

    OWNER = "owner"
    PUBLIC = "public_report"
    GITHUB = "github"
    ADDRESS = "request_address"
    BODY = "request_body"


class LeakReport(Input):
    """A key that stands where it should not."""

    key: Annotated[str, PydanticField(min_length=1, max_length=200)] = PydanticField(
        description="The whole text of the key.", examples=["org_k7m2x9q4ra_key_…"]
    )
    url: Annotated[str, PydanticField(max_length=2_000)] | None = PydanticField(
        default=None, description="Where it was found.", examples=["https://github.com/acme/shop/blob/main/.env"]
    )


class Leak(Record):
    """A leaked key and what became of it."""

    key_id: ThingId
    name: str
    prefix: str
    status: str
    expires_at: Moment | None
    revoked_at: Moment | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Where keys were found, and by whom."""

    source: LeakSource
    place: str | None = None

    def metadata(self) -> dict[str, Any]:
        place = redact_keys(self.place)[:_PLACE_LENGTH_MAX] if self.place else None
        return {"source": self.source.value} | ({"foundAt": place} if place else {})


async def report_own_leak(
    session: AsyncSession, actor: Actor, report: LeakReport, *, pepper: str, now: datetime
) -> Leak:
    """End a key within the actor's reach; the caller raises the authorisation epoch after commit.

    Repeating is harmless.

    Raises:
        NotFound: it is no key, or none within reach.
    """
    try:
        digest = digest_key(report.key, pepper)
    except InvalidApiKey:
        raise NotFound from None
    secret = (await session.exec(KeySecret.visible_to(actor).where(col(KeySecret.digest) == digest))).first()
    if secret is None:
        raise NotFound
    finding = Finding(LeakSource.OWNER, report.url)
    (key,) = await _end_keys(session, actor, {secret.key_id: finding}, now)
    return _describe(key, now)


async def end_leaked_keys(
    engine: AsyncEngine, limiter: Limiter, found: Mapping[str, Finding], *, pepper: str, now: datetime
) -> set[str]:
    """End every real key among texts, each organisation's in a transaction of its own; which texts were real.

    The cost of texts that are no keys is a checksum, and of well-made ones a share of a look-up of a thousand. When
    this returns, every key it ended is dead on its next request on every process. Repeating is harmless.

    Raises:
        RedisError: a change is stored, but could not be announced to every process.
    """
    digests = _digest_all(found, pepper)
    owners = await _find_owners(engine, list(digests))
    real: set[str] = set()
    for org_id, secrets in owners.items():
        texts = {secret.key_id: digests[secret.digest] for secret in secrets}
        actor = operator_actor(org_id)
        async with open_transaction(engine, actor) as session:
            await _end_keys(session, actor, {key_id: found[text] for key_id, text in texts.items()}, now)
        await limiter.raise_epoch(org_id)
        real.update(texts.values())
    return real


async def _find_owners(engine: AsyncEngine, digests: Sequence[bytes]) -> dict[UUID, list[KeySecret]]:
    """Stored keys by organisation (duty `leaks`)."""
    owners: dict[UUID, list[KeySecret]] = {}
    if not digests:
        return owners
    async with open_duty(engine, "leaks") as session:
        for start in range(0, len(digests), _LOOKED_UP_AT_ONCE):
            some = digests[start : start + _LOOKED_UP_AT_ONCE]
            for secret in (await session.exec(select(KeySecret).where(col(KeySecret.digest).in_(some)))).all():
                owners.setdefault(secret.org_id, []).append(secret)
    return owners


def _digest_all(texts: Iterable[str], pepper: str) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for text in texts:
        try:
            found[digest_key(text, pepper)] = text
        except InvalidApiKey:
            continue
    return found


async def _end_keys(
    session: AsyncSession, actor: Actor, found: Mapping[UUID, Finding], now: datetime
) -> Sequence[Thing]:
    """In the order of their ids, so that two alerts about the same keys do not wait for one another in a circle."""
    organisation = await get_organisation(session, actor)
    shorten = organisation.settings.get(LEAK_POLICY) == SHORTEN
    query = Thing.visible_to(actor).where(col(Thing.id).in_(found), col(Thing.type) == "api_key")
    keys = (await session.exec(query.order_by(col(Thing.id)).with_for_update())).all()
    for key in keys:
        if describe_status(key.status, key.properties, now) in ("revoked", "expired") or (
            shorten and key.properties.get("leakedAt")
        ):
            continue
        finding = found[key.id]
        key.properties = key.properties | {"leakedAt": to_epoch_ms(now)}
        if shorten:
            _shorten_life(session, actor, key, finding, now)
        else:
            end_key(session, actor, key, now, "leaked", finding.metadata())
        await _leave_notice(session, actor, key, finding, shorten=shorten)
    return keys


def _shorten_life(session: AsyncSession, actor: Actor, key: Thing, finding: Finding, now: datetime) -> None:
    last = to_epoch_ms(now + SHORTENED_LIFE)
    expires = min(last, find_end(key.properties) or last)
    before = {BEFORE_LEAK: key.properties.get("expiresAt")}
    key.properties, key.updated_at = key.properties | before | {"expiresAt": expires}, now
    told = {"thingType": "api_key", "action": "shortened", "reason": "leaked", "expiresAt": expires}
    record_key_event(session, actor, "thing_updated", key, **told, **finding.metadata())


async def _leave_notice(session: AsyncSession, actor: Actor, key: Thing, finding: Finding, *, shorten: bool) -> None:
    where = finding.metadata().get("foundAt") or finding.source.value.replace("_", " ")
    ended = "stops working within 24 hours" if shorten else "was revoked"
    notice = Thing(
        org_id=actor.org_id,
        group_id=key.group_id,
        type="notification",
        name=f"The API key “{key.name}” has leaked"[:500],
        status=Status.ACTIVE,
        properties={
            "title": f"The API key “{key.name}” has leaked",
            "message": f"The key {key.properties['prefix']}… was found ({where}) and {ended}. Replace it.",
            "type": "warning",
            "channel": "in_app",
            "read": False,
            "actionUrl": "/keys",
            "actionLabel": "See your keys",
        },
        created_by=actor.id,
    )
    await add_thing(session, actor, notice)


def _describe(key: Thing, now: datetime) -> Leak:
    properties = key.properties
    expires, revoked = properties.get("expiresAt"), properties.get("revokedAt")
    return Leak.model_construct(
        key_id=key.id,
        name=key.name,
        prefix=properties["prefix"],
        status=describe_status(key.status, key.properties, now),
        expires_at=parse_moment(expires) if expires else None,
        revoked_at=parse_moment(revoked) if revoked else None,
    )
