"""Events: what happened. A change and its event are one transaction, so neither exists without the other.

Changes live in `events`; calls live in the partitioned `request_log`, which the worker fills behind the answers. Both
read as events: one list, ordered by id, newest first. Calls are shown for as long as the plan keeps them.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, Text, Uuid, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import Actor
from ontology.errors import Flaw, InvalidRequest
from ontology.ids import EventId, GroupId, ThingId, encode_id, first_id, new_id
from ontology.pagination import Page, PageRequest, describe_list, make_cursor, read_cursor
from ontology.plans import PLAN_LIMITS
from ontology.records import Moment, TenantRow, Timestamp, utc_now
from ontology.vocabulary import get_event_type

REQUEST_EVENT = "api_request_made"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
# An id is made within this of the event's time: sooner by the clock of another process, later by a long answer.
ID_BEFORE, ID_AFTER = timedelta(minutes=1), timedelta(hours=2)
# Columns the database makes of a call's metadata (see the migration); filtered on, never loaded.
ENDPOINT = literal_column("request_log.endpoint", Text)
STATUS = literal_column("request_log.status", Integer)
_STATUS = re.compile(r"[1-5]([0-9]{2}|xx)")


class EventFields(TenantRow):
    """What an event says; never changed, never deleted."""

    id: EventId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    type: str = Field(sa_type=Text)
    actor_id: str = Field(sa_type=Text)
    target_id: str | None = Field(default=None, sa_type=Text)
    timestamp: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    metadata_: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, serialization_alias="metadata", sa_column_kwargs={"name": "metadata"}
    )
    request_id: str | None = Field(default=None, sa_type=Text)
    key_id: ThingId | None = Field(default=None, sa_type=Uuid)


class Event(EventFields, table=True):
    """A change or an act. Indexed for the list and each of its filters, always within the organisation."""

    __tablename__ = "events"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_events_org_id_id", "org_id", "id"),
        Index("ix_events_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_events_org_id_type_id", "org_id", "type", "id"),
        Index("ix_events_org_id_actor_id_id", "org_id", "actor_id", "id"),
        Index("ix_events_org_id_target_id_id", "org_id", "target_id", "id"),
        Index("ix_events_org_id_key_id_id", "org_id", "key_id", "id"),
        Index("ix_events_org_id_request_id", "org_id", "request_id"),
    )


class LoggedRequest(EventFields, table=True):
    """One API call, as the event `api_request_made`; partitioned by month of `timestamp`."""

    __tablename__ = "request_log"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_request_log_org_id_id", "org_id", "id"),
        Index("ix_request_log_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_request_log_org_id_target_id_id", "org_id", "target_id", "id"),
        Index("ix_request_log_org_id_request_id", "org_id", "request_id"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )
    timestamp: Moment = Field(default_factory=utc_now, sa_type=Timestamp, primary_key=True)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to list; None means any. `status` is `404` or `4xx`, `endpoint` a path with or without its method.

    Raises:
        UnknownType, InvalidRequest: the type or the status is none; when it is made, not when it is used.
    """

    type: str | None = None
    actor_id: str | None = None
    target_id: str | None = None
    key_id: UUID | None = None
    request_id: str | None = None
    group_id: UUID | None = None
    endpoint: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.status is not None:
            read_status(self.status)
        if self.type is not None:
            get_event_type(self.type)

    @property
    def canonical_type(self) -> str | None:
        """The older names are accepted."""
        return get_event_type(self.type).name if self.type else None

    @property
    def sources(self) -> tuple["type[Event] | type[LoggedRequest]", ...]:
        """Where such events can be."""
        name = self.canonical_type
        if name == REQUEST_EVENT:
            return (LoggedRequest,)
        if self.endpoint or self.status:
            return (LoggedRequest,) if name is None else ()
        return (Event, LoggedRequest) if name is None else (Event,)


def record_event(
    session: AsyncSession,
    actor: Actor,
    type: str,
    *,
    group_id: UUID,
    target_id: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Event:
    """Add the event of a change to the change's own transaction. Secrets never belong in `metadata`."""
    event = Event(
        org_id=actor.org_id,
        group_id=group_id,
        type=get_event_type(type).name,
        actor_id=actor.id,
        target_id=target_id,
        metadata_=metadata or {},
        request_id=actor.request_id,
        key_id=actor.key_id,
    )
    session.add(event)
    return event


def record_full(session: AsyncSession, actor: Actor, counted: str, attempted: int = 1) -> Event:
    """The event of a refusal, because the plan has no room for more of what is counted."""
    key = encode_id("thing", actor.key_id) if actor.key_id else None
    told = {"keyId": key, "limitType": counted, "attempted": attempted}
    return record_event(session, actor, "quota_exceeded", group_id=actor.group_id, target_id=key, metadata=told)


async def list_events(session: AsyncSession, actor: Actor, wanted: EventFilter, page: PageRequest) -> Page[EventFields]:
    """Changes and calls together, newest first.

    Raises:
        UnknownType, InvalidCursor, InvalidRequest.
    """
    purpose = describe_list("events", wanted=wanted)
    after = read_cursor(page, actor, purpose)
    found = await read_events(session, actor, wanted, after=after, limit=page.limit + 1)
    rows = found[: page.limit]
    more = len(found) > page.limit
    return Page(rows, make_cursor(page, actor, purpose, rows[-1].id) if more else None)


async def read_events(
    session: AsyncSession, actor: Actor, wanted: EventFilter, *, after: UUID | None, limit: int
) -> list[EventFields]:
    """The newest events before `after`.

    Each source gives at most `limit`, so the cost does not grow with what is stored. A call that is logged late has
    its place by its id: it may appear on a page not yet read, and shifts none that was.
    """
    found: list[EventFields] = []
    for source in wanted.sources:
        query = select_events(actor, source, wanted)
        if after is not None:
            query = query.where(col(source.id) < after)
        found.extend((await session.exec(query.order_by(col(source.id).desc()).limit(limit))).all())
    found.sort(key=lambda event: event.id, reverse=True)
    return found[:limit]


def select_events(actor: Actor, source: type[Event] | type[LoggedRequest], wanted: EventFilter) -> SelectOfScalar[Any]:
    """The query for the wanted events of one source, not yet ordered.

    Times are bounded by the ids too, which have an index; the time itself prunes partitions.
    """
    query: SelectOfScalar[Any] = source.visible_to(actor)
    for column, value in (
        (source.actor_id, wanted.actor_id),
        (source.target_id, wanted.target_id),
        (source.request_id, wanted.request_id),
        (source.group_id, wanted.group_id),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    if wanted.since:
        query = query.where(col(source.timestamp) >= wanted.since, col(source.id) >= first_id(wanted.since - ID_BEFORE))
    if wanted.until:
        query = query.where(col(source.timestamp) < wanted.until)
    return _of_changes(query, wanted) if source is Event else _of_calls(query, actor, wanted)


def _of_changes(query: SelectOfScalar[Any], wanted: EventFilter) -> SelectOfScalar[Any]:
    if (name := wanted.canonical_type) is not None:
        query = query.where(col(Event.type) == name)
    if wanted.key_id is not None:
        query = query.where(col(Event.key_id) == wanted.key_id)
    return query


def _of_calls(query: SelectOfScalar[Any], actor: Actor, wanted: EventFilter) -> SelectOfScalar[Any]:
    kept = timedelta(days=PLAN_LIMITS[actor.plan].log_retention_days)
    query = query.where(col(LoggedRequest.timestamp) >= func.now() - kept)
    if wanted.until:
        query = query.where(col(LoggedRequest.id) < first_id(wanted.until + ID_AFTER))
    if wanted.key_id is not None:
        query = query.where(col(LoggedRequest.target_id) == encode_id("thing", wanted.key_id))
    if wanted.endpoint:
        query = query.where(ENDPOINT.in_(spell_endpoint(wanted.endpoint)))
    if wanted.status:
        lowest, highest = read_status(wanted.status)
        query = query.where(lowest <= STATUS, highest >= STATUS)
        if lowest >= 400:
            query = query.where(literal_column("400") <= STATUS)
    return query


def spell_endpoint(endpoint: str) -> list[str]:
    """`GET /v1/entities` as it is, a path alone with every method."""
    return [endpoint] if " " in endpoint else [f"{method} {endpoint}" for method in METHODS]


def read_status(text: str) -> tuple[int, int]:
    """The lowest and highest status of `404` or `4xx`.

    Raises:
        InvalidRequest: neither of them.
    """
    if not _STATUS.fullmatch(text):
        flaw = Flaw("query.status", "must be a status or a class of them", "send for example `404` or `4xx`")
        raise InvalidRequest(flaws=[flaw])
    return int(text.replace("xx", "00")), int(text.replace("xx", "99"))
