"""Things: what exists. One table for all types; the vocabulary says what a type's properties may hold."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    literal_column,
)
from sqlalchemy import select as select_columns
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count, run_sql
from ontology.errors import Conflict, Flaw, ManagedType, NotFound, QuotaExceeded
from ontology.events import record_event
from ontology.features import require_feature
from ontology.groups import Group, get_active_group, get_group
from ontology.ids import GroupId, ThingId, encode_id, new_id
from ontology.merge import merge_patch
from ontology.pagination import Page, PageRequest, Sort, count_rows, describe_list, fetch_page, fetch_sorted_page
from ontology.plans import PLAN_LIMITS
from ontology.property_filters import PropertyFilter, match_properties
from ontology.records import Input, Moment, TenantRow, Timestamp, next_change, refuse_nulls, utc_now
from ontology.vocabulary import THING_TYPES, ThingType, check_properties, get_thing_type

MANAGED_TYPES = tuple(name for name, kind in THING_TYPES.items() if kind.is_managed)
ENDPOINTS = {
    "api_key": ("use /v1/api-keys", "createApiKey"),
    "api_application": ("use /v1/applications", "createApplication"),
    "api_quota": ("use /v1/quota", "getQuota"),
    "service_account": ("use /v1/applications, each of which has one", "createApplication"),
    "user": ("use /v1/invitations", "createInvitation"),
}
_SEARCH_WORDS_MAX = 8
_SEARCH = literal_column("things.search", TSVECTOR)


class Status(StrEnum):
    """Where a thing stands."""

    DRAFT = "draft"
    ACTIVE = "active"
    INACTIVE = "inactive"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class ThingFields(TenantRow):
    """The public form of a thing."""

    id: ThingId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    type: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    properties: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    status: str = Field(default=Status.DRAFT, sa_type=Text)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    deleted_at: Moment | None = Field(default=None, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)

    def as_json(self) -> dict[str, Any]:
        """Without the properties that the vocabulary marks sensitive."""
        data = super().as_json()
        hidden = THING_TYPES[self.type].sensitive_names
        data["properties"] = {k: v for k, v in data["properties"].items() if k not in hidden}
        return data


class SortBy(StrEnum):
    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class ThingFilter:
    """When things were made and changed (from `after` on, before `before`), and what their properties hold."""

    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    properties: tuple[PropertyFilter, ...] = ()


class Thing(ThingFields, table=True):
    """Indexed for the list and its filters, always within the organisation.

    The generated column `search` (name and texts, GIN) is the database's own: it is filtered on, never loaded.
    """

    __tablename__ = "things"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("status IN ('draft', 'active', 'inactive', 'published', 'archived')", name="status"),
        Index("ix_things_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_things_org_id_type_id", "org_id", "type", "id"),
        *(Index(f"ix_things_org_id_{name}_id", "org_id", name, "id") for name in ("created_at", "updated_at", "name")),
    )


_SORT_COLUMNS: dict[SortBy, Any] = {
    SortBy.CREATED_AT: Thing.created_at,
    SortBy.UPDATED_AT: Thing.updated_at,
    SortBy.NAME: Thing.name,
}

ThingName = Annotated[
    str, PydanticField(min_length=1, max_length=500, pattern=r"\S", examples=["Introduction to Botany"])
]
TypeName = Annotated[str, PydanticField(min_length=1, max_length=80, examples=["course"])]
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
    """
    found = (await session.exec(Thing.visible_to(actor).where(col(Thing.id) == thing_id))).first()
    if found is None:
        raise NotFound
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
    kind = check_new_thing(actor, new)
    return Thing(
        org_id=actor.org_id,
        group_id=group.id,
        type=kind.name,
        name=new.name,
        properties=new.properties,
        status=new.status,
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
    statement = sql(
        "UPDATE connections SET deleted_at = :now, updated_at = :now "
        "WHERE org_id = :org_id AND deleted_at IS NULL AND (from_thing_id = :id OR to_thing_id = :id)"
    )
    cut = await run_sql(session, statement, {"now": thing.deleted_at, "org_id": actor.org_id, "id": thing.id})
    record_deletion(session, actor, thing, cut.rowcount)
    return thing


def apply_delete(thing: Thing) -> None:
    """Mark a locked thing; its connections and event are the caller's to see to."""
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


async def list_things(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    type: str | None = None,
    status: str | None = None,
    q: str | None = None,
    group_id: UUID | None = None,
    include_deleted: bool = False,
    narrow: ThingFilter = ThingFilter(),
    sort_by: SortBy | None = None,
    descending: bool = True,
    with_total: bool = False,
) -> Page[Thing]:
    """Things within reach, newest first unless sorted; those of a managed type only when `type` asks for it.

    `q` finds things that hold every word, or begin of one, in name or texts. `with_total` counts all pages together, no
    further than `TOTAL_MAX`.

    Raises:
        NotFound: the group is out of reach. UnknownType: the type.
    """
    query = Thing.visible_to(actor).where(*_narrow(narrow))
    if type:
        query = query.where(col(Thing.type) == get_thing_type(type, "query.type").name)
    else:
        query = query.where(col(Thing.type).not_in(MANAGED_TYPES))
    if status:
        query = query.where(col(Thing.status) == status)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Thing.group_id) == group.id)
    if not include_deleted:
        query = query.where(col(Thing.deleted_at).is_(None))
    if q:
        query = query.where(_SEARCH.op("@@")(func.to_tsquery("simple", _prefix_query(q))))
    total = await count_rows(session, query, Thing.id) if with_total else None
    given: dict[str, Any] = {"type": type, "status": status, "q": q, "group": group_id, "deleted": include_deleted}
    if narrow != ThingFilter():
        given["narrow"] = narrow
    if sort_by is None and descending:
        found = await fetch_page(session, actor, query, Thing.id, page, describe_list("things", **given))
        return replace(found, total=total)
    sort = Sort(_SORT_COLUMNS[sort_by or SortBy.CREATED_AT], descending)
    purpose = describe_list("things", sort=sort_by, descending=descending, **given)
    found = await fetch_sorted_page(session, actor, query, Thing.id, sort, page, purpose)
    return replace(found, total=total)


def _narrow(wanted: ThingFilter) -> list[ColumnElement[bool]]:
    conditions = match_properties(col(Thing.properties), wanted.properties)
    for column, after, before in (
        (col(Thing.created_at), wanted.created_after, wanted.created_before),
        (col(Thing.updated_at), wanted.updated_after, wanted.updated_before),
    ):
        if after is not None:
            conditions.append(column >= after)
        if before is not None:
            conditions.append(column < before)
    return conditions


async def count_things(session: AsyncSession, actor: Actor, group_id: UUID | None = None, at_most: int = 10**9) -> int:
    """Live things within reach that count against a plan (managed types do not), no further than `at_most`."""
    query = select_columns(col(Thing.id)).where(
        Thing.reach(actor), col(Thing.deleted_at).is_(None), col(Thing.type).not_in(MANAGED_TYPES)
    )
    if group_id:
        query = query.where(col(Thing.group_id) == group_id)
    counted = select_columns(func.count()).select_from(query.limit(at_most).subquery())
    return (await run_sql(session, counted)).scalar_one()


def _prefix_query(q: str) -> str:
    """Each word as a prefix, all required; a query without a word finds nothing."""
    words = re.findall(r"\w+", q.lower())[:_SEARCH_WORDS_MAX]
    return " & ".join(f"'{word}':*" for word in words)


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


def record_deletion(session: AsyncSession, actor: Actor, thing: Thing, connections: int) -> None:
    _record(session, actor, "thing_deleted", thing, action="archived", connectionsDeleted=connections)


def _record(session: AsyncSession, actor: Actor, type: str, thing: Thing, **more: Any) -> None:
    record_event(
        session,
        actor,
        type,
        group_id=thing.group_id,
        target_id=encode_id("thing", thing.id),
        metadata={"thingType": thing.type, "entityName": thing.name} | more,
    )
