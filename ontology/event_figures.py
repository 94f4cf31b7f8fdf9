"""Figures about events: how many there were by hour, day, type, actor, endpoint or class of status, and how fast."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Float, Text, cast, func, literal, literal_column
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.errors import Flaw, InvalidRequest
from ontology.events import ENDPOINT, REQUEST_EVENT, Event, EventFilter, LoggedRequest, select_events
from ontology.records import Record

GROUPS_MAX = 1_000
SPAN_DEFAULT = timedelta(days=1)
SPANS_MAX = {"hour": timedelta(days=31)}
SPAN_MAX = timedelta(days=366)
_LATENCY = literal_column("request_log.latency_ms", Float)


class Grouping(StrEnum):
    """What events are counted by; endpoints and statuses are those of calls."""

    HOUR = "hour"
    DAY = "day"
    TYPE = "type"
    ACTOR = "actor"
    ENDPOINT = "endpoint"
    STATUS = "status"


OF_CALLS = frozenset({Grouping.ENDPOINT, Grouping.STATUS})
IN_TIME = frozenset({Grouping.HOUR, Grouping.DAY})
# Literals, so that the database sees the same expression where it selects, groups and orders.
_FORMS = {Grouping.HOUR: '\'YYYY-MM-DD"T"HH24:00:00"Z"\'', Grouping.DAY: "'YYYY-MM-DD'"}


class EventFigure(Record):
    """How many events one hour, day, type, actor, endpoint or class of status had.

    `key` is what they have in common: an hour or a day as ISO 8601 in UTC, a type, an id, a method with its path,
    `4xx`. Latencies are those of the calls among them, in milliseconds; null when there were none.
    """

    key: str
    count: int
    calls: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


async def count_events(
    session: AsyncSession, actor: Actor, by: Grouping, wanted: EventFilter, now: datetime
) -> list[EventFigure]:
    """Count the wanted events; of the last day unless times are named. Hours and days in order, others by count.

    Raises:
        InvalidRequest: the times are in the wrong order, or further apart than 31 days (hours) or 366 days.
        UnknownType.
    """
    until = wanted.until or now
    since = wanted.since or until - SPAN_DEFAULT
    _check_span(by, since, until)
    found: dict[str, EventFigure] = {}
    for source in wanted.sources:
        if source is Event and by in OF_CALLS:
            continue
        for figure in await _count_source(session, actor, source, by, replace(wanted, since=since, until=until)):
            other = found.get(figure.key)
            found[figure.key] = figure if other is None else _add(figure, other)
    rows = sorted(found.values(), key=lambda row: row.key if by in IN_TIME else (-row.count, row.key))
    return rows[:GROUPS_MAX]


def _check_span(by: Grouping, since: datetime, until: datetime) -> None:
    if since >= until:
        raise InvalidRequest(flaws=[Flaw("query.until", "does not lie after `since`", "swap the two times")])
    longest = SPANS_MAX.get(by, SPAN_MAX)
    if until - since > longest:
        message = f"lies more than {longest.days} days before `until`"
        raise InvalidRequest(flaws=[Flaw("query.since", message, "ask for a shorter time, or count by day")])


async def _count_source(
    session: AsyncSession, actor: Actor, source: type[Event] | type[LoggedRequest], by: Grouping, wanted: EventFilter
) -> list[EventFigure]:
    key = _key_of(source, by)
    of_calls = source is LoggedRequest
    latencies: ColumnElement[Any] = (
        func.percentile_cont(literal_column("ARRAY[0.5, 0.95]")).within_group(_LATENCY) if of_calls else literal(None)
    )
    query = (
        select_events(actor, source, wanted)
        .with_only_columns(key.label("key"), func.count().label("count"), latencies.label("latencies"))
        .group_by(literal_column("1"))
        .order_by(literal_column("1") if by in IN_TIME else func.count().desc())
        .limit(GROUPS_MAX)
    )
    rows: Sequence[Any] = (await run_sql(session, query)).all()
    return [_figure(row[0], row[1], row[2], of_calls) for row in rows]


def _figure(name: str, count: int, latencies: list[float] | None, of_calls: bool) -> EventFigure:
    p50, p95 = latencies or (None, None)
    return EventFigure(
        key=name,
        count=count,
        calls=count if of_calls else 0,
        latency_p50_ms=None if p50 is None else round(p50, 2),
        latency_p95_ms=None if p95 is None else round(p95, 2),
    )


def _key_of(source: type[Event] | type[LoggedRequest], by: Grouping) -> Any:
    match by:
        case Grouping.HOUR | Grouping.DAY:
            form: ColumnElement[str] = literal_column(
                '\'YYYY-MM-DD"T"HH24:00:00"Z"\'' if by is Grouping.HOUR else "'YYYY-MM-DD'"
            )
            return func.to_char(func.timezone(literal_column("'UTC'"), col(source.timestamp)), form)
        case Grouping.TYPE:
            return col(source.type) if source is Event else cast(literal_column(f"'{REQUEST_EVENT}'"), Text)
        case Grouping.ACTOR:
            return col(source.actor_id)
        case Grouping.ENDPOINT:
            return func.coalesce(ENDPOINT, literal_column("''"))
        case Grouping.STATUS:
            of_class: ColumnElement[str] = literal_column("coalesce(request_log.status / 100 || 'xx', '')")
            return of_class


def _add(one: EventFigure, other: EventFigure) -> EventFigure:
    """Changes and calls under one key; only one of them has latencies."""
    timed = one if one.calls else other
    return EventFigure(
        key=one.key,
        count=one.count + other.count,
        calls=timed.calls,
        latency_p50_ms=timed.latency_p50_ms,
        latency_p95_ms=timed.latency_p95_ms,
    )
