"""What every row has in common: typed ids, epoch times, camelCase names, and the one door to rows of a tenant."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnElement, DateTime, MetaData, Uuid
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import Actor
from ontology.errors import Flaw, InvalidRequest

# Constraint names are stable across databases, so that a migration can name what it changes.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

# 2000-01-01 and 9999-12-31, in milliseconds: what a timestamp column and every client language can hold.
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
EPOCH_MS_MIN, EPOCH_MS_MAX = 946_684_800_000, 253_402_214_400_000


def utc_now() -> datetime:
    return datetime.now(UTC)


def next_change(last: datetime) -> datetime:
    """The moment of a change after `last`: now, but never the same twice, since it is also the row's version."""
    return max(utc_now(), last + timedelta(microseconds=1))


def to_epoch_ms(moment: datetime) -> int:
    """Whole milliseconds, in whole numbers: by way of a float some moments would come out one too early."""
    return (moment - _EPOCH) // _MILLISECOND


def as_whole(value: Any) -> Any:
    """`18.0` as 18: to JSON Schema, and to clients with one kind of number, both are the same integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(as_whole)


def parse_moment(value: Any) -> datetime:
    """Read epoch milliseconds or ISO 8601.

    Raises:
        PydanticCustomError: neither, or outside the years 2000 to 9999.
    """
    if isinstance(value, str):
        try:
            value = int(value) if value.isascii() and value.isdigit() else datetime.fromisoformat(value)
        except ValueError:
            raise PydanticCustomError("moment", "must be epoch milliseconds or an ISO 8601 time") from None
    if isinstance(value, datetime):
        value = to_epoch_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
    value = as_whole(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("moment", "must be epoch milliseconds or an ISO 8601 time")
    if not EPOCH_MS_MIN <= value <= EPOCH_MS_MAX:
        raise PydanticCustomError("moment", "must lie between the years 2000 and 9999")
    return _EPOCH + value * _MILLISECOND


_MOMENT_SCHEMA = {
    "type": "integer",
    "format": "int64",
    "minimum": EPOCH_MS_MIN,
    "maximum": EPOCH_MS_MAX,
    "examples": [1_795_500_000_000],
}
Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    PlainSerializer(to_epoch_ms, return_type=int),
    WithJsonSchema(_MOMENT_SCHEMA),
]

Timestamp: Any = DateTime(timezone=True)


class Record(SQLModel):
    """Base of rows and inputs: snake_case in code and SQL, camelCase in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)  # pyright: ignore[reportAssignmentType]
    metadata: ClassVar[MetaData] = metadata  # pyright: ignore[reportIncompatibleVariableOverride]
    # Whether the public form can change while `updated_at` stands still.
    shows_more_than_its_row: ClassVar[bool] = False

    def as_json(self) -> dict[str, Any]:
        """The public form, in the order the fields are declared."""
        data = self.model_dump(mode="json", by_alias=True)
        names = [field.serialization_alias or name for name, field in type(self).model_fields.items()]
        return {name: data[name] for name in names if name in data} | data


class Input(BaseModel):
    """Base of request bodies: strict about types, and an unknown field is an error, not a surprise."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        strict=True,
        str_strip_whitespace=True,
    )


def refuse_nulls(change: Input, *names: str) -> None:
    """What every row has can be changed, not taken away; a merge patch's null would.

    Raises: InvalidRequest naming each that is null.
    """
    nulls = [name for name in names if name in change.model_fields_set and getattr(change, name) is None]
    if taken := [to_camel(name.rstrip("_")) for name in nulls]:
        remedy = "leave it out or give a value"
        raise InvalidRequest(flaws=[Flaw(f"body.{name}", "cannot be taken away", remedy) for name in taken])


class TenantRow(Record):
    """A row of an organisation, in one of its groups. `visible_to` is the only door to such rows."""

    group_column: ClassVar[str] = "group_id"
    org_id: UUID = Field(sa_type=Uuid, exclude=True)

    @classmethod
    def reach(cls, actor: Actor) -> ColumnElement[bool]:
        """Wall one: the actor's organisation, and within it the actor's group and those below."""
        same_org = col(cls.org_id) == actor.org_id
        if actor.group_id == actor.org_id:
            return same_org
        below = select(GroupClosure.descendant_id).where(
            GroupClosure.org_id == actor.org_id, GroupClosure.ancestor_id == actor.group_id
        )
        return same_org & col(getattr(cls, cls.group_column)).in_(below)

    @classmethod
    def visible_to(cls, actor: Actor) -> SelectOfScalar[Self]:
        """Start a query: only rows within the actor's reach."""
        return select(cls).where(cls.reach(actor))


class GroupClosure(Record, table=True):
    """Every pair of a group and one of its ancestors, itself included at depth 0."""

    __tablename__ = "group_closure"  # pyright: ignore[reportAssignmentType]
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    ancestor_id: UUID = Field(sa_type=Uuid, primary_key=True)
    descendant_id: UUID = Field(sa_type=Uuid, primary_key=True)
    depth: int
