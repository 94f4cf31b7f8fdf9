"""The vocabulary as JSON Schema (2020-12), and how many live rows there are of each type within an actor's reach."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection
from ontology.database import run_sql
from ontology.events import Event
from ontology.thing_rows import Thing, may_read_type
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES, Properties

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_JSON_TYPES = {"id": "string", "string": "string", "number": "number", "boolean": "boolean"}


def describe_properties(declared: Properties, title: str) -> dict[str, Any]:
    """What is checked on a write: types and closed lists. `required` is advice to complete a row, so it is not here."""
    shown = [rule for rule in declared if not rule.get("sensitive")]
    return {"$schema": DIALECT, "title": title} | _describe_object(shown)


def describe_event(required: Sequence[str], optional: Sequence[str], title: str) -> dict[str, Any]:
    """The metadata of an event: names are known, types are the writer's."""
    properties: dict[str, Any] = {name: {} for name in (*required, *optional)}
    schema = {"$schema": DIALECT, "title": title, "type": "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {}) | {"additionalProperties": True}


def _describe_object(rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    properties = {rule["name"]: _describe_rule(rule) for rule in rules}
    return {"type": "object", "properties": properties, "additionalProperties": True}


def _describe_rule(rule: dict[str, Any]) -> dict[str, Any]:
    kind = rule["type"]
    if kind == "array":
        schema: dict[str, Any] = {"type": "array"} | _describe_items(rule.get("items", "any"))
    elif kind == "object":
        schema = _describe_object(rule["fields"]) if "fields" in rule else {"type": "object"}
    else:
        schema = {"type": _JSON_TYPES[kind]} if kind in _JSON_TYPES else {}
    # A property set to null is as good as absent.
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema | ({"enum": [*rule["enum"], None]} if "enum" in rule else {})


def _describe_items(items: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(items, str):
        return {"items": {"type": _JSON_TYPES[items]}} if items in _JSON_TYPES else {}
    return {"items": _describe_rule(items)}


async def count_by_type(session: AsyncSession, actor: Actor, dimension: str) -> dict[str, int]:
    """Live rows within reach by type; every type of the dimension that the actor may read has its count."""
    if dimension == "things":
        kind, known = col(Thing.type), [name for name in THING_TYPES if may_read_type(actor, name)]
        query = select_columns(kind, func.count()).where(Thing.reach(actor), col(Thing.deleted_at).is_(None))
    elif dimension == "connections":
        kind, known = col(Connection.relationship_type), list(CONNECTION_TYPES)
        live = col(Connection.deleted_at).is_(None)
        query = select_columns(kind, func.count()).where(Connection.reach(actor), live)
    else:
        kind, known = col(Event.type), list(EVENT_TYPES)
        query = select_columns(kind, func.count()).where(Event.reach(actor))
    rows: Sequence[Any] = (await run_sql(session, query.group_by(kind))).all()
    counts = {row[0]: row[1] for row in rows}
    return {name: counts.get(name, 0) for name in known}
