"""`/v1/connections`: how things, people and groups relate."""

from typing import Annotated

from pydantic import Field

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import DryRunQuery, PageQuery, QueryBoolean
from ontology import connections
from ontology.connection_rows import Connection, ConnectionFields, EndId
from ontology.connections import ConnectionCreate, ConnectionUpdate, Validity
from ontology.errors import (
    Conflict,
    DuplicateConnection,
    FeatureDisabled,
    GroupArchived,
    InvalidConnection,
    InvalidProperties,
    ManagedType,
    NotFound,
    UnknownType,
)
from ontology.ids import GroupId
from ontology.pagination import Page
from ontology.records import Moment
from ontology.scopes import Scope
from ontology.things import TypeName

_TAG = "Connections"
_PATH_ID = {"connectionId": "connection"}


class ConnectionsQuery(PageQuery):
    """Filters of the list of connections."""

    from_id: Annotated[EndId, Field(description="Only connections from this end.")] | None = None
    to_id: Annotated[EndId, Field(description="Only connections to this end.")] | None = None
    end_id: Annotated[EndId, Field(description="Only connections with this at either end.")] | None = None
    relationship_type: TypeName | None = None
    active_at: Annotated[Moment, Field(description="Only what holds at this time; epoch ms or ISO 8601.")] | None = None
    validity: Annotated[Validity, Field(description="Only what is future, active or expired now.")] | None = None
    group_id: Annotated[GroupId, Field(description="Only connections of this group.")] | None = None
    include_deleted: Annotated[QueryBoolean, Field(description="Also deleted connections.")] = False


@operation(
    "POST",
    "/v1/connections",
    id="createConnection",
    tag=_TAG,
    scope=Scope.CONNECTIONS_WRITE,
    body=ConnectionCreate,
    answer=ConnectionFields,
    status=201,
    errors=(
        NotFound,
        GroupArchived,
        UnknownType,
        ManagedType,
        FeatureDisabled,
        InvalidConnection,
        InvalidProperties,
        DuplicateConnection,
    ),
    body_example=examples.CONNECTION_CREATE,
    answer_example=examples.CONNECTION,
)
async def create_connection(call: Call[ConnectionCreate, NoQuery]) -> Connection:
    """Create a connection.

    Both ends lie within the key's reach. Most types join the same pair only once.
    """
    return await connections.create_connection(call.session, call.actor, call.body)


@operation(
    "GET",
    "/v1/connections",
    id="listConnections",
    tag=_TAG,
    scope=Scope.CONNECTIONS_READ,
    query=ConnectionsQuery,
    answer=ConnectionFields,
    shape="page",
    errors=(NotFound, UnknownType),
    answer_example=examples.CONNECTION,
)
async def list_connections(call: Call[NoBody, ConnectionsQuery]) -> Page[Connection]:
    """List connections.

    Those of the key's group and every group below it, newest first.
    """
    query = call.query
    return await connections.list_connections(
        call.session,
        call.actor,
        call.page(query),
        from_id=query.from_id,
        to_id=query.to_id,
        relationship_type=query.relationship_type,
        group_id=query.group_id,
        include_deleted=query.include_deleted,
        end_id=query.end_id,
        active_at=query.active_at,
        validity=query.validity,
    )


@operation(
    "GET",
    "/v1/connections/{connectionId}",
    id="getConnection",
    tag=_TAG,
    scope=Scope.CONNECTIONS_READ,
    path_ids=_PATH_ID,
    answer=ConnectionFields,
    errors=(NotFound,),
    answer_example=examples.CONNECTION,
)
async def get_connection(call: Call[NoBody, NoQuery]) -> Connection:
    """Get a connection."""
    return await connections.get_connection(call.session, call.actor, call.ids["connectionId"])


@operation(
    "PUT",
    "/v1/connections",
    id="putConnection",
    tag=_TAG,
    scope=Scope.CONNECTIONS_WRITE,
    query=DryRunQuery,
    body=ConnectionCreate,
    answer=ConnectionFields,
    errors=(NotFound, GroupArchived, UnknownType, ManagedType, FeatureDisabled, InvalidConnection, InvalidProperties),
    body_example=examples.CONNECTION_CREATE,
    answer_example=examples.CONNECTION,
)
async def put_connection(call: Call[ConnectionCreate, DryRunQuery]) -> Connection:
    """Create or replace a connection.

    If the two ends are joined by this type already, metadata, strength and validity become what is given. Repeating is
    safe. Types that join a pair more than once are created with POST.
    """
    return await connections.put_connection(call.session, call.actor, call.body)


@operation(
    "PATCH",
    "/v1/connections/{connectionId}",
    id="updateConnection",
    tag=_TAG,
    scope=Scope.CONNECTIONS_WRITE,
    path_ids=_PATH_ID,
    query=DryRunQuery,
    body=ConnectionUpdate,
    answer=ConnectionFields,
    errors=(NotFound, GroupArchived, ManagedType, Conflict, InvalidProperties),
    body_example=examples.CONNECTION_UPDATE,
    answer_example=examples.CONNECTION,
)
async def update_connection(call: Call[ConnectionUpdate, DryRunQuery]) -> Connection:
    """Update a connection.

    A JSON Merge Patch of metadata, strength and validity; ends and type stay.
    """
    return await connections.update_connection(call.session, call.actor, call.ids["connectionId"], call.body)


@operation(
    "DELETE",
    "/v1/connections/{connectionId}",
    id="deleteConnection",
    tag=_TAG,
    scope=Scope.CONNECTIONS_DELETE,
    path_ids=_PATH_ID,
    answer=ConnectionFields,
    errors=(NotFound, GroupArchived, ManagedType),
    answer_example=examples.CONNECTION,
)
async def delete_connection(call: Call[NoBody, NoQuery]) -> Connection:
    """Delete a connection.

    It leaves every list; the same pair can be connected again.
    """
    return await connections.delete_connection(call.session, call.actor, call.ids["connectionId"])


handlers = [
    create_connection,
    put_connection,
    list_connections,
    get_connection,
    update_connection,
    delete_connection,
]
