"""Neighbours of an entity, and walks along connections, each in one call."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import Query, QueryInteger
from ontology.connection_rows import EndId
from ontology.errors import NotFound, UnknownType
from ontology.graph import DEPTH_MAX, ROWS_MAX, Direction, Walk, walk_connections
from ontology.ids import ConnectionId, encode_id
from ontology.records import WHOLE, Input, Moment
from ontology.scopes import Scope
from ontology.things import TypeName

_DIRECTION = "Follow connections from it (`out`), to it (`in`), or `both`."


class Node(BaseModel):
    """What was reached; `type` and `name` are null when the key may not read its kind."""

    id: EndId = Field(serialization_alias="_id")
    kind: Literal["thing", "person", "group"]
    depth: int = Field(description="Steps from the start.")
    type: str | None = Field(description="A thing's or group's type, a person's role.")
    name: str | None


class Edge(BaseModel):
    """A connection on the way."""

    id: ConnectionId = Field(serialization_alias="_id")
    relationship_type: str = Field(serialization_alias="relationshipType")
    from_id: EndId = Field(serialization_alias="fromId")
    to_id: EndId = Field(serialization_alias="toId")
    strength: float | None
    valid_from: Moment | None = Field(serialization_alias="validFrom")
    valid_to: Moment | None = Field(serialization_alias="validTo")


class GraphAnswer(BaseModel):
    """Nodes, nearest first, and the connections between them."""

    nodes: list[Node]
    edges: list[Edge]
    truncated: bool = Field(description="Whether there is more than `limit` let see.")


class NeighboursQuery(Query):
    """Which neighbours."""

    direction: Annotated[Direction, Field(description=_DIRECTION)] = "both"
    relationship_type: TypeName | None = None
    active_at: Annotated[Moment, Field(description="Only what holds at this time.")] | None = None
    limit: Annotated[QueryInteger, Field(ge=1, le=ROWS_MAX, description="Connections at most.")] = 100


class Traversal(Input):
    """A walk from one thing, person or group."""

    start_id: EndId
    direction: Direction = Field(default="both", description=_DIRECTION)
    relationship_types: Annotated[list[TypeName], Field(max_length=50)] = Field(
        default_factory=list, description="Follow only these types; all if empty.", examples=[["part_of"]]
    )
    active_at: Moment | None = Field(default=None, description="Follow only what holds at this time.")
    depth: Annotated[int, Field(ge=1, le=DEPTH_MAX), WHOLE] = Field(default=2, description="Steps at most.")
    limit: Annotated[int, Field(ge=1, le=ROWS_MAX), WHOLE] = Field(
        default=1_000, description="Connections at most, in all."
    )


@operation(
    "GET",
    "/v1/entities/{entityId}/neighbours",
    id="listNeighbours",
    tag="Entities",
    scope=Scope.CONNECTIONS_READ,
    path_ids={"entityId": "thing"},
    query=NeighboursQuery,
    answer=GraphAnswer,
    errors=(NotFound, UnknownType),
    answer_example=examples.GRAPH,
)
async def list_neighbours(call: Call[NoBody, NeighboursQuery]) -> dict[str, Any]:
    """List the neighbours of an entity.

    Everything joined to it by a live connection, with the connections. Names are shown to keys that may read them.
    """
    query = call.query
    names = (query.relationship_type,) if query.relationship_type else ()
    walk = Walk(query.direction, names, query.active_at, 1, query.limit)
    start = encode_id("thing", call.ids["entityId"])
    return (await walk_connections(call.session, call.actor, start, walk)).as_json()


@operation(
    "POST",
    "/v1/connections/traverse",
    id="traverseConnections",
    tag="Connections",
    scope=Scope.CONNECTIONS_READ,
    body=Traversal,
    answer=GraphAnswer,
    errors=(NotFound, UnknownType),
    body_example=examples.TRAVERSAL,
    answer_example=examples.GRAPH,
)
async def traverse_connections(call: Call[Traversal, NoQuery]) -> dict[str, Any]:
    """Walk along connections.

    From one thing, person or group up to five steps far, over at most ten thousand connections. What was reached once
    is not walked again. Only what lies within the key's reach is shown or walked.
    """
    body = call.body
    walk = Walk(body.direction, tuple(body.relationship_types), body.active_at, body.depth, body.limit)
    return (await walk_connections(call.session, call.actor, body.start_id, walk)).as_json()


handlers = [list_neighbours, traverse_connections]
