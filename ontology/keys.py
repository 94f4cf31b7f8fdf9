"""API keys: `org_<handle>_key_<secret>`, shown once, kept as an HMAC, dead on the request after they are revoked.

The secret is 32 random bytes in base62 followed by six base62 characters of CRC-32, so a mistyped or invented key is
refused without any I/O. The key itself is a thing of type `api_key`; its HMAC lies in a table no door returns.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, Text, Uuid
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import state, state_actor
from ontology.errors import (
    ExpiredApiKey,
    Flaw,
    GroupArchived,
    InvalidApiKey,
    InvalidRequest,
    NotFound,
    PrivilegeEscalation,
)
from ontology.events import record_event
from ontology.groups import ACTIVE, Group, find_ancestor_ids, get_active_group
from ontology.ids import GroupId, ThingId, decode_id, encode_id
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.plans import PLAN_LIMITS, Plan
from ontology.records import WHOLE, Input, Moment, Record, TenantRow, Timestamp, parse_moment, to_epoch_ms, utc_now
from ontology.scopes import PRESETS, Preset, Scope, expand_scopes
from ontology.things import Status, Thing, add_thing

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_BYTES, SECRET_LENGTH, CHECKSUM_LENGTH, PREFIX_LENGTH = 32, 43, 6, 8
_KEY_FORM = re.compile(rf"org_([0-9a-z]{{4,32}})_key_([0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}})", re.ASCII)
EXPLORER_NAME = "Explorer"
_EXPLORER_LIFE = timedelta(hours=1)
REVOKED = Status.INACTIVE


class KeySecret(TenantRow, table=True):
    """The HMAC of a key's text. Row-level security shows a row only to who knows the digest, or to its group."""

    __tablename__ = "api_key_secrets"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
        Index("ix_api_key_secrets_org_id_key_id", "org_id", "key_id"),
    )
    digest: bytes = Field(primary_key=True, sa_type=LargeBinary, exclude=True)
    group_id: UUID = Field(sa_type=Uuid)
    key_id: UUID = Field(sa_type=Uuid)


class KeyUse(TenantRow, table=True):
    """When and from where a key was last used; the worker writes it from the request log."""

    __tablename__ = "api_key_uses"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
    )
    key_id: UUID = Field(primary_key=True, sa_type=Uuid)
    group_id: UUID = Field(sa_type=Uuid)
    last_used_at: datetime = Field(sa_type=Timestamp)
    last_used_ip: str | None = Field(default=None, sa_type=Text)
    last_used_agent: str | None = Field(default=None, sa_type=Text)
    requests: int = 0


class RateLimit(Input):
    """A key's own limits, within the plan's."""

    requests_per_minute: Annotated[int, PydanticField(ge=1, le=1_000_000, examples=[30]), WHOLE]
    requests_per_day: Annotated[int, PydanticField(ge=1, le=100_000_000, examples=[5000]), WHOLE]


class ApiKeyCreate(Input):
    """A key to create: never wider than the key that creates it, in scope, group, limits or life."""

    name: Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Dashboard"])]
    scopes: (
        Annotated[
            list[Annotated[Scope, PydanticField(strict=False)]],
            PydanticField(min_length=1, max_length=len(Scope)),
        ]
        | None
    ) = PydanticField(
        default=None,
        description="What it may do; give these or a preset.",
        examples=[["entities:read", "events:read"]],
    )
    preset: Annotated[Preset, PydanticField(strict=False)] | None = PydanticField(
        default=None, description="A named set of scopes instead of a list."
    )
    group_id: GroupId | None = PydanticField(
        default=None, description="The group it reaches from; else the creating key's own."
    )
    expires_at: Moment | None = PydanticField(default=None, description="When it stops working.")
    rate_limit: RateLimit | None = PydanticField(default=None, description="Its own limits, within the plan's.")


class ApiKey(Record):
    """The public form of a key; its last use is the worker's to write."""

    shows_more_than_its_row: ClassVar[bool] = True
    id: ThingId = PydanticField(serialization_alias="_id")
    group_id: GroupId
    application_id: ThingId | None
    name: str
    prefix: str
    scopes: list[str]
    rate_limit: dict[str, int] | None
    status: str
    expires_at: Moment | None
    last_used_at: Moment | None
    last_used_ip: str | None
    created_at: Moment
    updated_at: Moment = PydanticField(exclude=True)
    revoked_at: Moment | None
    created_by: str


class NewApiKey(ApiKey):
    """A key just created: the only time its text is shown."""

    key: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What authentication needs to know of a key, as of one authorisation epoch."""

    actor: Actor
    key_name: str
    prefix: str
    expires_at: datetime | None
    revoked: bool
    group_active: bool
    requests_per_minute: int | None
    requests_per_day: int | None
    org_requests_per_minute: int
    org_requests_per_day: int

    def admit(self, now: datetime, request_id: str) -> Actor:
        """The actor behind the key, if the key may be used now.

        Raises:
            InvalidApiKey: revoked (the same as unknown). ExpiredApiKey. GroupArchived.
        """
        if self.revoked:
            raise InvalidApiKey
        if self.expires_at is not None and self.expires_at <= now:
            raise ExpiredApiKey(f"The key expired at {self.expires_at.isoformat(timespec='seconds')}.")
        if not self.group_active:
            raise GroupArchived
        return self.actor.for_request(request_id)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret and the text of its key; never stored, never logged."""

    text: str
    secret: str

    @property
    def prefix(self) -> str:
        return self.secret[:PREFIX_LENGTH]


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _checksum(handle: str, body: str) -> str:
    return _base62(zlib.crc32(f"{handle}_{body}".encode()), CHECKSUM_LENGTH)


def make_secret(handle: str) -> NewSecret:
    """A new key for the organisation of that handle."""
    body = _base62(int.from_bytes(secrets.token_bytes(SECRET_BYTES), "big"), SECRET_LENGTH)
    secret = body + _checksum(handle, body)
    return NewSecret(f"org_{handle}_key_{secret}", secret)


def digest_key(text: str, pepper: str) -> bytes:
    """The HMAC under which a key is stored.

    Raises:
        InvalidApiKey: not of a key's form, or its checksum is wrong; costs no I/O.
    """
    if (match := _KEY_FORM.fullmatch(text)) is None:
        raise InvalidApiKey
    handle, secret = match.groups()
    body, checksum = secret[:SECRET_LENGTH], secret[SECRET_LENGTH:]
    if not hmac.compare_digest(checksum, _checksum(handle, body)):
        raise InvalidApiKey
    return hmac.digest(pepper.encode(), text.encode(), hashlib.sha256)


async def find_credential(session: AsyncSession, digest: bytes) -> Credential | None:
    """The key behind a digest, whatever its state; None if there is none.

    The session comes from `open_lookup(key_digest=…)`: until the key's row is found it sees nothing else, and from
    then on it acts as the key's organisation.
    """
    secret = (await session.exec(select(KeySecret).where(KeySecret.digest == digest))).first()
    if secret is None:
        return None
    await state(session, {"org_id": str(secret.org_id), "group_id": str(secret.org_id)})
    key = (await session.exec(select(Thing).where(Thing.org_id == secret.org_id, Thing.id == secret.key_id))).one()
    group = (await session.exec(select(Group).where(Group.id == secret.group_id))).one()
    organisation = (await session.exec(select(Group).where(Group.id == secret.org_id))).one()
    ancestors = await find_ancestor_ids(session, secret.org_id, group.id)
    return _describe_credential(key, group, organisation, ancestors)


def _describe_credential(key: Thing, group: Group, organisation: Group, ancestors: tuple[UUID, ...]) -> Credential:
    properties = key.properties
    plan = Plan(organisation.plan)
    limits: dict[str, int] = properties.get("rateLimit") or {}
    custom: dict[str, int] = organisation.custom_limits or {}
    actor = Actor(
        id=properties["actorId"],
        org_id=organisation.id,
        group_id=group.id,
        scopes=expand_scopes(Scope(scope) for scope in properties["scopes"]),
        plan=plan,
        key_id=key.id,
        ancestor_ids=ancestors,
    )
    expires = properties.get("expiresAt")
    return Credential(
        actor=actor,
        key_name=key.name,
        prefix=properties["prefix"],
        expires_at=parse_moment(expires) if expires else None,
        revoked=key.status != Status.ACTIVE or key.deleted_at is not None,
        group_active=group.status == ACTIVE and organisation.status == ACTIVE,
        requests_per_minute=limits.get("requestsPerMinute"),
        requests_per_day=limits.get("requestsPerDay"),
        org_requests_per_minute=custom.get("requestsPerMinute", PLAN_LIMITS[plan].requests_per_minute),
        org_requests_per_day=custom.get("requestsPerDay", PLAN_LIMITS[plan].requests_per_day),
    )


async def create_key(
    session: AsyncSession, actor: Actor, new: ApiKeyCreate, *, pepper: str, now: datetime
) -> NewApiKey:
    """Create a key; its text is in the answer and nowhere else.

    Raises:
        PrivilegeEscalation: wider than the creating key. NotFound, GroupArchived: the group. InvalidRequest.
    """
    if (new.scopes is None) == (new.preset is None):
        flaw = Flaw("body.scopes", "give either `scopes` or `preset`", "for example `preset: read-only`")
        raise InvalidRequest(flaws=[flaw])
    if new.scopes is not None:
        scopes = expand_scopes(new.scopes)
    else:
        scopes = PRESETS[new.preset or Preset.READ_ONLY] & actor.scopes
    if new.expires_at is not None and new.expires_at <= now:
        raise InvalidRequest(flaws=[Flaw("body.expiresAt", "lies in the past", "choose a time to come")])
    group = await get_active_group(session, actor, new.group_id)
    await _refuse_escalation(session, actor, new, scopes)
    return await issue_key(session, actor, new, group=group, scopes=scopes, pepper=pepper)


async def issue_key(
    session: AsyncSession,
    actor: Actor,
    new: ApiKeyCreate,
    *,
    group: Group,
    scopes: frozenset[Scope],
    pepper: str,
) -> NewApiKey:
    """Store a key whose rights have been checked, with its secret and event."""
    organisation, application, account = await _find_application(session, actor)
    secret = make_secret(organisation.handle or "")
    key = Thing(
        org_id=actor.org_id,
        group_id=group.id,
        type="api_key",
        name=new.name,
        status=Status.ACTIVE,
        properties={
            "prefix": secret.prefix,
            "scopes": sorted(scopes),
            "rateLimit": new.rate_limit.model_dump(by_alias=True) if new.rate_limit else None,
            "expiresAt": to_epoch_ms(new.expires_at) if new.expires_at else None,
            "organizationId": encode_id("group", actor.org_id),
            "applicationId": encode_id("thing", application) if application else None,
            "actorId": encode_id("thing", account) if account else actor.id,
        },
        created_by=actor.id,
    )
    await add_thing(session, actor, key)
    digest = digest_key(secret.text, pepper)
    session.add(KeySecret(digest=digest, org_id=actor.org_id, group_id=group.id, key_id=key.id))
    _record(session, actor, "api_key_generated", key, scopes=sorted(scopes), prefix=secret.prefix)
    public = describe_key(key, None, utc_now())
    return NewApiKey.model_construct(**dict(public), key=secret.text)


async def _find_application(session: AsyncSession, actor: Actor) -> tuple[Group, UUID | None, UUID | None]:
    """The organisation, its application and the service account its keys act as."""
    await state(session, {"group_id": str(actor.org_id)})
    organisation = (await session.exec(select(Group).where(Group.id == actor.org_id))).one()
    query = select(Thing).where(
        Thing.org_id == actor.org_id, col(Thing.type).in_(("api_application", "service_account"))
    )
    found = {thing.type: thing.id for thing in (await session.exec(query.order_by(col(Thing.id).desc()))).all()}
    await state_actor(session, actor)
    return organisation, found.get("api_application"), found.get("service_account")


async def get_key(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> ApiKey:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    key = await _find_key(session, actor, key_id)
    use = (await session.exec(KeyUse.visible_to(actor).where(col(KeyUse.key_id) == key.id))).first()
    return describe_key(key, use, now)


async def list_keys(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[ApiKey]:
    """Keys within reach, newest first, revoked ones included."""
    query = Thing.visible_to(actor).where(col(Thing.type) == "api_key")
    found = await fetch_page(session, actor, query, Thing.id, page, describe_list("keys"))
    ids = [key.id for key in found.rows]
    uses = await session.exec(KeyUse.visible_to(actor).where(col(KeyUse.key_id).in_(ids)))
    by_key = {use.key_id: use for use in uses.all()}
    return Page([describe_key(key, by_key.get(key.id), now) for key in found.rows], found.next_cursor)


async def revoke_key(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> ApiKey:
    """Revoke a key; every request sent after the answer is refused, on every process.

    The caller raises the organisation's authorisation epoch after commit and before it answers. Revoking twice is
    harmless. Requests already admitted finish.

    Raises:
        NotFound: no such key within the actor's reach. PrivilegeEscalation: the key is wider than the actor.
    """
    key = await _find_key(session, actor, key_id, lock=True)
    if not expand_scopes(Scope(scope) for scope in key.properties["scopes"]) <= actor.scopes:
        raise PrivilegeEscalation("A key cannot revoke one that has scopes it lacks.")
    if key.status == Status.ACTIVE:
        key.status, key.updated_at = REVOKED, now
        key.properties = key.properties | {"revokedAt": to_epoch_ms(now)}
        _record(session, actor, "api_key_revoked", key, prefix=key.properties["prefix"])
    return describe_key(key, None, now)


async def mint_explorer_key(session: AsyncSession, actor: Actor, *, pepper: str, now: datetime) -> NewApiKey:
    """A key of one hour for the explorer of a signed-in person."""
    new = ApiKeyCreate.model_construct(
        name=EXPLORER_NAME,
        scopes=None,
        preset=None,
        group_id=None,
        expires_at=now + _EXPLORER_LIFE,
        rate_limit=None,
    )
    group = await get_active_group(session, actor, None)
    return await issue_key(session, actor, new, group=group, scopes=actor.scopes, pepper=pepper)


def describe_key(key: Thing, use: KeyUse | None, now: datetime) -> ApiKey:
    """The public form; expiry is computed here, not stored."""
    properties = key.properties
    expires = parse_moment(properties["expiresAt"]) if properties.get("expiresAt") else None
    revoked = parse_moment(properties["revokedAt"]) if properties.get("revokedAt") else None
    active = key.status == Status.ACTIVE
    status = "revoked" if not active else "expired" if expires and expires <= now else "active"
    application = properties.get("applicationId")
    return ApiKey.model_construct(
        id=key.id,
        group_id=key.group_id,
        application_id=decode_id(application)[1] if application else None,
        name=key.name,
        prefix=properties["prefix"],
        scopes=properties["scopes"],
        rate_limit=properties.get("rateLimit"),
        status=status,
        expires_at=expires,
        last_used_at=use.last_used_at if use else None,
        last_used_ip=use.last_used_ip if use else None,
        created_at=key.created_at,
        updated_at=key.updated_at,
        revoked_at=revoked,
        created_by=key.created_by,
    )


async def _find_key(session: AsyncSession, actor: Actor, key_id: UUID, *, lock: bool = False) -> Thing:
    query = Thing.visible_to(actor).where(col(Thing.id) == key_id, col(Thing.type) == "api_key")
    if (found := (await session.exec(query.with_for_update() if lock else query)).first()) is None:
        raise NotFound
    return found


async def _refuse_escalation(session: AsyncSession, actor: Actor, new: ApiKeyCreate, scopes: frozenset[Scope]) -> None:
    """A key is never wider than the one that creates it."""
    flaws: Sequence[Flaw] = [
        Flaw("body.scopes", f"the creating key lacks `{scope}`", "leave it out")
        for scope in sorted(scopes - actor.scopes)
    ]
    if actor.key_id is not None and not flaws:
        parent = (await _find_key(session, actor, actor.key_id)).properties
        flaws = _find_wider(parent, new)
    if flaws:
        raise PrivilegeEscalation(flaws=flaws)


def _find_wider(parent: dict[str, Any], new: ApiKeyCreate) -> list[Flaw]:
    flaws: list[Flaw] = []
    expires = parent.get("expiresAt")
    if expires and (new.expires_at is None or to_epoch_ms(new.expires_at) > expires):
        flaws.append(Flaw("body.expiresAt", "outlives the creating key", f"set it to {expires} or earlier"))
    limits: dict[str, int] = parent.get("rateLimit") or {}
    asked = new.rate_limit.model_dump(by_alias=True) if new.rate_limit else {}
    for name, highest in limits.items():
        if asked.get(name, highest + 1) > highest:
            flaws.append(Flaw(f"body.rateLimit.{name}", "is above the creating key's", f"set it to {highest} or lower"))
    return flaws


def _record(session: AsyncSession, actor: Actor, type: str, key: Thing, **more: Any) -> None:
    target = encode_id("thing", key.id)
    record_event(session, actor, type, group_id=key.group_id, target_id=target, metadata={"keyId": target} | more)
