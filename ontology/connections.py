"""Connections: how things, people and groups relate. Directed, typed, and unique among live rows unless repeatable."""

from typing import Annotated, Any, TypedDict, cast
from uuid import UUID

from pydantic import Field as PydanticField
from pydantic import computed_field
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count
from ontology.errors import (
    DuplicateConnection,
    Flaw,
    InvalidConnection,
    InvalidRequest,
    ManagedType,
    NotFound,
)
from ontology.events import record_event
from ontology.groups import get_active_group, get_group
from ontology.ids import ConnectionId, GroupId, decode_id, encode_id, new_id
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.people import Person
from ontology.records import Input, Moment, TenantRow, Timestamp, next_change, utc_now
from ontology.things import Thing
from ontology.vocabulary import ConnectionType, check_properties, get_connection_type

# Groups may stand at an end of these types only.
GROUP_TYPES_OF_CONNECTION = frozenset({"member_of", "owns", "belongs_to_org"})
# A person is any of the vocabulary's human types.
PERSON_TYPES = frozenset({"creator", "audience_member", "user"})
END_KINDS = ("thing", "person", "group")


class ConnectionFields(TenantRow):
    """The public form of a connection; each end is one of three columns, so that each has its own foreign key."""

    id: ConnectionId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    relationship_type: str = Field(sa_type=Text)
    from_thing_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    from_person_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    from_group_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    to_thing_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    to_person_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    to_group_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
    metadata_: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, serialization_alias="metadata", sa_column_kwargs={"name": "metadata"}
    )
    strength: float | None = None
    valid_from: Moment | None = Field(default=None, sa_type=Timestamp)
    valid_to: Moment | None = Field(default=None, sa_type=Timestamp)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    deleted_at: Moment | None = Field(default=None, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)

    @computed_field(alias="fromId")
    @property
    def from_id(self) -> str:
        return _end_of(self, "from")

    @computed_field(alias="toId")
    @property
    def to_id(self) -> str:
        return _end_of(self, "to")


class EndColumns(TypedDict, total=False):
    """The columns of a connection's two ends, of which one each is set."""

    from_thing_id: UUID
    from_person_id: UUID
    from_group_id: UUID
    to_thing_id: UUID
    to_person_id: UUID
    to_group_id: UUID


def _foreign_keys() -> list[ForeignKeyConstraint]:
    tables = {"thing": "things", "person": "people", "group": "groups"}
    return [
        ForeignKeyConstraint(["org_id", f"{end}_{kind}_id"], [f"{table}.org_id", f"{table}.id"])
        for end in ("from", "to")
        for kind, table in tables.items()
    ]


class Connection(ConnectionFields, table=True):
    """Indexed from both ends, always within the organisation."""

    __tablename__ = "connections"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        *_foreign_keys(),
        CheckConstraint("num_nonnulls(from_thing_id, from_person_id, from_group_id) = 1", name="one_from"),
        CheckConstraint("num_nonnulls(to_thing_id, to_person_id, to_group_id) = 1", name="one_to"),
        Index("ix_connections_org_id_id", "org_id", "id"),
        Index("ix_connections_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_connections_org_id_relationship_type_id", "org_id", "relationship_type", "id"),
        Index("ix_connections_org_id_from_thing_id", "org_id", "from_thing_id"),
        Index("ix_connections_org_id_to_thing_id", "org_id", "to_thing_id"),
        Index("ix_connections_org_id_from_person_id", "org_id", "from_person_id"),
        Index("ix_connections_org_id_to_person_id", "org_id", "to_person_id"),
        Index("ix_connections_org_id_from_group_id", "org_id", "from_group_id"),
        Index("ix_connections_org_id_to_group_id", "org_id", "to_group_id"),
    )


EndId = Annotated[
    str,
    PydanticField(
        pattern=r"^(thing|person|group)_[0-7][0-9a-hjkmnp-tv-z]{25}$",
        description="A thing, a person, or for some types a group.",
        examples=["thing_01jd8kq3v5e9ra7t2m4xw6yz0c"],
    ),
]


class ConnectionCreate(Input):
    """A connection to create; both ends lie within the key's reach."""

    relationship_type: Annotated[
        str,
        PydanticField(
            min_length=1, max_length=80, description="A connection type of the vocabulary.", examples=["part_of"]
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


async def get_connection(session: AsyncSession, actor: Actor, connection_id: UUID) -> Connection:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    query = Connection.visible_to(actor).where(col(Connection.id) == connection_id)
    if (found := (await session.exec(query)).first()) is None:
        raise NotFound
    return found


async def create_connection(session: AsyncSession, actor: Actor, new: ConnectionCreate) -> Connection:
    """Connect two ends, with its event; the same pair twice at once makes one connection and one refusal.

    Raises:
        UnknownType, ManagedType, InvalidConnection, InvalidProperties, DuplicateConnection.
        NotFound: the group or an end, the same whether it does not exist or lies out of reach.
    """
    kind = get_connection_type(new.relationship_type)
    if kind.is_managed:
        flaw = Flaw("body.relationshipType", f"`{kind.name}` cannot be written here", "the platform maintains it")
        raise ManagedType(flaws=[flaw])
    if new.from_id == new.to_id:
        flaw = Flaw("body.toId", "is the same as `fromId`", "name two different ends")
        raise InvalidConnection(flaws=[flaw])
    if new.valid_from and new.valid_to and new.valid_from > new.valid_to:
        raise InvalidRequest(flaws=[Flaw("body.validTo", "lies before `validFrom`", "swap the two times")])
    check_properties(kind.properties, new.metadata_, "body.metadata")
    group = await get_active_group(session, actor, new.group_id)
    await _check_end(session, actor, kind, "from", new.from_id)
    await _check_end(session, actor, kind, "to", new.to_id)
    connection = Connection(
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
    if not kind.repeatable:
        await _refuse_duplicate(session, actor, connection)
    await add_connection(session, actor, connection)
    return connection


async def add_connection(session: AsyncSession, actor: Actor, connection: Connection) -> None:
    """Store a connection that its own rules have checked, with its event."""
    session.add(connection)
    await session.flush()
    _record(session, actor, "thing_created", connection)


async def delete_connection(session: AsyncSession, actor: Actor, connection_id: UUID) -> Connection:
    """Take a connection out of lists. Deleting twice is harmless.

    Raises:
        NotFound. ManagedType: the platform maintains it.
    """
    query = Connection.visible_to(actor).where(col(Connection.id) == connection_id).with_for_update()
    connection = (await session.exec(query)).first()
    if connection is None:
        raise NotFound
    if get_connection_type(connection.relationship_type).is_managed:
        raise ManagedType("This connection is maintained by the platform.")
    await get_active_group(session, actor, connection.group_id)
    if connection.deleted_at is None:
        connection.deleted_at = connection.updated_at = next_change(connection.updated_at)
        _record(session, actor, "thing_deleted", connection)
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
) -> Page[Connection]:
    """Connections within reach, newest first.

    Raises:
        NotFound: the group is out of reach. UnknownType: the type.
    """
    query = Connection.visible_to(actor)
    for end, value in (("from", from_id), ("to", to_id)):
        if value:
            kind, identity = decode_id(value)
            query = query.where(getattr(Connection, f"{end}_{kind}_id") == identity)
    if relationship_type:
        kind = get_connection_type(relationship_type, "query.relationshipType")
        query = query.where(col(Connection.relationship_type) == kind.name)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Connection.group_id) == group.id)
    if not include_deleted:
        query = query.where(col(Connection.deleted_at).is_(None))
    purpose = describe_list(
        "connections", f=from_id, t=to_id, type=relationship_type, group=group_id, deleted=include_deleted
    )
    return await fetch_page(session, actor, query, Connection.id, page, purpose)


def end_columns(from_id: str, to_id: str) -> EndColumns:
    """The two columns that hold the ends named by typed ids."""
    columns: dict[str, UUID] = {}
    for end, value in (("from", from_id), ("to", to_id)):
        kind, identity = decode_id(value)
        columns[f"{end}_{kind}_id"] = identity
    return cast("EndColumns", columns)


def _end_of(connection: ConnectionFields, end: str) -> str:
    for kind in END_KINDS:
        identity: UUID | None = getattr(connection, f"{end}_{kind}_id")
        if identity is not None:
            return encode_id(kind, identity)
    raise ValueError("a connection has two ends")


async def _check_end(session: AsyncSession, actor: Actor, kind: ConnectionType, end: str, value: str) -> None:
    """The end exists within reach, is alive, and is of a type that this connection joins."""
    where, identity = decode_id(value)
    allowed = kind.sources if end == "from" else kind.targets
    place = f"body.{end}Id"
    if where == "group":
        await get_active_group(session, actor, identity)
        found = "group"
    elif where == "person":
        person = (await session.exec(Person.visible_to(actor).where(col(Person.id) == identity))).first()
        found = "user" if person else ""
    else:
        live = Thing.visible_to(actor).where(col(Thing.id) == identity, col(Thing.deleted_at).is_(None))
        thing = (await session.exec(live)).first()
        found = thing.type if thing else ""
    if not found:
        raise NotFound
    if where == "group" and kind.name not in GROUP_TYPES_OF_CONNECTION:
        allowed = frozenset(name for name in allowed if name not in ("group", "*"))
    fits = found in allowed or ("*" in allowed and where != "group")
    if not fits and not (where == "person" and allowed & PERSON_TYPES):
        names = ", ".join(sorted(allowed))
        flaw = Flaw(place, f"`{kind.name}` cannot have a {found} here", f"use one of: {names}")
        raise InvalidConnection(flaws=[flaw])


async def _refuse_duplicate(session: AsyncSession, actor: Actor, new: Connection) -> None:
    """Under a lock on the first end until commit, so that parallel twins see one another."""
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
    if (twin := (await session.exec(query)).first()) is not None:
        place = encode_id("connection", twin.id)
        raise DuplicateConnection(flaws=[Flaw("body", "the two ends are connected already", f"use `{place}`")])


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
