"""The rows of things: one table for all types; the vocabulary says what a type's properties may hold."""

from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from ontology.actors import Actor
from ontology.ids import GroupId, ThingId, new_id
from ontology.records import Moment, TenantRow, Timestamp, utc_now
from ontology.scopes import Scope
from ontology.vocabulary import THING_TYPES

MANAGED_TYPES = tuple(name for name, kind in THING_TYPES.items() if kind.is_managed)
# What reading a thing of a managed type needs beside `entities:read`: the scope of the operations that manage it.
# All are credentials or belong to them but these two.
MANAGED_SCOPES = dict.fromkeys(MANAGED_TYPES, Scope.API_KEYS_MANAGE) | {
    "user": Scope.PEOPLE_READ,
    "api_quota": Scope.QUOTA_VIEW,
}


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


def may_read_type(actor: Actor, type: str) -> bool:
    """Whether things of this type are shown to who may read entities: always, unless it is managed."""
    return type not in MANAGED_SCOPES or MANAGED_SCOPES[type] in actor.scopes


def require_readable_type(actor: Actor, type: str) -> None:
    """Raises: InsufficientScope, naming the scope that a managed type is read with."""
    if type in MANAGED_SCOPES:
        actor.require(MANAGED_SCOPES[type], f"Reading the type `{type}`")
