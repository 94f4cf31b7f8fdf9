"""Groups: who owns. A root group is an organisation; below it a tree whose reach runs downwards only."""

import re
import secrets
from typing import Annotated, Any, ClassVar
from unicodedata import combining, normalize
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import ColumnElement, ForeignKeyConstraint, Index, Text, UniqueConstraint, Uuid, func, text
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count, lock_tree, run_sql, whole_organisation
from ontology.errors import Flaw, GroupArchived, InvalidRequest, NotFound, QuotaExceeded, SlugTaken
from ontology.events import record_event
from ontology.ids import GroupId, encode_id, new_id
from ontology.merge import merge_patch
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.plans import PLAN_LIMITS
from ontology.records import GroupClosure, Input, Moment, TenantRow, Timestamp, next_change, refuse_nulls, utc_now
from ontology.sizes import check_size
from ontology.vocabulary import GROUP_SETTINGS, GROUP_TYPES, check_properties, unknown_type

DEPTH_MAX = 10
_HANDLE_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_HANDLE_LENGTH = 10
ACTIVE, ARCHIVED = "active", "archived"
# What becomes of keys that leak is the choice of the root group (`ontology/leaks.py`).
LEAK_POLICY = "leakedKeys"
_SETTINGS = (*GROUP_SETTINGS, {"name": LEAK_POLICY, "type": "string", "enum": ["revoke", "shorten"]})


class GroupFields(TenantRow):
    """The public form of a group."""

    group_column: ClassVar[str] = "id"
    id: GroupId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    parent_group_id: GroupId | None = Field(default=None, sa_type=Uuid)
    slug: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    metadata_: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, serialization_alias="metadata", sa_column_kwargs={"name": "metadata"}
    )
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    status: str = Field(default=ACTIVE, sa_type=Text)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    archived_at: Moment | None = Field(default=None, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)


class Group(GroupFields, table=True):
    """A node of the tree. Its last fields are an organisation's, so only roots have them."""

    __tablename__ = "groups"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "slug"),
        UniqueConstraint("handle"),
        ForeignKeyConstraint(["org_id", "parent_group_id"], ["groups.org_id", "groups.id"]),
        Index("ix_groups_org_id_parent_group_id_id", "org_id", "parent_group_id", "id"),
    )
    handle: str | None = Field(default=None, sa_type=Text, exclude=True)
    plan: str | None = Field(default=None, sa_type=Text, exclude=True)
    custom_limits: dict[str, Any] | None = Field(default=None, sa_type=JSONB, exclude=True)
    feature_sets: list[str] | None = Field(default=None, sa_type=JSONB, exclude=True)

    @property
    def features_on(self) -> frozenset[str]:
        return frozenset(self.feature_sets or ())


GroupName = Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Riverside Academy"])]
Slug = Annotated[str, PydanticField(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80, examples=["riverside-academy"])]


class GroupCreate(Input):
    """A sub-group to create, in the key's group unless `parentGroupId` names one below it."""

    name: Annotated[GroupName, PydanticField(description="What people call it.")]
    slug: Slug | None = PydanticField(default=None, description="Unique in the organisation; made from the name.")
    type: str = PydanticField(
        default="organization", max_length=40, description="What kind of group it is.", examples=["business"]
    )
    parent_group_id: GroupId | None = PydanticField(
        default=None, description="The group it lies below; else the key's own."
    )
    description: Annotated[str, PydanticField(max_length=2000)] | None = PydanticField(
        default=None, description="A few words for people."
    )
    metadata_: dict[str, Any] = PydanticField(
        default_factory=dict, alias="metadata", description="Anything of your own to keep with it."
    )
    settings: dict[str, Any] = PydanticField(
        default_factory=dict, description="`visibility` and `joinPolicy`; filled in by the type."
    )


class GroupUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays. Slug, type and place in the tree are not changed here."""

    name: Annotated[GroupName, PydanticField(description="What people call it.")] | None = None
    description: Annotated[str, PydanticField(max_length=2000)] | None = PydanticField(
        default=None, description="A few words for people; null removes them."
    )
    metadata_: dict[str, Any] | None = PydanticField(
        default=None, alias="metadata", description="Merged; a name set to null goes."
    )
    settings: dict[str, Any] | None = PydanticField(default=None, description="Merged; a name set to null goes.")


def make_slug(name: str) -> str:
    """A slug from a name, accents taken off, with a random end so that two groups of one name get two slugs."""
    letters = (letter for letter in normalize("NFKD", name.casefold()) if not combining(letter))
    words = re.sub(r"[^a-z0-9]+", "-", "".join(letters)).strip("-")[:60].strip("-")
    return f"{words or 'group'}-{secrets.token_hex(3)}"


def make_handle() -> str:
    """The short public name of an organisation inside its keys."""
    return "".join(secrets.choice(_HANDLE_ALPHABET) for _ in range(_HANDLE_LENGTH))


async def get_group(session: AsyncSession, actor: Actor, group_id: UUID) -> Group:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    found = (await session.exec(Group.visible_to(actor).where(col(Group.id) == group_id))).first()
    if found is None:
        raise NotFound
    return found


async def get_active_group(session: AsyncSession, actor: Actor, group_id: UUID | None) -> Group:
    """The group to write into: the actor's own unless another within reach is named.

    Raises:
        NotFound: out of reach, the same as unknown.
        GroupArchived: it takes no writes until it is restored.
    """
    group = await get_group(session, actor, group_id or actor.group_id)
    if group.status != ACTIVE:
        raise GroupArchived
    return group


async def create_group(session: AsyncSession, actor: Actor, new: GroupCreate) -> Group:
    """Create a sub-group; counts against the plan exactly, also when many are created at once.

    Raises:
        NotFound, GroupArchived: the parent. UnknownType: the type. InvalidProperties: the settings. SlugTaken.
        QuotaExceeded: the plan's sub-groups. InvalidRequest: too deep.
    """
    if new.type not in GROUP_TYPES:
        raise unknown_type("body.type", new.type, GROUP_TYPES)
    check_properties(_SETTINGS, new.settings, "body.settings")
    check_size(new.settings, "body.settings")
    check_size(new.metadata_, "body.metadata")
    await lock_tree(session, actor.org_id, shared=True)
    parent = await get_active_group(session, actor, new.parent_group_id)
    await check_group_quota(session, actor)
    await check_depth(session, actor, parent)
    group = Group(
        org_id=actor.org_id,
        parent_group_id=parent.id,
        slug=new.slug or make_slug(new.name),
        name=new.name,
        type=new.type,
        description=new.description,
        metadata_=new.metadata_,
        settings=_fill_settings(new.type, new.settings),
        created_by=actor.id,
    )
    await insert_closure(session, group)
    await _insert(session, group)
    record_group_event(session, actor, "thing_created", group)
    return group


async def update_group(session: AsyncSession, actor: Actor, group_id: UUID, change: GroupUpdate) -> Group:
    """Merge a change into a group; concurrent patches wait for one another and lose nothing.

    Raises:
        NotFound, GroupArchived: the group. InvalidProperties: the settings. InvalidRequest: it would lose its name.
    """
    refuse_nulls(change, "name", "metadata_", "settings")
    query = Group.visible_to(actor).where(col(Group.id) == group_id).with_for_update()
    group = (await session.exec(query)).first()
    if group is None:
        raise NotFound
    if group.status != ACTIVE:
        raise GroupArchived
    given = change.model_fields_set
    if change.settings is not None:
        merged = _fill_settings(group.type, merge_patch(group.settings, change.settings))
        check_properties(_SETTINGS, merged, "body.settings")
        check_size(merged, "body.settings")
        group.settings = merged
    if change.metadata_ is not None:
        group.metadata_ = merge_patch(group.metadata_, change.metadata_)
        check_size(group.metadata_, "body.metadata")
    if "description" in given:
        group.description = change.description
    group.name = change.name or group.name
    group.updated_at = next_change(group.updated_at)
    fields = sorted(name.rstrip("_") for name in given)
    record_group_event(session, actor, "thing_updated", group, action="updated", fields=fields)
    return group


def _fill_settings(type: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is not given is as the type has it."""
    defaults = GROUP_TYPES[type].defaults
    return {rule["name"]: defaults[rule["name"]] for rule in GROUP_SETTINGS} | given


async def _insert(session: AsyncSession, group: Group) -> None:
    """The database decides who has a slug: of groups out of reach too, and when many ask at once.

    Raises:
        SlugTaken.
    """
    session.add(group)
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_groups_org_id_slug" not in str(error.orig):
            raise
        flaw = Flaw("body.slug", "is used by another group of the organisation", f"try `{make_slug(group.name)}`")
        raise SlugTaken(flaws=[flaw]) from None


async def insert_closure(session: AsyncSession, group: Group) -> None:
    """Write the pairs of a new group, before its row: row-level security asks them whether it may be written."""
    statement = text(
        "INSERT INTO group_closure (org_id, ancestor_id, descendant_id, depth) "
        "SELECT org_id, ancestor_id, :id, depth + 1 FROM group_closure "
        "WHERE org_id = :org_id AND descendant_id = :parent_id UNION ALL SELECT :org_id, :id, :id, 0"
    )
    values = {"org_id": group.org_id, "id": group.id, "parent_id": group.parent_group_id}
    await run_sql(session, statement, values)


async def list_groups(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    parent_group_id: UUID | None = None,
    status: str | None = None,
    type: str | None = None,
    q: str | None = None,
) -> Page[Group]:
    """Groups within reach, newest first; with a parent, its direct children.

    Raises:
        NotFound: the parent is out of reach. UnknownType: the type.
    """
    if type and type not in GROUP_TYPES:
        raise unknown_type("query.type", type, GROUP_TYPES)
    query = Group.visible_to(actor)
    if parent_group_id is not None:
        await get_group(session, actor, parent_group_id)
        query = query.where(col(Group.parent_group_id) == parent_group_id)
    if status:
        query = query.where(col(Group.status) == status)
    if type:
        query = query.where(col(Group.type) == type)
    if q:
        query = query.where(_contains(col(Group.name), q) | _contains(col(Group.slug), q))
    purpose = describe_list("groups", parent=parent_group_id, status=status, type=type, q=q)
    return await fetch_page(session, actor, query, Group.id, page, purpose)


async def find_ancestor_ids(session: AsyncSession, org_id: UUID, group_id: UUID) -> tuple[UUID, ...]:
    """The groups above one, nearest first, itself not included."""
    query = (
        select(GroupClosure.ancestor_id)
        .where(GroupClosure.org_id == org_id, GroupClosure.descendant_id == group_id, GroupClosure.depth > 0)
        .order_by(col(GroupClosure.depth))
    )
    return tuple((await session.exec(query)).all())


async def get_organisation(session: AsyncSession, actor: Actor) -> Group:
    """The root of the actor's tree, for its name, handle and plan; it may lie above the actor's reach."""
    async with whole_organisation(session, actor):
        return (await session.exec(select(Group).where(Group.id == actor.org_id))).one()


def _contains(column: Mapped[str], words: str) -> ColumnElement[bool]:
    """Case-blind substring; `%` and `_` are text, not wildcards."""
    return func.strpos(func.lower(column), words.lower()) > 0


async def count_sub_groups(session: AsyncSession, actor: Actor) -> int:
    """Live groups of the whole organisation, the root not counted."""
    query = select_columns(func.count()).where(
        col(Group.org_id) == actor.org_id, col(Group.id) != actor.org_id, col(Group.status) == ACTIVE
    )
    async with whole_organisation(session, actor):
        return (await run_sql(session, query)).scalar_one()


async def check_group_quota(session: AsyncSession, actor: Actor) -> None:
    """Refuse one more live sub-group when the plan's are used up; exact, since parallel askers wait until commit.

    Raises:
        QuotaExceeded.
    """
    maximum = PLAN_LIMITS[actor.plan].sub_groups_max
    if maximum is None:
        return
    await lock_for_count(session, actor.org_id)
    if await count_sub_groups(session, actor) >= maximum:
        told = f"The plan `{actor.plan}` allows {maximum} sub-groups, and all are in use."
        raise QuotaExceeded(told, counted="groups")


async def check_depth(session: AsyncSession, actor: Actor, parent: Group, height: int = 0) -> None:
    """Refuse to put a group, with `height` levels below it, under a parent that lies too deep.

    Raises:
        InvalidRequest: it, or what lies below it, would be more than `DEPTH_MAX` levels from the root.
    """
    depth = len(await find_ancestor_ids(session, actor.org_id, parent.id))
    if depth + 1 + height > DEPTH_MAX:
        flaw = Flaw("body.parentGroupId", f"groups nest at most {DEPTH_MAX} deep", "choose a parent nearer the root")
        raise InvalidRequest(flaws=[flaw])


def record_group_event(session: AsyncSession, actor: Actor, type: str, group: Group, **more: Any) -> None:
    """The event of a change of a group."""
    target, metadata = encode_id("group", group.id), {"thingType": "group", "entityName": group.name}
    record_event(session, actor, type, group_id=group.id, target_id=target, metadata=metadata | more)
