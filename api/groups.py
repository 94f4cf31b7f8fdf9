"""`/v1/groups`: the tree an organisation is made of."""

from typing import Annotated, Literal

from pydantic import Field

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery, QueryText
from ontology import groups
from ontology.errors import GroupArchived, NotFound, QuotaExceeded, SlugTaken, UnknownType
from ontology.groups import Group, GroupCreate, GroupFields
from ontology.pagination import Page
from ontology.scopes import Scope

_TAG = "Groups"


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
    errors=(NotFound, GroupArchived, QuotaExceeded, SlugTaken, UnknownType),
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
    path_ids={"groupId": "group"},
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
    path_ids={"groupId": "group"},
    query=ChildrenQuery,
    answer=GroupFields,
    shape="page",
    errors=(NotFound,),
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


handlers = [create_group, list_groups, get_group, list_group_children]
