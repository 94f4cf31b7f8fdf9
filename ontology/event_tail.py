"""Following events as they become visible, missing none and in one order.

Ids and times are made before a commit, so a follower that goes by them misses whatever commits late. Each row carries
the number of the transaction that wrote it (`written`); a reader goes up to the oldest transaction still running,
below which nothing can appear any more.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, literal_column, or_, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.errors import Flaw, NotFound
from ontology.events import ID_AFTER, Event, EventFields, EventFilter, LoggedRequest, select_events
from ontology.ids import moment_of

_ORIGIN = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to here has been read: rows of earlier transactions, and of this one up to an id."""

    written: int
    id: UUID = _ORIGIN


async def find_present(session: AsyncSession) -> Position:
    """Where following begins: what commits from now on comes after it."""
    horizon = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return Position((await run_sql(session, horizon)).scalar_one())


async def find_position(session: AsyncSession, actor: Actor, event_id: UUID) -> Position:
    """Just behind an event that a follower has seen.

    Raises:
        NotFound: no such event within reach, or no longer kept.
    """
    made = moment_of(event_id)
    around = EventFilter(since=made - ID_AFTER, until=made + timedelta(minutes=1))
    for source, bounds in ((Event, EventFilter()), (LoggedRequest, around)):
        written = _written(source)
        query = select_events(actor, source, bounds).where(col(source.id) == event_id).with_only_columns(written)
        if (found := (await run_sql(session, query)).scalar_one_or_none()) is not None:
            return Position(found, event_id)
    flaw = Flaw("query.lastEventId", "is no event within reach", "leave it out to follow from now on")
    raise NotFound(flaws=[flaw])


async def read_written(
    session: AsyncSession, actor: Actor, wanted: EventFilter, position: Position, limit: int
) -> tuple[list[EventFields], Position]:
    """The next events behind a position, oldest first, and the position behind them."""
    horizon = (await find_present(session)).written
    found: list[tuple[int, EventFields]] = []
    for source in wanted.sources:
        written = _written(source)
        reach = select_events(actor, source, wanted).whereclause
        query = (
            select(source, written)
            .where(written >= position.written, written < horizon, *([] if reach is None else [reach]))
            .where(or_(written > position.written, col(source.id) > position.id))
            .order_by(written, col(source.id))
            .limit(limit)
        )
        found.extend((number, event) for event, number in (await session.exec(query)).all())
    found.sort(key=lambda pair: (pair[0], pair[1].id))
    events = [event for _, event in found[:limit]]
    if len(found) < limit:
        return events, Position(max(horizon, position.written))
    return events, Position(found[limit - 1][0], events[-1].id)


def _written(source: type[Event] | type[LoggedRequest]) -> ColumnElement[int]:
    return literal_column("events.written" if source is Event else "request_log.written", BigInteger)
