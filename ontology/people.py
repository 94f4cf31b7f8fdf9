"""People: who may. A person belongs to one organisation and holds a role in it."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Text, UniqueConstraint, Uuid
from sqlmodel import Field

from ontology.ids import GroupId, PersonId, new_id
from ontology.records import Moment, TenantRow, Timestamp, utc_now


class Role(StrEnum):
    """From widest to narrowest."""

    PLATFORM_OWNER = "platform_owner"
    ORG_OWNER = "org_owner"
    ORG_USER = "org_user"
    CUSTOMER = "customer"


class PersonFields(TenantRow):
    """The public form of a person."""

    id: PersonId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    status: str = Field(default="active", sa_type=Text)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)


class Person(PersonFields, table=True):
    """One e-mail address stands once in an organisation."""

    __tablename__ = "people"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "email"),
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("role IN ('platform_owner', 'org_owner', 'org_user', 'customer')", name="role"),
    )
