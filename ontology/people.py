"""People: who may. A person stands once in a group, with the role held there and in every group below it.

Whoever belongs to several groups or organisations is one person in each; an account joins them (`ontology.accounts`).
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, Uuid
from sqlalchemy import text as sql
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.errors import Flaw, NotFound, PrivilegeEscalation
from ontology.groups import ACTIVE, get_group
from ontology.ids import GroupId, PersonId, encode_id, new_id
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.plans import Plan
from ontology.records import Input, Moment, TenantRow, Timestamp, utc_now
from ontology.roles import MEMBER_ROLES, ROLES, Role


class PersonFields(TenantRow):
    """The public form of a person."""

    id: PersonId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    status: str = Field(default=ACTIVE, sa_type=Text)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)


class Person(PersonFields, table=True):
    """One e-mail address stands once among the active people of a group.

    `account_id` is of who signs in as this person. Row-level security shows the row also to a transaction that states
    the account, so that a signed-in person can be told of all places they belong to.
    """

    __tablename__ = "people"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("role IN ('platform_owner', 'org_owner', 'org_user', 'customer')", name="role"),
        CheckConstraint("status IN ('active', 'archived')", name="status"),
        Index(
            "uq_people_org_id_group_id_email",
            "org_id",
            "group_id",
            "email",
            unique=True,
            postgresql_where=sql("status = 'active'"),
        ),
        Index("ix_people_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_people_account_id", "account_id"),
    )
    account_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)


MemberRole = Annotated[
    Role,
    PydanticField(
        strict=False,
        examples=["org_user"],
        json_schema_extra={"enum": list(MEMBER_ROLES)},
    ),
]


class PersonUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays."""

    name: (
        Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Ada Lovelace"])] | None
    ) = PydanticField(default=None, description="What others call them.")
    role: MemberRole | None = PydanticField(
        default=None, description="What they may do from now on; never more than the one who gives it may."
    )


def act_as(
    person: Person, plan: Plan, ancestor_ids: tuple[UUID, ...] = (), feature_sets: frozenset[str] = frozenset()
) -> Actor:
    """The actor that a signed-in person is: in their group and below it, with the scopes of their role."""
    rights = ROLES[Role(person.role)]
    return Actor(
        id=encode_id("person", person.id),
        org_id=person.org_id,
        group_id=person.group_id,
        scopes=rights.scopes,
        plan=plan,
        ancestor_ids=ancestor_ids,
        edits_own_only=rights.edits_own_only,
        feature_sets=feature_sets,
    )


def refuse_wider_role(actor: Actor, role: Role, place: str = "body.role") -> None:
    """A role is given, changed and taken away only by who may do all that it allows.

    Raises:
        PrivilegeEscalation: the role allows what the actor lacks, or is not for members of an organisation.
    """
    if role not in MEMBER_ROLES or not ROLES[role].scopes <= actor.scopes:
        flaw = Flaw(place, f"`{role}` may do more than you", "choose a role within your own")
        raise PrivilegeEscalation("Nobody can give or take a role that allows more than their own.", flaws=[flaw])


async def get_person(session: AsyncSession, actor: Actor, person_id: UUID, *, lock: bool = False) -> Person:
    """A person within reach, those removed included.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
    """
    query = Person.visible_to(actor).where(col(Person.id) == person_id)
    if (found := (await session.exec(query.with_for_update() if lock else query)).first()) is None:
        raise NotFound
    return found


async def list_people(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    group_id: UUID | None = None,
    role: str | None = None,
    status: str | None = None,
    email: str | None = None,
) -> Page[Person]:
    """People within reach, newest first.

    Raises:
        NotFound: the group is out of reach.
    """
    query = Person.visible_to(actor)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Person.group_id) == group.id)
    if role:
        query = query.where(col(Person.role) == role)
    if status:
        query = query.where(col(Person.status) == status)
    if email:
        query = query.where(col(Person.email) == email.strip().lower())
    purpose = describe_list("people", group=group_id, role=role, status=status, email=email)
    return await fetch_page(session, actor, query, Person.id, page, purpose)
