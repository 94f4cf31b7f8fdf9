"""What authentication needs to know of the key behind a digest."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.addresses import Source, is_within, parse_networks
from ontology.database import state
from ontology.errors import AddressNotAllowed, ExpiredApiKey, GroupArchived, InvalidApiKey, OriginNotAllowed
from ontology.groups import ACTIVE, Group, find_ancestor_ids
from ontology.ids import decode_id
from ontology.key_bounds import find_end
from ontology.key_secrets import KeySecret
from ontology.people import Person
from ontology.plans import PLAN_LIMITS, Plan
from ontology.records import parse_moment
from ontology.roles import ROLES, Role
from ontology.scopes import Scope, expand_scopes
from ontology.thing_rows import Status, Thing


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
        feature_sets=organisation.features_on,
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
