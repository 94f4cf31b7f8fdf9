"""`/v1/groups`: the tree an organisation is made of."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api import examples
from api.api_keys import raise_epoch
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery, Query, QueryBoolean, QueryText
from ontology import group_tree, groups
from ontology.errors import (
    Conflict,
    GroupArchived,
    InvalidProperties,
    NotFound,
    QuotaExceeded,
    SlugTaken,
    UnknownType,
)
from ontology.group_statistics import GroupStatistics, count_group
from ontology.group_tree import GroupMove
from ontology.groups import Group, GroupCreate, GroupFields, GroupUpdate
from ontology.pagination import Page
from ontology.scopes import Scope

_TAG = "Groups"
_PATH_ID = {"groupId": "group"}


class ChildrenQuery(PageQuery):
    """Filters of a list of groups."""

    status: Literal["active", "archived"] | None = None
    type: Annotated[QueryText, Field(description="A group type, such as `business`.")] | None = None


class GroupsQuery(ChildrenQuery):
    """Filters of the list of groups."""

    q: Annotated[QueryText, Field(description="Part of the name or slug, in any case.")] | None = None


@operation(
    "POST",
    "/v1/groups",
    id="createGroup",
    tag=_TAG,
    scope=Scope.GROUPS_WRITE,
    body=GroupCreate,
    answer=GroupFields,
    status=201,
    errors=(NotFound, GroupArchived, QuotaExceeded, SlugTaken, UnknownType, InvalidProperties),
    body_example=examples.GROUP_CREATE,
    answer_example=examples.GROUP_ROW,
)
async def create_group(call: Call[GroupCreate, NoQuery]) -> Group:
    """Create a sub-group.

    It lies below the key's group, or below `parentGroupId` within the key's reach. Groups nest up to ten deep.
    """
    return await groups.create_group(call.session, call.actor, call.body)


@operation(
    "GET",
    "/v1/groups",
    id="listGroups",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    query=GroupsQuery,
    answer=GroupFields,
    shape="page",
    errors=(UnknownType,),
    answer_example=examples.GROUP_ROW,
)
async def list_groups(call: Call[NoBody, GroupsQuery]) -> Page[Group]:
    """List groups.

    The key's group and every group below it, newest first.
    """
    query = call.query
    return await groups.list_groups(
        call.session, call.actor, call.page(query), status=query.status, type=query.type, q=query.q
    )


@operation(
    "GET",
    "/v1/groups/{groupId}",
    id="getGroup",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    path_ids=_PATH_ID,
    answer=GroupFields,
    errors=(NotFound,),
    answer_example=examples.GROUP_ROW,
)
async def get_group(call: Call[NoBody, NoQuery]) -> Group:
    """Get a group."""
    return await groups.get_group(call.session, call.actor, call.ids["groupId"])


@operation(
    "GET",
    "/v1/groups/{groupId}/children",
    id="listGroupChildren",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    path_ids=_PATH_ID,
    query=ChildrenQuery,
    answer=GroupFields,
    shape="page",
    errors=(NotFound, UnknownType),
    answer_example=examples.GROUP_ROW,
)
async def list_group_children(call: Call[NoBody, ChildrenQuery]) -> Page[Group]:
    """List a group's children.

    The groups directly below it, newest first.
    """
    query = call.query
    parent = call.ids["groupId"]
    return await groups.list_groups(
        call.session, call.actor, call.page(query), parent_group_id=parent, status=query.status, type=query.type
    )


class StatisticsQuery(Query):
    """What is counted."""

    subtree: Annotated[QueryBoolean, Field(description="Also count every group below it.")] = False


@operation(
    "PATCH",
    "/v1/groups/{groupId}",
    id="updateGroup",
    tag=_TAG,
    scope=Scope.GROUPS_WRITE,
    path_ids=_PATH_ID,
    body=GroupUpdate,
    answer=GroupFields,
    errors=(NotFound, GroupArchived, InvalidProperties),
    body_example=examples.GROUP_UPDATE,
    answer_example=examples.GROUP_ROW | examples.GROUP_UPDATE,
    after_commit=raise_epoch,
)
async def update_group(call: Call[GroupUpdate, NoQuery]) -> Group:
    """Update a group.

    A JSON Merge Patch (RFC 7396): name, description, metadata and settings; what is absent stays. Slug and type never
    change, and its place in the tree by `PUT /v1/groups/{groupId}/parent`.
    """
    return await groups.update_group(call.session, call.actor, call.ids["groupId"], call.body)


@operation(
    "PUT",
    "/v1/groups/{groupId}/parent",
    id="moveGroup",
    tag=_TAG,
    scope=Scope.GROUPS_WRITE,
    path_ids=_PATH_ID,
    body=GroupMove,
    answer=GroupFields,
    errors=(NotFound, GroupArchived),
    body_example={"parentGroupId": examples.ORG},
    answer_example=examples.GROUP_ROW,
    after_commit=raise_epoch,
)
async def move_group(call: Call[GroupMove, NoQuery]) -> Group:
    """Move a group.

    With all that lies below it, under another parent within the key's reach. Keys that reached it only through the old
    parent reach it no longer, from the next request on.
    """
    return await group_tree.move_group(call.session, call.actor, call.ids["groupId"], call.body)


@operation(
    "DELETE",
    "/v1/groups/{groupId}",
    id="archiveGroup",
    tag=_TAG,
    scope=Scope.GROUPS_DELETE,
    path_ids=_PATH_ID,
    answer=GroupFields,
    errors=(NotFound, Conflict),
    answer_example=examples.GROUP_ROW | {"status": "archived", "archivedAt": 1_795_500_060_000},
    after_commit=raise_epoch,
)
async def archive_group(call: Call[NoBody, NoQuery]) -> Group:
    """Archive a group.

    With every group below it, all at once. What they hold is kept; their keys are answered `group_archived` from the
    next request on, and nothing can be written into them until they are restored. Archiving twice is harmless.
    """
    return await group_tree.archive_group(call.session, call.actor, call.ids["groupId"])


@operation(
    "POST",
    "/v1/groups/{groupId}/restore",
    id="restoreGroup",
    tag=_TAG,
    scope=Scope.GROUPS_WRITE,
    path_ids=_PATH_ID,
    answer=GroupFields,
    errors=(NotFound, Conflict, QuotaExceeded),
    answer_example=examples.GROUP_ROW,
    after_commit=raise_epoch,
)
async def restore_group(call: Call[NoBody, NoQuery]) -> Group:
    """Restore a group.

    That group alone, below an active parent; the groups below it are restored one by one. Its keys work again at once.
    """
    return await group_tree.restore_group(call.session, call.actor, call.ids["groupId"])


@operation(
    "GET",
    "/v1/groups/{groupId}/ancestors",
    id="listGroupAncestors",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    path_ids=_PATH_ID,
    answer=GroupFields,
    shape="list",
    errors=(NotFound,),
    answer_example=examples.GROUP_ROW,
)
async def list_group_ancestors(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """List a group's ancestors.

    The groups above it, nearest first, no further up than the key's own group.
    """
    return _as_list(await group_tree.list_ancestors(call.session, call.actor, call.ids["groupId"]))


@operation(
    "GET",
    "/v1/groups/{groupId}/path",
    id="getGroupPath",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    path_ids=_PATH_ID,
    answer=GroupFields,
    shape="list",
    errors=(NotFound,),
    answer_example=examples.GROUP_ROW,
)
async def get_group_path(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Get the path to a group.

    From the key's own group down to the group itself, for a breadcrumb.
    """
    return _as_list(await group_tree.list_path(call.session, call.actor, call.ids["groupId"]))


@operation(
    "GET",
    "/v1/groups/{groupId}/statistics",
    id="getGroupStatistics",
    tag=_TAG,
    scope=Scope.GROUPS_READ,
    path_ids=_PATH_ID,
    query=StatisticsQuery,
    answer=GroupStatistics,
    errors=(NotFound,),
    answer_example=examples.GROUP_STATISTICS,
)
async def get_group_statistics(call: Call[NoBody, StatisticsQuery]) -> GroupStatistics:
    """Count what a group holds.

    Members, entities, connections, events, documents and sub-groups: of the group itself, or with `subtree` of every
    group below it too.
    """
    return await count_group(call.session, call.actor, call.ids["groupId"], subtree=call.query.subtree)


def _as_list(rows: list[Group]) -> dict[str, Any]:
    return {"data": [row.as_json() for row in rows]}


handlers = [
    create_group,
    list_groups,
    get_group,
    update_group,
    move_group,
    archive_group,
    restore_group,
    list_group_children,
    list_group_ancestors,
    get_group_path,
    get_group_statistics,
]
