"""The tree of groups: what lies above and below, and moving, archiving and restoring parts of it.

Whoever changes the tree holds it still (`lock_tree`) from before the first look until commit. The caller raises the
organisation's authorisation epoch after commit, so that every key is judged by the new tree on its next request.
"""

from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_tree, run_sql
from ontology.errors import Conflict, Flaw, InvalidRequest
from ontology.groups import (
    ACTIVE,
    ARCHIVED,
    Group,
    check_depth,
    check_group_quota,
    get_active_group,
    get_group,
    record_group_event,
)
from ontology.ids import GroupId, encode_id
from ontology.records import GroupClosure, Input, next_change, utc_now


class GroupMove(Input):
    """Where a group is to lie from now on."""

    parent_group_id: GroupId = PydanticField(description="The group it lies below from now on.")


async def list_ancestors(session: AsyncSession, actor: Actor, group_id: UUID) -> list[Group]:
    """The groups above one, nearest first, no further up than the actor reaches.

    Raises:
        NotFound: the group is out of reach.
    """
    await get_group(session, actor, group_id)
    above = (
        select(GroupClosure.ancestor_id, GroupClosure.depth)
        .where(
            GroupClosure.org_id == actor.org_id,
            GroupClosure.descendant_id == group_id,
            GroupClosure.depth > 0,
        )
        .subquery()
    )
    query = Group.visible_to(actor).join(above, col(Group.id) == above.c.ancestor_id).order_by(above.c.depth)
    return list((await session.exec(query)).all())


async def list_path(session: AsyncSession, actor: Actor, group_id: UUID) -> list[Group]:
    """From the highest group within reach down to the group itself.

    Raises:
        NotFound: the group is out of reach.
    """
    group = await get_group(session, actor, group_id)
    return [*reversed(await list_ancestors(session, actor, group_id)), group]


async def move_group(session: AsyncSession, actor: Actor, group_id: UUID, move: GroupMove) -> Group:
    """Put a group, with all that lies below it, under another parent. Moving it where it lies is harmless.

    Whoever reached it only through the old parent reaches it no longer; what it holds is indexed again for its new
    ancestors.

    Raises:
        NotFound, GroupArchived: the group or the parent. InvalidRequest: the parent lies below it, or too deep.
    """
    await lock_tree(session, actor.org_id)
    group = await get_active_group(session, actor, group_id)
    parent = await get_active_group(session, actor, move.parent_group_id)
    below = await _list_below(session, actor, group.id)
    if parent.id in below:
        flaw = Flaw("body.parentGroupId", "is the group itself or lies below it", "choose a parent elsewhere")
        raise InvalidRequest(flaws=[flaw])
    if parent.id == group.parent_group_id:
        return group
    await check_depth(session, actor, parent, max(below.values()))
    await _rewrite_closure(session, actor, group.id, parent.id)
    before = group.parent_group_id
    group.parent_group_id, group.updated_at = parent.id, next_change(group.updated_at)
    await session.flush()
    await _index_again(session, actor, list(below))
    record_group_event(
        session,
        actor,
        "thing_updated",
        group,
        action="moved",
        changes={"parentGroupId": encode_id("group", parent.id)},
        previousValues={"parentGroupId": encode_id("group", before) if before else None},
    )
    return group


async def archive_group(session: AsyncSession, actor: Actor, group_id: UUID) -> Group:
    """Archive a group and every group below it, each with its event; what they hold is kept. Twice is harmless.

    Raises:
        NotFound. Conflict: it is the organisation itself, which nobody could restore.
    """
    await lock_tree(session, actor.org_id)
    group = await get_group(session, actor, group_id)
    if group.parent_group_id is None:
        told = "The organisation itself cannot be archived; archive the groups below it."
        raise Conflict(told, leads_to=("listGroupChildren",))
    now = utc_now()
    live = Group.visible_to(actor).where(
        col(Group.id).in_(list(await _list_below(session, actor, group.id))), col(Group.status) == ACTIVE
    )
    for found in (await session.exec(live.order_by(col(Group.id)))).all():
        found.status, found.archived_at, found.updated_at = ARCHIVED, now, next_change(found.updated_at)
        record_group_event(session, actor, "thing_deleted", found, action="archived", deletionType="soft")
    return group


async def restore_group(session: AsyncSession, actor: Actor, group_id: UUID) -> Group:
    """Make an archived group active again; those below it stay archived and are restored one by one.

    Raises:
        NotFound. Conflict: it is not archived, or its parent is. QuotaExceeded: the plan's sub-groups.
    """
    await lock_tree(session, actor.org_id)
    group = await get_group(session, actor, group_id)
    if group.status != ARCHIVED:
        raise Conflict("Only an archived group can be restored.")
    parent = await get_group(session, actor, group.parent_group_id or actor.org_id)
    if parent.status != ACTIVE:
        place = encode_id("group", parent.id)
        flaw = Flaw("path.groupId", "lies below an archived group", f"restore `{place}` first")
        raise Conflict("The group's parent is archived; restore that first.", flaws=[flaw], leads_to=("restoreGroup",))
    await check_group_quota(session, actor)
    group.status, group.archived_at, group.updated_at = ACTIVE, None, next_change(group.updated_at)
    record_group_event(session, actor, "thing_updated", group, action="restored")
    return group


async def _list_below(session: AsyncSession, actor: Actor, group_id: UUID) -> dict[UUID, int]:
    """A group and those below it, with their distance from it."""
    query = select(GroupClosure.descendant_id, GroupClosure.depth).where(
        GroupClosure.org_id == actor.org_id, GroupClosure.ancestor_id == group_id
    )
    return dict((await session.exec(query)).all())


async def _rewrite_closure(session: AsyncSession, actor: Actor, group_id: UUID, parent_id: UUID) -> None:
    """Cut the pairs that lead from above the group into its subtree, and write those from above the new parent.

    Pairs inside the subtree stay as they are.
    """
    values = {"org_id": actor.org_id, "id": group_id, "parent_id": parent_id}
    cut = text(
        "DELETE FROM group_closure WHERE org_id = :org_id "
        "AND descendant_id IN "
        "(SELECT descendant_id FROM group_closure WHERE org_id = :org_id AND ancestor_id = :id) "
        "AND ancestor_id IN "
        "(SELECT ancestor_id FROM group_closure WHERE org_id = :org_id AND descendant_id = :id AND depth > 0)"
    )
    await run_sql(session, cut, values)
    join = text(
        "INSERT INTO group_closure (org_id, ancestor_id, descendant_id, depth) "
        "SELECT :org_id, above.ancestor_id, below.descendant_id, above.depth + below.depth + 1 "
        "FROM group_closure AS above, group_closure AS below "
        "WHERE above.org_id = :org_id AND above.descendant_id = :parent_id "
        "AND below.org_id = :org_id AND below.ancestor_id = :id"
    )
    await run_sql(session, join, values)


async def _index_again(session: AsyncSession, actor: Actor, group_ids: list[UUID]) -> None:
    """The index knows each document's ancestors: a new version makes the worker tell it anew."""
    statement = text(
        "UPDATE knowledge_items SET version = version + 1 WHERE org_id = :org_id AND group_id = ANY(:group_ids) "
        "AND knowledge_type <> 'chunk' AND deleted_at IS NULL"
    )
    await run_sql(session, statement, {"org_id": actor.org_id, "group_ids": group_ids})
