"""Things with their connections: what `expand=connections` adds, for a whole page in one statement."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import Subquery, Uuid, func, literal, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection, ConnectionFields
from ontology.records import Record
from ontology.scopes import Scope
from ontology.thing_rows import Thing, ThingFields

CONNECTIONS_SHOWN = 20


class ShownConnections(Record):
    """Live connections at either end of an entity, newest first; those the key may read."""

    data: list[ConnectionFields] = PydanticField(description=f"At most {CONNECTIONS_SHOWN}.")
    has_more: bool = PydanticField(description="Whether there are more: `GET /v1/connections?endId=…` lists them.")


class ExpandedThing(ThingFields):
    """An entity, with its connections where they are asked for."""

    shows_more_than_its_row: ClassVar[bool] = True
    connections: ShownConnections | None = PydanticField(
        default=None, description="With `expand=connections`; absent otherwise."
    )


async def expand_things(session: AsyncSession, actor: Actor, things: Sequence[Thing]) -> list[ExpandedThing]:
    """Each thing with its newest live connections, by one statement that reads no more than it shows.

    Raises:
        InsufficientScope: the key may not read connections.
    """
    actor.require(Scope.CONNECTIONS_READ)
    found: dict[UUID, dict[UUID, Connection]] = {thing.id: {} for thing in things}
    wanted = select(func.unnest(literal(list(found), ARRAY(Uuid))).label("id")).subquery("wanted")
    ends = union_all(*(_touching(actor, column, wanted) for column in ("from_thing_id", "to_thing_id"))).lateral()
    # The rows come from the lateral part itself: with nothing else to join, no statistics can lead to another order.
    touching = aliased(Connection, ends)
    query = select(touching, wanted.c.id).select_from(wanted.join(ends, true())).order_by(ends.c.id.desc())
    for connection, thing_id in (await session.exec(query)).all():
        found[thing_id][connection.id] = connection
    return [_expand(thing, list(found[thing.id].values())) for thing in things]


def _touching(actor: Actor, column: str, wanted: Subquery) -> Any:
    """Served by the index on that end; one more than is shown tells whether there are more."""
    query = select(Connection).where(
        Connection.reach(actor), col(Connection.deleted_at).is_(None), col(getattr(Connection, column)) == wanted.c.id
    )
    return query.correlate(wanted).order_by(col(Connection.id).desc()).limit(CONNECTIONS_SHOWN + 1)


def _expand(thing: Thing, found: Sequence[Connection]) -> ExpandedThing:
    shown = ShownConnections.model_construct(
        data=list(found[:CONNECTIONS_SHOWN]), has_more=len(found) > CONNECTIONS_SHOWN
    )
    values = {name: getattr(thing, name) for name in ThingFields.model_fields}
    return ExpandedThing.model_construct(**values, connections=shown)
