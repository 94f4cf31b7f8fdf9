"""Things: what exists, and the rules by which they are made, changed, deleted and restored."""

from collections.abc import Sequence
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import text as sql
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count, run_sql, whole_organisation
from ontology.errors import Conflict, Flaw, ManagedType, NotFound, QuotaExceeded
from ontology.events import record_event
from ontology.features import require_feature
from ontology.groups import Group, get_active_group, get_group
from ontology.ids import GroupId, encode_id
from ontology.merge import merge_patch
from ontology.plans import PLAN_LIMITS
from ontology.records import Input, next_change, refuse_nulls, utc_now
from ontology.sizes import PROPERTIES_BYTES_MAX, check_size
from ontology.thing_lists import count_things
from ontology.thing_rows import Status, Thing, require_readable_type
from ontology.vocabulary import THING_TYPES, ThingType, check_properties, get_thing_type

ENDPOINTS = {
    "api_key": ("use /v1/api-keys", "createApiKey"),
    "api_application": ("use /v1/applications", "createApplication"),
    "api_quota": ("use /v1/quota", "getQuota"),
    "service_account": ("use /v1/applications, each of which has one", "createApplication"),
    "user": ("use /v1/invitations", "createInvitation"),
}


ThingName = Annotated[
    str, PydanticField(min_length=1, max_length=500, pattern=r"\S", examples=["Introduction to Botany"])
]
TypeName = Annotated[str, PydanticField(min_length=1, max_length=80, pattern=r"\S", examples=["course"])]
Properties = Annotated[
    dict[str, Any],
    PydanticField(examples=[{"title": "Introduction to Botany", "price": 49, "currency": "EUR"}]),
]


class ThingCreate(Input):
    """A thing to create, in the key's group unless `groupId` names one below it."""

    type: Annotated[TypeName, PydanticField(description="A type of the vocabulary; `GET /v1/ontology` lists them.")]
    name: ThingName
    properties: Properties = PydanticField(
        default_factory=dict, description="What the type holds; names the vocabulary does not know are kept too."
    )
    status: Annotated[Status, PydanticField(strict=False)] = PydanticField(
        default=Status.DRAFT, description="Where it stands: draft, active, inactive, published or archived."
    )
    group_id: GroupId | None = PydanticField(default=None, description="A group within reach; else the key's own.")


class ThingUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays, a property set to null goes."""

    name: ThingName | None = None
    properties: Properties | None = PydanticField(default=None, description="Merged; a property set to null goes.")
    status: Annotated[Status, PydanticField(strict=False)] | None = PydanticField(
        default=None, description="Where it stands from now on."
    )


class ThingReplace(Input):
    """All of a thing that its writers decide: what is absent is as on creation."""

    type: TypeName | None = PydanticField(default=None, description="The present type, if given; it cannot change.")
    name: ThingName
    properties: Properties = PydanticField(default_factory=dict, description="Everything it holds from now on.")
    status: Annotated[Status, PydanticField(strict=False)] = PydanticField(
        default=Status.DRAFT, description="Where it stands from now on."
    )


async def get_thing(session: AsyncSession, actor: Actor, thing_id: UUID) -> Thing:
    """A thing within reach, deleted ones included.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
        InsufficientScope: it is of a managed type, which needs the scope of the operations that manage it.
    """
    found = (await session.exec(Thing.visible_to(actor).where(col(Thing.id) == thing_id))).first()
    if found is None:
        raise NotFound
    require_readable_type(actor, found.type)
    return found


async def create_thing(session: AsyncSession, actor: Actor, new: ThingCreate) -> Thing:
    """Create a thing and its event.

    Raises:
        UnknownType, ManagedType, FeatureDisabled, InvalidProperties: the type and what it holds.
        NotFound, GroupArchived, QuotaExceeded: the group.
    """
    check_new_thing(actor, new)
    group = await get_active_group(session, actor, new.group_id)
    await _check_quota(session, actor, group)
    thing = build_thing(actor, new, group)
    await add_thing(session, actor, thing)
    return thing


def build_thing(actor: Actor, new: ThingCreate, group: Group) -> Thing:
    """A thing to be stored in a group that takes writes.

    Raises:
        UnknownType, ManagedType, FeatureDisabled, InvalidProperties.
    """
    kind, now = check_new_thing(actor, new), utc_now()
    return Thing(
        org_id=actor.org_id,
        group_id=group.id,
        type=kind.name,
        name=new.name,
        properties=new.properties,
        status=new.status,
        created_at=now,
        updated_at=now,
        created_by=actor.id,
    )


def check_new_thing(actor: Actor, new: ThingCreate) -> ThingType:
    """The type of a thing to create.

    Raises:
        UnknownType, ManagedType, FeatureDisabled, InvalidProperties.
    """
    kind = require_generic(get_thing_type(new.type))
    require_feature(actor, kind, "body.type")
    check_properties(kind.properties, new.properties, "body.properties")
    return kind


async def add_thing(session: AsyncSession, actor: Actor, thing: Thing) -> None:
    """Store a thing that its own rules have checked, with its event."""
    session.add(thing)
    await session.flush()
    record_creation(session, actor, thing)


async def update_thing(session: AsyncSession, actor: Actor, thing_id: UUID, change: ThingUpdate) -> Thing:
    """Merge a change into a thing; concurrent patches wait for one another and lose nothing.

    Raises:
        NotFound, ManagedType, InvalidProperties. Conflict: it is deleted. InvalidRequest: it would lose its name.
    """
    thing = await _lock_writable(session, actor, thing_id)
    apply_update(session, actor, thing, change)
    return thing


def apply_update(session: AsyncSession, actor: Actor, thing: Thing, change: ThingUpdate) -> None:
    """Merge a change into a locked thing, with its event; all or nothing.

    Raises: InvalidRequest, Conflict, InvalidProperties.
    """
    refuse_nulls(change, "name", "properties", "status")
    _require_live(thing)
    if change.properties is not None:
        merged = merge_patch(thing.properties, change.properties)
        check_properties(THING_TYPES[thing.type].properties, merged, "body.properties")
        check_size(merged, "body.properties", PROPERTIES_BYTES_MAX)
        thing.properties = merged
    thing.name = change.name or thing.name
    thing.status = change.status or thing.status
    thing.updated_at = next_change(thing.updated_at)
    fields = sorted(change.model_dump(exclude_unset=True, include={"name", "properties", "status"}))
    _record(session, actor, "thing_updated", thing, fields=fields)


async def replace_thing(session: AsyncSession, actor: Actor, thing_id: UUID, new: ThingReplace) -> Thing:
    """Replace name, properties and status as a whole.

    Raises:
        NotFound, ManagedType, InvalidProperties. Conflict: it is deleted, or of another type.
    """
    thing = await _lock_writable(session, actor, thing_id)
    _require_live(thing)
    if new.type not in (None, thing.type):
        flaw = Flaw("body.type", f"is `{thing.type}` and cannot change", "leave it out, or create another entity")
        raise Conflict(flaws=[flaw])
    check_properties(THING_TYPES[thing.type].properties, new.properties, "body.properties")
    thing.name, thing.properties, thing.status = new.name, new.properties, new.status
    thing.updated_at = next_change(thing.updated_at)
    _record(session, actor, "thing_updated", thing, action="replaced", fields=["name", "properties", "status"])
    return thing


async def delete_thing(session: AsyncSession, actor: Actor, thing_id: UUID) -> Thing:
    """Archive a thing and take it out of lists; its live connections go with it. Deleting twice is harmless."""
    thing = await _lock_writable(session, actor, thing_id)
    if thing.deleted_at is not None:
        return thing
    apply_delete(thing)
    await finish_deletions(session, actor, [thing])
    return thing


def apply_delete(thing: Thing) -> None:
    """Mark a locked thing; `finish_deletions` sees to its connections and its event."""
    thing.status = Status.ARCHIVED
    thing.deleted_at = thing.updated_at = next_change(thing.updated_at)


async def restore_thing(session: AsyncSession, actor: Actor, thing_id: UUID) -> Thing:
    """Bring a deleted or archived thing back as active; its connections stay deleted.

    Raises:
        NotFound, ManagedType, QuotaExceeded. Conflict: it is neither deleted nor archived.
    """
    thing = await _lock_writable(session, actor, thing_id)
    if thing.status != Status.ARCHIVED:
        raise Conflict("Only a deleted or archived entity can be restored.")
    if thing.deleted_at is not None:
        await _check_quota(session, actor, await get_group(session, actor, thing.group_id))
    thing.status, thing.deleted_at, thing.updated_at = Status.ACTIVE, None, next_change(thing.updated_at)
    _record(session, actor, "thing_updated", thing, action="restored")
    return thing


def _require_live(thing: Thing) -> None:
    if thing.deleted_at is not None:
        raise Conflict("The entity is deleted; restore it first.", leads_to=("restoreEntity",))


def require_generic(kind: ThingType) -> ThingType:
    if kind.is_managed:
        fix, *operation = ENDPOINTS.get(kind.name, ("the platform maintains it for you",))
        raise ManagedType(flaws=[Flaw("body.type", f"`{kind.name}` cannot be written here", fix)], leads_to=operation)
    return kind


async def _lock_writable(session: AsyncSession, actor: Actor, thing_id: UUID) -> Thing:
    query = Thing.visible_to(actor).where(col(Thing.id) == thing_id).with_for_update()
    thing = (await session.exec(query)).first()
    if thing is None:
        raise NotFound
    require_generic(THING_TYPES[thing.type])
    actor.require_own(thing.created_by)
    await get_active_group(session, actor, thing.group_id)
    return thing


async def _check_quota(session: AsyncSession, actor: Actor, group: Group) -> None:
    maximum = PLAN_LIMITS[actor.plan].things_per_group_max
    if maximum is None:
        return
    await lock_for_count(session, group.id)
    if await count_things(session, actor, group.id, at_most=maximum) >= maximum:
        raise QuotaExceeded(f"The plan `{actor.plan}` allows {maximum} entities in a group, and all are in use.")


def record_creation(session: AsyncSession, actor: Actor, thing: Thing) -> None:
    _record(session, actor, "thing_created", thing, status=thing.status)


async def finish_deletions(session: AsyncSession, actor: Actor, things: Sequence[Thing]) -> None:
    """End the live connections of things just deleted, and record each deletion with how many it took.

    Those made in a group that the actor does not see end as well, and are not counted: it is not to learn of them.
    """
    statement = sql(
        "UPDATE connections SET deleted_at = now(), updated_at = now() WHERE org_id = :org_id "
        "AND deleted_at IS NULL AND (from_thing_id = ANY(:ids) OR to_thing_id = ANY(:ids)) "
        "RETURNING from_thing_id, to_thing_id"
    )
    values = {"org_id": actor.org_id, "ids": [thing.id for thing in things]}
    cut = cast("Sequence[tuple[UUID | None, UUID | None]]", (await run_sql(session, statement, values)).all())
    if actor.group_id != actor.org_id:
        async with whole_organisation(session, actor):
            await run_sql(session, statement, values)
    for thing in things:
        taken = sum(thing.id in ends for ends in cut)
        _record(session, actor, "thing_deleted", thing, action="archived", connectionsDeleted=taken)


def _record(session: AsyncSession, actor: Actor, type: str, thing: Thing, **more: Any) -> None:
    record_event(
        session,
        actor,
        type,
        group_id=thing.group_id,
        target_id=encode_id("thing", thing.id),
        metadata={"thingType": thing.type, "entityName": thing.name} | more,
    )
