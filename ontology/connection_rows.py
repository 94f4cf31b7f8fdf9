"""The rows of connections: two ends, each a thing, a person or a group in a column of its own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypedDict, cast
from uuid import UUID

from pydantic import Field as PydanticField
from pydantic import computed_field
from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col

from ontology.ids import ConnectionId, GroupId, decode_id, encode_id, new_id
from ontology.records import Moment, TenantRow, Timestamp, utc_now

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


def _person_and_group_indexes() -> list[Index]:
    """Most connections have things at their ends, and are left out."""
    columns = [f"{end}_{kind}_id" for kind in ("person", "group") for end in ("from", "to")]
    return [
        Index(f"ix_connections_org_id_{column}", "org_id", column, postgresql_where=text(f"{column} IS NOT NULL"))
        for column in columns
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
        Index("ix_connections_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_connections_org_id_relationship_type_id", "org_id", "relationship_type", "id"),
        Index("ix_connections_org_id_from_thing_id_id", "org_id", "from_thing_id", "id"),
        Index("ix_connections_org_id_to_thing_id_id", "org_id", "to_thing_id", "id"),
        *_person_and_group_indexes(),
    )


EndId = Annotated[
    str,
    PydanticField(
        pattern=r"^(thing|person|group)_[0-7][0-9a-hjkmnp-tv-z]{25}$",
        description="A thing, a person, or for some types a group.",
        examples=["thing_01jd8kq3v5e9ra7t2m4xw6yz0c"],
    ),
]


def touches(ids: Sequence[str], ends: Sequence[str] = ("from", "to")) -> ColumnElement[bool]:
    """Connections with one of these at one of the ends; each end and kind has its index."""
    by_kind: dict[str, list[UUID]] = {}
    for value in ids:
        kind, identity = decode_id(value)
        by_kind.setdefault(kind, []).append(identity)
    return or_(
        *(col(getattr(Connection, f"{end}_{kind}_id")).in_(found) for end in ends for kind, found in by_kind.items())
    )


def holds_at(moment: datetime) -> ColumnElement[bool]:
    """From `validFrom` on, before `validTo`; what has no bound holds always."""
    begun = col(Connection.valid_from).is_(None) | (col(Connection.valid_from) <= moment)
    return begun & (col(Connection.valid_to).is_(None) | (col(Connection.valid_to) > moment))


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
