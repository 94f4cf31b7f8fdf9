"""Walks along connections: from one thing, person or group to what is joined to it, level by level.

Each level is one query that begins at `Connection.visible_to` and reads no further than the limit, and an end is shown
only when its own row is within reach, so both walls hold at every step. What was reached once is not walked again:
cycles end by themselves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select as select_columns
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import END_KINDS, Connection, holds_at, touches
from ontology.database import run_sql
from ontology.errors import NotFound
from ontology.groups import ACTIVE, Group
from ontology.ids import decode_id, encode_id
from ontology.people import Person
from ontology.records import to_epoch_ms
from ontology.scopes import Scope
from ontology.thing_rows import Thing, may_read_type
from ontology.vocabulary import get_connection_type

DEPTH_MAX, ROWS_MAX = 5, 10_000
Direction = Literal["out", "in", "both"]
_ENDS: dict[str, tuple[str, ...]] = {"out": ("from",), "in": ("to",), "both": ("from", "to")}
_COLUMNS: tuple[Any, ...] = (
    *(col(getattr(Connection, f"{end}_{kind}_id")) for end in ("from", "to") for kind in END_KINDS),
    *(col(getattr(Connection, name)) for name in ("id", "relationship_type", "strength", "valid_from", "valid_to")),
)
# What a key has to be allowed to read before it is told more of an end than its id.
_SCOPES = {"thing": Scope.ENTITIES_READ, "person": Scope.PEOPLE_READ, "group": Scope.GROUPS_READ}


@dataclass(frozen=True, slots=True)
class Walk:
    """Which connections to follow, and how far; at most `limit` of them."""

    direction: Direction = "both"
    relationship_types: tuple[str, ...] = ()
    active_at: datetime | None = None
    depth: int = 1
    limit: int = 1_000


@dataclass
class Graph:
    """What was reached, by typed id; `truncated` if there is more than the limit let see."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    edges: dict[UUID, dict[str, Any]] = field(default_factory=dict[UUID, dict[str, Any]])
    truncated: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"nodes": list(self.nodes.values()), "edges": list(self.edges.values()), "truncated": self.truncated}


async def walk_connections(session: AsyncSession, actor: Actor, start_id: str, walk: Walk) -> Graph:
    """Everything joined to `start_id` within `walk.depth` steps, nearest first; deleted ends are left out.

    Raises:
        NotFound: the start, the same whether it does not exist or lies out of reach. UnknownType: a type.
    """
    names = [get_connection_type(name, "body.relationshipTypes").name for name in walk.relationship_types]
    graph = Graph(await _describe_ends(session, actor, [start_id], depth=0))
    if not graph.nodes:
        raise NotFound
    frontier = [start_id]
    for depth in range(1, walk.depth + 1):
        room = walk.limit - len(graph.edges)
        found = await _find_edges(session, actor, frontier, walk, names, seen=graph.edges)
        graph.truncated = len(found) > room
        found = found[:room]
        ends = dict.fromkeys(end for edge in found for end in (edge["fromId"], edge["toId"]))
        reached = await _describe_ends(session, actor, [end for end in ends if end not in graph.nodes], depth=depth)
        graph.nodes |= reached
        graph.edges |= {
            edge.pop("id"): edge for edge in found if edge["fromId"] in graph.nodes and edge["toId"] in graph.nodes
        }
        frontier = list(reached)
        if graph.truncated or not frontier:
            break
    return graph


async def _find_edges(
    session: AsyncSession,
    actor: Actor,
    frontier: Sequence[str],
    walk: Walk,
    names: Sequence[str],
    *,
    seen: Collection[UUID],
) -> list[dict[str, Any]]:
    """Live connections at the frontier that are new, oldest first, one more than the limit allows in all."""
    query = (
        select_columns(*_COLUMNS)
        .where(Connection.reach(actor), col(Connection.deleted_at).is_(None), touches(frontier, _ENDS[walk.direction]))
        .order_by(col(Connection.id))
        .limit(walk.limit + 1)
    )
    if names:
        query = query.where(col(Connection.relationship_type).in_(names))
    if walk.active_at is not None:
        query = query.where(holds_at(walk.active_at))
    rows = (await run_sql(session, query)).mappings()
    return [_describe_edge(row) for row in rows if row["id"] not in seen]


def _describe_edge(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "_id": encode_id("connection", row["id"]),
        "relationshipType": row["relationship_type"],
        "fromId": _end_of(row, "from"),
        "toId": _end_of(row, "to"),
        "strength": row["strength"],
        "validFrom": to_epoch_ms(row["valid_from"]) if row["valid_from"] else None,
        "validTo": to_epoch_ms(row["valid_to"]) if row["valid_to"] else None,
    }


def _end_of(row: Any, end: str) -> str:
    return next(encode_id(kind, row[f"{end}_{kind}_id"]) for kind in _SCOPES if row[f"{end}_{kind}_id"] is not None)


async def _describe_ends(
    session: AsyncSession, actor: Actor, ids: Sequence[str], *, depth: int
) -> dict[str, dict[str, Any]]:
    """Those of the ends that live within reach, in the order given; named only to who may read their kind."""
    by_kind: dict[str, list[UUID]] = {}
    for value in ids:
        kind, identity = decode_id(value)
        by_kind.setdefault(kind, []).append(identity)
    found: dict[str, dict[str, Any]] = {}
    for kind, identities in by_kind.items():
        for identity, type, name in await _find_ends(session, actor, kind, identities):
            may_read = _SCOPES[kind] in actor.scopes and (kind != "thing" or may_read_type(actor, type))
            told = {"type": type, "name": name} if may_read else {"type": None, "name": None}
            typed = encode_id(kind, identity)
            found[typed] = {"_id": typed, "kind": kind, "depth": depth} | told
    return {value: found[value] for value in ids if value in found}


async def _find_ends(session: AsyncSession, actor: Actor, kind: str, ids: Sequence[UUID]) -> Sequence[Any]:
    if kind == "thing":
        columns = select_columns(col(Thing.id), col(Thing.type), col(Thing.name))
        query = columns.where(Thing.reach(actor), col(Thing.id).in_(ids), col(Thing.deleted_at).is_(None))
    elif kind == "person":
        columns = select_columns(col(Person.id), col(Person.role), col(Person.name))
        query = columns.where(Person.reach(actor), col(Person.id).in_(ids), col(Person.status) == ACTIVE)
    else:
        columns = select_columns(col(Group.id), col(Group.type), col(Group.name))
        query = columns.where(Group.reach(actor), col(Group.id).in_(ids))
    return (await run_sql(session, query)).all()
