"""`/v1/ontology/types`: the types of one dimension, each with its JSON Schema, and how many rows there are."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api import examples
from api.operations import Call, NoBody, operation
from api.parameters import Query, QueryBoolean, QueryText
from ontology.errors import UnknownType
from ontology.features import is_enabled
from ontology.schemas import count_by_type, describe_event, describe_properties
from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES, unknown_type

Dimension = Literal["things", "connections", "events"]
_READING: dict[str, Scope] = {
    "things": Scope.ENTITIES_READ,
    "connections": Scope.CONNECTIONS_READ,
    "events": Scope.EVENTS_READ,
}


class TypesQuery(Query):
    """Which types, and what of them."""

    dimension: Annotated[Dimension, Field(description="Types of this dimension; things if absent.")] = "things"
    name: Annotated[QueryText, Field(description="Only the type of this name.")] | None = None
    category: Annotated[QueryText, Field(description="Only types of this category.")] | None = None
    counts: Annotated[QueryBoolean, Field(description="Count live rows within reach; needs to read them.")] = False


class TypeDescription(BaseModel):
    """A type of the vocabulary."""

    name: str
    dimension: Dimension
    category: str
    summary: str
    policy: str
    feature: str | None
    enabled: bool
    schema_: dict[str, Any] = Field(
        serialization_alias="schema",
        description="JSON Schema (2020-12) of a thing's properties, or a connection's or event's metadata.",
    )
    count: int | None = Field(
        description="Live rows of this type within reach; null unless asked for, and of types the key may not read."
    )


@operation(
    "GET",
    "/v1/ontology/types",
    id="listTypes",
    tag="Organisation",
    scope=None,
    query=TypesQuery,
    answer=TypeDescription,
    shape="list",
    errors=(UnknownType,),
    answer_example=examples.TYPE,
)
async def list_types(call: Call[NoBody, TypesQuery]) -> dict[str, Any]:
    """List types with their schemas.

    The types of one dimension, each with a JSON Schema of what it holds; with `counts`, how many live rows of each are
    within the key's reach. Types of a feature set that is switched off have `enabled: false`.
    """
    query = call.query
    counts: dict[str, int] = {}
    if query.counts:
        call.actor.require(_READING[query.dimension])
        counts = await count_by_type(call.session, call.actor, query.dimension)
    types = _TYPES[query.dimension]
    if query.name is not None and query.name not in types:
        raise unknown_type("query.name", query.name, types)
    wanted = [
        about | {"enabled": is_enabled(about["feature"], call.actor.feature_sets), "count": counts.get(name)}
        for name, about in types.items()
        if query.name in (None, name) and query.category in (None, about["category"])
    ]
    return {"data": wanted}


def _describe(dimension: Dimension, kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "dimension": dimension,
        "category": kind.category,
        "summary": kind.summary,
        "policy": kind.policy,
        "feature": kind.feature,
        "schema": schema,
    }


_TYPES: dict[str, dict[str, dict[str, Any]]] = {
    "things": {
        name: _describe("things", kind, describe_properties(kind.properties, name))
        for name, kind in THING_TYPES.items()
    },
    "connections": {
        name: _describe("connections", kind, describe_properties(kind.properties, name))
        for name, kind in CONNECTION_TYPES.items()
    },
    "events": {
        name: _describe("events", kind, describe_event(kind.required, kind.optional, name))
        for name, kind in EVENT_TYPES.items()
    },
}
handlers = [list_types]
