"""API keys: shown once, never wider than the key that makes them, dead on the request after they are revoked.

The key itself is a thing of type `api_key`; its HMAC lies in a table no door returns (`ontology/key_secrets.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator
from pydantic import Field as PydanticField
from sqlalchemy import ForeignKeyConstraint, Text, Uuid
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.addresses import Source, is_within, normalise_origin, parse_network, parse_networks
from ontology.connections import Connection, add_connection, end_columns
from ontology.database import state, state_actor
from ontology.errors import (
    AddressNotAllowed,
    Conflict,
    ExpiredApiKey,
    Flaw,
    GroupArchived,
    InvalidApiKey,
    InvalidRequest,
    NotFound,
    OriginNotAllowed,
    PrivilegeEscalation,
)
from ontology.events import record_event
from ontology.groups import ACTIVE, Group, find_ancestor_ids, get_active_group
from ontology.ids import GroupId, ThingId, decode_id, encode_id
from ontology.key_bounds import KeyBounds, find_end, find_wider
from ontology.key_secrets import KeySecret, digest_key, make_secret
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.people import Person
from ontology.plans import PLAN_LIMITS, Plan
from ontology.records import WHOLE, Input, Moment, Record, TenantRow, Timestamp, parse_moment, to_epoch_ms, utc_now
from ontology.roles import ROLES, Role
from ontology.scopes import PRESETS, Preset, Scope, expand_scopes
from ontology.things import Status, Thing, add_thing

EXPLORER_NAME = "Explorer"
_EXPLORER_LIFE = timedelta(hours=1)
REVOKED = Status.INACTIVE
ALLOWED_MAX = 50


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


def _check_network(text: str) -> str:
    return str(parse_network(text))


AllowedAddresses = Annotated[
    list[Annotated[str, PydanticField(min_length=2, max_length=50), AfterValidator(_check_network)]],
    PydanticField(min_length=1, max_length=ALLOWED_MAX, examples=[["203.0.113.0/24", "2001:db8::/48"]]),
]
AllowedOrigins = Annotated[
    list[Annotated[str, PydanticField(min_length=8, max_length=300), AfterValidator(normalise_origin)]],
    PydanticField(min_length=1, max_length=ALLOWED_MAX, examples=[["https://app.example.com"]]),
]
KeyName = Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Dashboard"])]
ScopeList = Annotated[
    list[Annotated[Scope, PydanticField(strict=False)]], PydanticField(min_length=1, max_length=len(Scope))
]


class RateLimit(Input):
    """A key's own limits, within the plan's."""

    requests_per_minute: Annotated[int, PydanticField(ge=1, le=1_000_000, examples=[30]), WHOLE]
    requests_per_day: Annotated[int, PydanticField(ge=1, le=100_000_000, examples=[5000]), WHOLE]


class ApiKeyCreate(Input):
    """A key to create: never wider than the key that creates it, in scope, group, limits or life."""

    name: KeyName
    scopes: ScopeList | None = PydanticField(
        default=None,
        description="What it may do; give these or a preset.",
        examples=[["entities:read", "events:read"]],
    )
    preset: Annotated[Preset, PydanticField(strict=False)] | None = PydanticField(
        default=None, description="A named set of scopes instead of a list."
    )
    group_id: GroupId | None = PydanticField(
        default=None,
        description="The group it reaches from; else the application's, if one is named, or the creating key's own.",
    )
    expires_at: Moment | None = PydanticField(default=None, description="When it stops working.")
    rate_limit: RateLimit | None = PydanticField(default=None, description="Its own limits, within the plan's.")
    application_id: ThingId | None = PydanticField(
        default=None, description="The application it belongs to; else that of the creating key."
    )
    allowed_addresses: AllowedAddresses | None = PydanticField(
        default=None, description="The only addresses and networks (CIDR) it works from; else it works from anywhere."
    )
    allowed_origins: AllowedOrigins | None = PydanticField(
        default=None, description="The only web origins it works from: a browser names one in the header `Origin`."
    )


class ApiKeyUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays, what may be null is taken away by null."""

    name: KeyName | None = PydanticField(default=None, description="Its new name; it always has one.")
    scopes: ScopeList | None = PydanticField(
        default=None, description="Fewer scopes than it has now; a key never gains one."
    )
    rate_limit: RateLimit | None = PydanticField(
        default=None, description="Its own limits, within the plan's; null leaves only the plan's."
    )
    allowed_addresses: AllowedAddresses | None = PydanticField(
        default=None, description="The only addresses and networks (CIDR) it works from; null allows all."
    )
    allowed_origins: AllowedOrigins | None = PydanticField(
        default=None, description="The only web origins it works from; null allows all."
    )


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
    allowed_addresses: list[str] | None
    allowed_origins: list[str] | None
    status: str
    expires_at: Moment | None
    rotating_until: Moment | None
    replaced_by: ThingId | None
    last_used_at: Moment | None
    last_used_ip: str | None
    last_used_agent: str | None
    created_at: Moment
    updated_at: Moment = PydanticField(exclude=True)
    revoked_at: Moment | None
    revoked_reason: str | None
    created_by: str


class NewApiKey(ApiKey):
    """A key just created: the only time its text is shown."""

    key: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What authentication needs to know of a key, and what it shows of it, as of one authorisation epoch.

    `expires_at` is its end, whether by its own expiry or by the end of a rotation.
    """

    actor: Actor
    organisation_name: str
    organisation_handle: str
    group_name: str
    key_name: str
    prefix: str
    expires_at: datetime | None
    revoked: bool
    group_active: bool
    requests_per_minute: int | None
    requests_per_day: int | None
    org_requests_per_minute: int
    org_requests_per_day: int
    replaced: bool = False
    allowed_addresses: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    shown: dict[str, bytes] = field(default_factory=dict[str, bytes], compare=False, repr=False)
    """Answers that say nothing but this, kept for as long as this is true."""

    def admit(self, now: datetime, request_id: str, source: Source) -> Actor:
        """The actor behind the key, if the key may be used now and from there.

        Raises:
            InvalidApiKey: revoked (the same as unknown). ExpiredApiKey. GroupArchived. AddressNotAllowed,
            OriginNotAllowed.
        """
        if self.revoked:
            raise InvalidApiKey
        if self.expires_at is not None and self.expires_at <= now:
            ended = "was replaced by rotation and ended" if self.replaced else "expired"
            raise ExpiredApiKey(f"The key {ended} at {self.expires_at.isoformat(timespec='seconds')}.")
        if not self.group_active:
            raise GroupArchived
        self._check_source(source)
        return self.actor.for_request(request_id)

    def _check_source(self, source: Source) -> None:
        if self.allowed_addresses and not is_within(source.address, parse_networks(self.allowed_addresses)):
            raise AddressNotAllowed(f"The key may not be used from {source.address or 'an unknown address'}.")
        if self.allowed_origins and (source.origin or "").lower() not in self.allowed_origins:
            raise OriginNotAllowed


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
    credential = _describe_credential(key, group, organisation, ancestors)
    return await _bind_to_person(session, credential)


async def _bind_to_person(session: AsyncSession, credential: Credential) -> Credential:
    """A key that acts as a person may do what that person may now, and dies when they are removed."""
    actor = credential.actor
    kind, identity = decode_id(actor.id)
    if kind != "person":
        return credential
    query = select(Person).where(Person.org_id == actor.org_id, Person.id == identity)
    person = (await session.exec(query)).first()
    if person is None or person.status != ACTIVE:
        return replace(credential, revoked=True)
    rights = ROLES[Role(person.role)]
    bound = replace(actor, scopes=actor.scopes & rights.scopes, edits_own_only=rights.edits_own_only)
    return replace(credential, actor=bound)


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
    end = find_end(properties)
    return Credential(
        actor=actor,
        organisation_name=organisation.name,
        organisation_handle=organisation.handle or "",
        group_name=group.name,
        key_name=key.name,
        prefix=properties["prefix"],
        expires_at=parse_moment(end) if end else None,
        revoked=key.status != Status.ACTIVE or key.deleted_at is not None,
        group_active=group.status == ACTIVE and organisation.status == ACTIVE,
        requests_per_minute=limits.get("requestsPerMinute"),
        requests_per_day=limits.get("requestsPerDay"),
        org_requests_per_minute=custom.get("requestsPerMinute", PLAN_LIMITS[plan].requests_per_minute),
        org_requests_per_day=custom.get("requestsPerDay", PLAN_LIMITS[plan].requests_per_day),
        replaced=bool(properties.get("replacedBy")),
        allowed_addresses=tuple(properties.get("allowedAddresses") or ()),
        allowed_origins=tuple(properties.get("allowedOrigins") or ()),
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
    application = await _find_live_application(session, actor, new.application_id) if new.application_id else None
    group = await get_active_group(session, actor, new.group_id or (application.group_id if application else None))
    await refuse_wider(session, actor, KeyBounds.of_properties(_describe_rights(new, scopes)))
    return await issue_key(session, actor, new, group=group, scopes=scopes, pepper=pepper, application=application)


async def issue_key(
    session: AsyncSession,
    actor: Actor,
    new: ApiKeyCreate,
    *,
    group: Group,
    scopes: frozenset[Scope],
    pepper: str,
    application: Thing | None = None,
    acts_as: str | None = None,
) -> NewApiKey:
    """Store a key whose rights have been checked, with its secret and event.

    It acts as the service account of its application unless `acts_as` names a person.
    """
    rights = _describe_rights(new, scopes)
    if acts_as is not None:
        rights["actorId"] = acts_as
    if application is not None:
        rights |= await _choose_account(session, actor, application, group)
    return await _store_key(session, actor, new.name, rights, group=group, pepper=pepper)


async def issue_twin(
    session: AsyncSession, actor: Actor, old: Thing, *, group: Group, scopes: frozenset[Scope], pepper: str
) -> NewApiKey:
    """A further key with the rights of one that exists, but for its scopes, which its caller has checked."""
    kept = {name: old.properties.get(name) for name in ("rateLimit", "expiresAt", "allowedAddresses", "allowedOrigins")}
    same = {name: old.properties.get(name) for name in ("applicationId", "actorId")}
    rights = {"scopes": sorted(scopes)} | kept | same | {"replaces": encode_id("thing", old.id)}
    return await _store_key(session, actor, old.name, rights, group=group, pepper=pepper)


async def _store_key(
    session: AsyncSession, actor: Actor, name: str, rights: dict[str, Any], *, group: Group, pepper: str
) -> NewApiKey:
    organisation, application, account = await _find_application(session, actor)
    secret = make_secret(organisation.handle or "")
    key = Thing(
        org_id=actor.org_id,
        group_id=group.id,
        type="api_key",
        name=name,
        status=Status.ACTIVE,
        properties={
            "prefix": secret.prefix,
            "organizationId": encode_id("group", actor.org_id),
            "applicationId": encode_id("thing", application) if application else None,
            "actorId": encode_id("thing", account) if account else actor.id,
            **rights,
        },
        created_by=actor.id,
    )
    await add_thing(session, actor, key)
    digest = digest_key(secret.text, pepper)
    session.add(KeySecret(digest=digest, org_id=actor.org_id, group_id=group.id, key_id=key.id))
    await _connect_key(session, actor, key)
    told = {"scopes": rights["scopes"], "prefix": secret.prefix}
    if "replaces" in rights:
        told["replaces"] = rights["replaces"]
    record_key_event(session, actor, "api_key_generated", key, **told)
    public = describe_key(key, None, utc_now())
    return NewApiKey.model_construct(**dict(public), key=secret.text)


def _describe_rights(new: ApiKeyCreate, scopes: frozenset[Scope]) -> dict[str, Any]:
    """What a key may do and until when, as its properties."""
    return {
        "scopes": sorted(scopes),
        "rateLimit": new.rate_limit.model_dump(by_alias=True) if new.rate_limit else None,
        "expiresAt": to_epoch_ms(new.expires_at) if new.expires_at else None,
        "allowedAddresses": new.allowed_addresses,
        "allowedOrigins": new.allowed_origins,
    }


async def _connect_key(session: AsyncSession, actor: Actor, key: Thing) -> None:
    """Join a key to its application, and to the person who made it; the explorer's, which come and go, to nobody."""
    if key.name == EXPLORER_NAME:
        return
    ends = [("authenticated_by", key.properties["applicationId"])]
    if actor.id.startswith("person_"):
        ends.append(("owns_api_key", actor.id))
    for type, from_id in ends:
        if from_id is None:
            continue
        connection = Connection(
            org_id=actor.org_id,
            group_id=key.group_id,
            relationship_type=type,
            created_by=actor.id,
            **end_columns(from_id, encode_id("thing", key.id)),
        )
        await add_connection(session, actor, connection)


async def _find_application(session: AsyncSession, actor: Actor) -> tuple[Group, UUID | None, UUID | None]:
    """The organisation, the application of the acting key or else the oldest live one, and its service account."""
    own = (await find_key(session, actor, actor.key_id)).properties if actor.key_id else {}
    await state(session, {"group_id": str(actor.org_id)})
    organisation = (await session.exec(select(Group).where(Group.id == actor.org_id))).one()
    query = select(Thing).where(Thing.org_id == actor.org_id, Thing.type == "api_application")
    live = query.where(Thing.status == Status.ACTIVE).order_by(col(Thing.id)).limit(1)
    application = own.get("applicationId") or _encode((await session.exec(live)).first())
    accounts = select(Thing).where(Thing.org_id == actor.org_id, Thing.type == "service_account")
    of_application = accounts.where(col(Thing.properties)["applicationId"].as_string() == application)
    account = (await session.exec(of_application.order_by(col(Thing.id)).limit(1))).first()
    await state_actor(session, actor)
    return organisation, decode_id(application)[1] if application else None, account.id if account else None


def _encode(thing: Thing | None) -> str | None:
    return encode_id("thing", thing.id) if thing else None


async def _find_live_application(session: AsyncSession, actor: Actor, application_id: UUID) -> Thing:
    """The application to make a key for; it stays live until the key is committed.

    Raises:
        NotFound: no such application within reach. Conflict: it is archived.
    """
    query = Thing.visible_to(actor).where(col(Thing.id) == application_id, col(Thing.type) == "api_application")
    if (application := (await session.exec(query.with_for_update(read=True))).first()) is None:
        raise NotFound
    if application.status != Status.ACTIVE:
        raise Conflict("The application is archived and takes no keys.")
    return application


async def _choose_account(session: AsyncSession, actor: Actor, application: Thing, group: Group) -> dict[str, Any]:
    """An application and its service account, as properties of a key.

    Raises:
        Conflict: the key's group lies outside the application's, where archiving the application would not reach it.
    """
    if application.group_id not in (group.id, *await find_ancestor_ids(session, actor.org_id, group.id)):
        flaw = Flaw("body.groupId", "lies outside the application's group", "name that group or one below it")
        raise Conflict("A key of an application lies in the application's group or below.", flaws=[flaw])
    reference = encode_id("thing", application.id)
    accounts = Thing.visible_to(actor).where(
        col(Thing.type) == "service_account", col(Thing.properties)["applicationId"].as_string() == reference
    )
    account = (await session.exec(accounts.order_by(col(Thing.id)).limit(1))).first()
    return {"applicationId": reference, "actorId": _encode(account) or actor.id}


async def get_key(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> ApiKey:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    key = await find_key(session, actor, key_id)
    return describe_key(key, await find_use(session, actor, key), now)


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
    key = await lock_manageable(session, actor, key_id)
    if key.status == Status.ACTIVE:
        end_key(session, actor, key, now)
    return describe_key(key, await find_use(session, actor, key), now)


def end_key(
    session: AsyncSession,
    actor: Actor,
    key: Thing,
    now: datetime,
    reason: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Revoke a live key that its caller has checked and locked, with its event."""
    key.status, key.updated_at = REVOKED, now
    key.properties = key.properties | {"revokedAt": to_epoch_ms(now), "revokedReason": reason}
    told = {"prefix": key.properties["prefix"]} | ({"reason": reason} if reason else {}) | dict(more or {})
    record_key_event(session, actor, "api_key_revoked", key, **told)


async def update_key(session: AsyncSession, actor: Actor, key_id: UUID, change: ApiKeyUpdate, now: datetime) -> ApiKey:
    """Change what a live key is called and narrow what it may do; never wider than the changing key.

    The caller raises the authorisation epoch after commit, so that the change holds from the next request on.

    Raises:
        NotFound, PrivilegeEscalation. Conflict: the key is revoked or has ended. InvalidRequest: no name.
    """
    given = change.model_dump(by_alias=True, exclude_unset=True, mode="json")
    for name in ("name", "scopes"):
        if name in given and given[name] is None:
            raise InvalidRequest(flaws=[Flaw(f"body.{name}", "cannot be taken away", "leave it out or give a value")])
    key = await lock_manageable(session, actor, key_id)
    refuse_ended(key, now)
    properties = key.properties | {name: value for name, value in given.items() if name != "name"}
    if change.scopes is not None:
        wanted = expand_scopes(change.scopes)
        refuse_gain(key, wanted)
        properties["scopes"] = sorted(wanted)
    await refuse_wider(session, actor, KeyBounds.of_properties(properties))
    key.name, key.properties, key.updated_at = change.name or key.name, properties, now
    record_key_event(session, actor, "thing_updated", key, thingType="api_key", action="changed", fields=sorted(given))
    return describe_key(key, await find_use(session, actor, key), now)


def refuse_gain(key: Thing, wanted: frozenset[Scope]) -> None:
    """Raises: PrivilegeEscalation: a scope that the key does not have."""
    held = expand_scopes(Scope(scope) for scope in key.properties["scopes"])
    if gained := sorted(wanted - held):
        flaws = [Flaw("body.scopes", f"the key itself lacks `{scope}`", "leave it out") for scope in gained]
        raise PrivilegeEscalation(flaws=flaws)


def refuse_ended(key: Thing, now: datetime) -> None:
    """Raises: Conflict: the key is revoked or has ended, and what has ended stays as it is."""
    end = find_end(key.properties)
    if key.status != Status.ACTIVE or (end is not None and end <= to_epoch_ms(now)):
        raise Conflict("The key has ended and cannot be changed; create a new one.")


async def mint_explorer_key(session: AsyncSession, actor: Actor, *, pepper: str, now: datetime) -> NewApiKey:
    """A key of one hour for the explorer of a signed-in person, as whom it acts."""
    new = ApiKeyCreate.model_construct(
        name=EXPLORER_NAME,
        scopes=None,
        preset=None,
        group_id=None,
        expires_at=now + _EXPLORER_LIFE,
        rate_limit=None,
    )
    group = await get_active_group(session, actor, None)
    return await issue_key(session, actor, new, group=group, scopes=actor.scopes, pepper=pepper, acts_as=actor.id)


def describe_key(key: Thing, use: KeyUse | None, now: datetime) -> ApiKey:
    """The public form; its end is computed here, not stored."""
    properties = key.properties
    application, successor = properties.get("applicationId"), properties.get("replacedBy")
    return ApiKey.model_construct(
        id=key.id,
        group_id=key.group_id,
        application_id=decode_id(application)[1] if application else None,
        name=key.name,
        prefix=properties["prefix"],
        scopes=properties["scopes"],
        rate_limit=properties.get("rateLimit"),
        allowed_addresses=properties.get("allowedAddresses"),
        allowed_origins=properties.get("allowedOrigins"),
        status=describe_status(key, now),
        expires_at=_read_moment(properties, "expiresAt"),
        rotating_until=_read_moment(properties, "rotatingUntil"),
        replaced_by=decode_id(successor)[1] if successor else None,
        last_used_at=use.last_used_at if use else None,
        last_used_ip=use.last_used_ip if use else None,
        last_used_agent=use.last_used_agent if use else None,
        created_at=key.created_at,
        updated_at=key.updated_at,
        revoked_at=_read_moment(properties, "revokedAt"),
        revoked_reason=properties.get("revokedReason"),
        created_by=key.created_by,
    )


def describe_status(key: Thing, now: datetime) -> str:
    end = find_end(key.properties)
    if key.status != Status.ACTIVE:
        return "revoked"
    if end is not None and end <= to_epoch_ms(now):
        return "expired"
    return "rotating" if key.properties.get("replacedBy") else "active"


def _read_moment(properties: Mapping[str, Any], name: str) -> datetime | None:
    value = properties.get(name)
    return parse_moment(value) if value else None


async def find_key(session: AsyncSession, actor: Actor, key_id: UUID, *, lock: bool = False) -> Thing:
    """The thing that a key is.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
    """
    query = Thing.visible_to(actor).where(col(Thing.id) == key_id, col(Thing.type) == "api_key")
    if (found := (await session.exec(query.with_for_update() if lock else query)).first()) is None:
        raise NotFound
    return found


async def find_use(session: AsyncSession, actor: Actor, key: Thing) -> KeyUse | None:
    return (await session.exec(KeyUse.visible_to(actor).where(col(KeyUse.key_id) == key.id))).first()


async def lock_manageable(session: AsyncSession, actor: Actor, key_id: UUID) -> Thing:
    """A key to change, locked until commit.

    Raises:
        NotFound. PrivilegeEscalation: it has scopes the actor lacks.
    """
    key = await find_key(session, actor, key_id, lock=True)
    if not expand_scopes(Scope(scope) for scope in key.properties["scopes"]) <= actor.scopes:
        raise PrivilegeEscalation("A key cannot change or end one that has scopes it lacks.")
    return key


async def refuse_wider(session: AsyncSession, actor: Actor, asked: KeyBounds) -> None:
    """A key is never wider than the one that makes or changes it; a person is bound by scopes alone.

    Raises:
        PrivilegeEscalation: naming each place that is wider.
    """
    if actor.key_id is None:
        own = KeyBounds(actor.scopes)
    else:
        own = KeyBounds.of_properties((await find_key(session, actor, actor.key_id)).properties)
    flaws: Sequence[Flaw] = find_wider(own, asked)
    if flaws:
        raise PrivilegeEscalation(flaws=flaws)


def record_key_event(session: AsyncSession, actor: Actor, type: str, key: Thing, **more: Any) -> None:
    """An event about a key; never with its text."""
    target = encode_id("thing", key.id)
    record_event(session, actor, type, group_id=key.group_id, target_id=target, metadata={"keyId": target} | more)
