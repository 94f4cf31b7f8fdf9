"""What a group holds, counted in one statement."""

from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import ColumnElement, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection
from ontology.database import run_sql
from ontology.events import Event
from ontology.groups import ACTIVE, Group, get_group
from ontology.ids import GroupId
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import GroupClosure, Record, TenantRow
from ontology.thing_rows import MANAGED_TYPES, Thing
from ontology.vocabulary import CONNECTION_TYPES

MANAGED_RELATIONS = tuple(name for name, kind in CONNECTION_TYPES.items() if kind.is_managed)


class GroupStatistics(Record):
    """Live rows of a group, or of it and every group below it."""

    group_id: GroupId
    subtree: bool = PydanticField(description="Whether the groups below are counted in.")
    members: int = PydanticField(description="Active people.")
    entities: int = PydanticField(description="Entities that are not deleted, managed types left out.")
    connections: int = PydanticField(description="Connections that are not deleted, managed types left out.")
    events: int = PydanticField(description="Changes and acts; API calls are not counted here.")
    knowledge: int = PydanticField(description="Documents.")
    sub_groups: int = PydanticField(description="Active groups below: the children, or with `subtree` all of them.")


async def count_group(session: AsyncSession, actor: Actor, group_id: UUID, *, subtree: bool) -> GroupStatistics:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    group = await get_group(session, actor, group_id)
    below = select(col(GroupClosure.descendant_id)).where(
        col(GroupClosure.org_id) == actor.org_id, col(GroupClosure.ancestor_id) == group.id
    )

    def within(model: type[TenantRow], column: str = "group_id") -> ColumnElement[bool]:
        place = col(getattr(model, column))
        return model.reach(actor) & (place.in_(below) if subtree else place == group.id)

    sub_groups = within(Group, "id") if subtree else within(Group, "parent_group_id")
    counted: dict[str, tuple[ColumnElement[bool], ...]] = {
        "members": (within(Person), col(Person.status) == ACTIVE),
        "entities": (within(Thing), col(Thing.deleted_at).is_(None), col(Thing.type).not_in(MANAGED_TYPES)),
        "connections": (
            within(Connection),
            col(Connection.deleted_at).is_(None),
            col(Connection.relationship_type).not_in(MANAGED_RELATIONS),
        ),
        "events": (within(Event),),
        "knowledge": (
            within(KnowledgeItem),
            col(KnowledgeItem.knowledge_type) == "document",
            col(KnowledgeItem.deleted_at).is_(None),
        ),
        "sub_groups": (sub_groups, col(Group.id) != group.id, col(Group.status) == ACTIVE),
    }
    columns = [
        select(func.count()).where(*conditions).scalar_subquery().label(name) for name, conditions in counted.items()
    ]
    found = (await run_sql(session, select(*columns))).one()
    return GroupStatistics(group_id=group.id, subtree=subtree, **found._mapping)  # pyright: ignore[reportPrivateUsage]
