"""Connections: how things, people and groups relate. Directed, typed, and unique among live rows unless repeatable."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import ColumnElement
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import END_KINDS, Connection, EndId, end_columns, holds_at, touches
from ontology.database import lock_for_count
from ontology.errors import (
    Conflict,
    DuplicateConnection,
    Flaw,
    InvalidConnection,
    InvalidRequest,
    ManagedType,
    NotFound,
)
from ontology.events import record_event
from ontology.features import require_feature
from ontology.groups import ACTIVE, get_active_group, get_group
from ontology.ids import GroupId, decode_id, encode_id
from ontology.merge import merge_patch
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.people import Person
from ontology.records import Input, Moment, next_change, refuse_nulls, utc_now
from ontology.sizes import check_size
from ontology.thing_rows import Thing
from ontology.vocabulary import ConnectionType, check_properties, get_connection_type

# Groups may stand at an end of these types only.
GROUP_TYPES_OF_CONNECTION = frozenset({"member_of", "owns", "belongs_to_org"})
ENDPOINTS = {
    "member_of": ("invite the person with /v1/invitations", "createInvitation"),
    "owns_api_key": ("create the key with /v1/api-keys", "createApiKey"),
    "authenticated_by": ("create the key with /v1/api-keys and the application's id", "createApiKey"),
    "belongs_to_org": ("create the application with /v1/applications", "createApplication"),
}


class ConnectionCreate(Input):
    """A connection to create; both ends lie within the key's reach."""

    relationship_type: Annotated[
        str,
        PydanticField(
            min_length=1,
            max_length=80,
            pattern=r"\S",
            description="A connection type of the vocabulary.",
            examples=["part_of"],
        ),
    ]
    from_id: EndId
    to_id: EndId
    metadata_: dict[str, Any] = PydanticField(
        default_factory=dict, alias="metadata", description="What the connection itself holds."
    )
    strength: Annotated[float, PydanticField(ge=0, le=1)] | None = PydanticField(
        default=None, description="From 0 (weak) to 1 (strong)."
    )
    valid_from: Moment | None = PydanticField(default=None, description="From when it holds.")
    valid_to: Moment | None = PydanticField(default=None, description="Until when it holds.")
    group_id: GroupId | None = PydanticField(default=None, description="A group within reach; else the key's own.")


class ConnectionUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays, `null` takes away. Ends and type stay as they are."""

    metadata_: dict[str, Any] | None = PydanticField(
        default=None, alias="metadata", description="Merged; a name set to null goes."
    )
    strength: Annotated[float, PydanticField(ge=0, le=1)] | None = PydanticField(
        default=None, description="From 0 (weak) to 1 (strong); null for none."
    )
    valid_from: Moment | None = PydanticField(default=None, description="From when it holds; null for always.")
    valid_to: Moment | None = PydanticField(default=None, description="Until when it holds; null for ever.")


class Validity(StrEnum):
    """Where a moment lies in the time for which a connection holds."""

    FUTURE = "future"
    ACTIVE = "active"
    EXPIRED = "expired"


async def get_connection(session: AsyncSession, actor: Actor, connection_id: UUID) -> Connection:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    query = Connection.visible_to(actor).where(col(Connection.id) == connection_id)
    if (found := (await session.exec(query)).first()) is None:
        raise NotFound
    return found


async def create_connection(session: AsyncSession, actor: Actor, new: ConnectionCreate) -> Connection:
    """Connect two ends, with its event; the same pair twice at once makes one connection and one refusal.

    Raises:
        UnknownType, FeatureDisabled, InvalidConnection, InvalidProperties, DuplicateConnection.
        ManagedType: the platform maintains it; a membership of a group is one.
        NotFound: the group or an end, the same whether it does not exist or lies out of reach.
    """
    kind = _check_new(actor, new)
    connection = await _build_connection(session, actor, kind, new)
    if not kind.repeatable and (twin := await _find_twin(session, actor, connection)) is not None:
        place = encode_id("connection", twin.id)
        flaw = Flaw("body", "the two ends are connected already", f"use `{place}`")
        raise DuplicateConnection(flaws=[flaw], leads_to=("getConnection", "putConnection"))
    await add_connection(session, actor, connection)
    return connection


async def put_connection(session: AsyncSession, actor: Actor, new: ConnectionCreate) -> Connection:
    """Connect two ends, or make the connection they have what is given; parallel calls make one connection.

    Raises:
        The same as `create_connection`, but for duplicates. InvalidConnection: the type joins a pair more than once.
    """
    kind = _check_new(actor, new)
    if kind.repeatable:
        flaw = Flaw("body.relationshipType", f"`{kind.name}` joins a pair more than once", "create it with POST")
        raise InvalidConnection(flaws=[flaw], leads_to=("createConnection",))
    connection = await _build_connection(session, actor, kind, new)
    twin = await _find_twin(session, actor, connection)
    if twin is None:
        await add_connection(session, actor, connection)
        return connection
    actor.require_own(twin.created_by)
    await get_active_group(session, actor, twin.group_id)
    twin.metadata_, twin.strength = new.metadata_, new.strength
    twin.valid_from, twin.valid_to = new.valid_from, new.valid_to
    twin.updated_at = next_change(twin.updated_at)
    _record(session, actor, "thing_updated", twin)
    return twin


def _check_new(actor: Actor, new: ConnectionCreate) -> ConnectionType:
    kind = get_connection_type(new.relationship_type)
    if kind.is_managed_towards(decode_id(new.to_id)[0]):
        fix, *operation = ENDPOINTS.get(kind.name, ("the platform maintains it",))
        flaw = Flaw("body.relationshipType", f"`{kind.name}` cannot be written here", fix)
        raise ManagedType(flaws=[flaw], leads_to=operation)
    require_feature(actor, kind, "body.relationshipType")
    if new.from_id == new.to_id:
        flaw = Flaw("body.toId", "is the same as `fromId`", "name two different ends")
        raise InvalidConnection(flaws=[flaw])
    _check_validity(new.valid_from, new.valid_to)
    check_properties(kind.properties, new.metadata_, "body.metadata")
    check_size(new.metadata_, "body.metadata")
    return kind


def _check_validity(valid_from: datetime | None, valid_to: datetime | None) -> None:
    if valid_from and valid_to and valid_from > valid_to:
        raise InvalidRequest(flaws=[Flaw("body.validTo", "lies before `validFrom`", "swap the two times")])


async def _build_connection(
    session: AsyncSession, actor: Actor, kind: ConnectionType, new: ConnectionCreate
) -> Connection:
    group = await get_active_group(session, actor, new.group_id)
    await _check_end(session, actor, kind, "from", new.from_id)
    await _check_end(session, actor, kind, "to", new.to_id)
    return Connection(
        org_id=actor.org_id,
        group_id=group.id,
        relationship_type=kind.name,
        metadata_=new.metadata_,
        strength=new.strength,
        valid_from=new.valid_from,
        valid_to=new.valid_to,
        created_by=actor.id,
        **end_columns(new.from_id, new.to_id),
    )


async def add_connection(session: AsyncSession, actor: Actor, connection: Connection) -> None:
    """Store a connection that its own rules have checked, with its event."""
    session.add(connection)
    await session.flush()
    _record(session, actor, "thing_created", connection)


async def update_connection(
    session: AsyncSession, actor: Actor, connection_id: UUID, change: ConnectionUpdate
) -> Connection:
    """Merge a change into a connection; concurrent patches wait for one another and lose nothing.

    Raises:
        NotFound, ManagedType, InvalidProperties, InvalidRequest. Conflict: it is deleted.
    """
    refuse_nulls(change, "metadata_")
    connection = await _lock_writable(session, actor, connection_id)
    if connection.deleted_at is not None:
        raise Conflict("The connection is deleted; create it again.", leads_to=("createConnection",))
    given = change.model_fields_set
    merged = merge_patch(connection.metadata_, change.metadata_ or {})
    check_properties(get_connection_type(connection.relationship_type).properties, merged, "body.metadata")
    check_size(merged, "body.metadata")
    valid_from = change.valid_from if "valid_from" in given else connection.valid_from
    valid_to = change.valid_to if "valid_to" in given else connection.valid_to
    _check_validity(valid_from, valid_to)
    connection.metadata_, connection.valid_from, connection.valid_to = merged, valid_from, valid_to
    if "strength" in given:
        connection.strength = change.strength
    connection.updated_at = next_change(connection.updated_at)
    _record(session, actor, "thing_updated", connection)
    return connection


async def delete_connection(session: AsyncSession, actor: Actor, connection_id: UUID) -> Connection:
    """Take a connection out of lists. Deleting twice is harmless.

    Raises:
        NotFound. ManagedType: the platform maintains it.
    """
    connection = await _lock_writable(session, actor, connection_id)
    if connection.deleted_at is None:
        connection.deleted_at = connection.updated_at = next_change(connection.updated_at)
        _record(session, actor, "thing_deleted", connection)
    return connection


async def _lock_writable(session: AsyncSession, actor: Actor, connection_id: UUID) -> Connection:
    query = Connection.visible_to(actor).where(col(Connection.id) == connection_id).with_for_update()
    connection = (await session.exec(query)).first()
    if connection is None:
        raise NotFound
    kind = get_connection_type(connection.relationship_type)
    if kind.is_managed_towards(decode_id(connection.to_id)[0]):
        raise ManagedType("This connection is maintained by the platform.")
    actor.require_own(connection.created_by)
    await get_active_group(session, actor, connection.group_id)
    return connection


async def list_connections(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    from_id: str | None = None,
    to_id: str | None = None,
    relationship_type: str | None = None,
    group_id: UUID | None = None,
    include_deleted: bool = False,
    end_id: str | None = None,
    active_at: datetime | None = None,
    validity: Validity | None = None,
) -> Page[Connection]:
    """Connections within reach, newest first; `end_id` is either end, `validity` that of this moment.

    Raises:
        NotFound: the group is out of reach. UnknownType: the type.
    """
    query = Connection.visible_to(actor)
    for end, value in (("from", from_id), ("to", to_id)):
        if value:
            kind, identity = decode_id(value)
            query = query.where(getattr(Connection, f"{end}_{kind}_id") == identity)
    if end_id:
        query = query.where(touches([end_id]))
    if active_at:
        query = query.where(holds_at(active_at))
    if validity:
        query = query.where(_is(validity, utc_now()))
    if relationship_type:
        kind = get_connection_type(relationship_type, "query.relationshipType")
        query = query.where(col(Connection.relationship_type) == kind.name)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Connection.group_id) == group.id)
    if not include_deleted:
        query = query.where(col(Connection.deleted_at).is_(None))
    given: dict[str, Any] = {"f": from_id, "t": to_id, "type": relationship_type, "group": group_id}
    given |= {"deleted": include_deleted, "end": end_id, "at": active_at, "validity": validity}
    purpose = describe_list("connections", **given)
    return await fetch_page(session, actor, query, Connection.id, page, purpose)


def _is(validity: Validity, now: datetime) -> ColumnElement[bool]:
    match validity:
        case Validity.FUTURE:
            return col(Connection.valid_from) > now
        case Validity.EXPIRED:
            return col(Connection.valid_to) <= now
        case Validity.ACTIVE:
            return holds_at(now)


async def _check_end(session: AsyncSession, actor: Actor, kind: ConnectionType, end: str, value: str) -> None:
    """The end exists within reach, is alive, and is of a type that this connection joins.

    A thing stays alive until commit: who deletes it meanwhile waits, and then takes this connection along.
    """
    where, identity = decode_id(value)
    allowed = kind.sources if end == "from" else kind.targets
    place = f"body.{end}Id"
    if where == "group":
        await get_active_group(session, actor, identity)
        found = "group"
    elif where == "person":
        member = Person.visible_to(actor).where(col(Person.id) == identity, col(Person.status) == ACTIVE)
        person = (await session.exec(member)).first()
        found = "user" if person else ""
    else:
        live = Thing.visible_to(actor).where(col(Thing.id) == identity, col(Thing.deleted_at).is_(None))
        thing = (await session.exec(live.with_for_update(read=True))).first()
        found = thing.type if thing else ""
    if not found:
        raise NotFound
    if where == "group" and kind.name not in GROUP_TYPES_OF_CONNECTION:
        allowed = frozenset(name for name in allowed if name not in ("group", "*"))
    fits = found in allowed or ("*" in allowed and where != "group")
    if not fits:
        names = ", ".join(sorted(allowed))
        flaw = Flaw(place, f"`{kind.name}` cannot have a {found} here", f"use one of: {names}")
        raise InvalidConnection(flaws=[flaw])


async def _find_twin(session: AsyncSession, actor: Actor, new: Connection) -> Connection | None:
    """The live connection of the same ends and type, under a lock on the first end until commit.

    Parallel twins see one another.
    """
    first = new.from_thing_id or new.from_person_id or new.from_group_id
    if first is not None:
        await lock_for_count(session, first)
    query = Connection.visible_to(actor).where(
        col(Connection.relationship_type) == new.relationship_type, col(Connection.deleted_at).is_(None)
    )
    for end in ("from", "to"):
        for kind in END_KINDS:
            name = f"{end}_{kind}_id"
            if (value := getattr(new, name)) is not None:
                query = query.where(getattr(Connection, name) == value)
    return (await session.exec(query.order_by(col(Connection.id)).with_for_update())).first()


def _record(session: AsyncSession, actor: Actor, type: str, connection: Connection) -> None:
    record_event(
        session,
        actor,
        type,
        group_id=connection.group_id,
        target_id=encode_id("connection", connection.id),
        metadata={
            "thingType": "connection",
            "relationshipType": connection.relationship_type,
            "fromId": connection.from_id,
            "toId": connection.to_id,
        },
    )
