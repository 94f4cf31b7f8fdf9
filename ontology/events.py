"""Events: what happened. A change and its event are one transaction, so neither exists without the other.

Changes live in `events`; calls live in the partitioned `request_log`, which the worker fills behind the answers. Both
read as events: one list, ordered by id, newest first.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.ids import EventId, GroupId, new_id
from ontology.pagination import Page, PageRequest, describe_list, make_cursor, read_cursor
from ontology.records import Moment, TenantRow, Timestamp, utc_now
from ontology.vocabulary import get_event_type

REQUEST_EVENT = "api_request_made"


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


class Event(EventFields, table=True):
    """A change or an act. Indexed for the list and each of its filters, always within the organisation."""

    __tablename__ = "events"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_events_org_id_id", "org_id", "id"),
        Index("ix_events_org_id_group_id_id", "org_id", "group_id", "id"),
        Index("ix_events_org_id_type_id", "org_id", "type", "id"),
        Index("ix_events_org_id_actor_id_id", "org_id", "actor_id", "id"),
        Index("ix_events_org_id_target_id_id", "org_id", "target_id", "id"),
        Index("ix_events_org_id_request_id", "org_id", "request_id"),
    )


class LoggedRequest(EventFields, table=True):
    """One API call, as the event `api_request_made`; partitioned by month of `timestamp`."""

    __tablename__ = "request_log"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_request_log_org_id_id", "org_id", "id"),
        Index("ix_request_log_org_id_target_id_id", "org_id", "target_id", "id"),
        Index("ix_request_log_org_id_request_id", "org_id", "request_id"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )
    timestamp: Moment = Field(default_factory=utc_now, sa_type=Timestamp, primary_key=True)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to list; None means any."""

    type: str | None = None
    actor_id: str | None = None
    target_id: str | None = None
    request_id: str | None = None
    group_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


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
    )
    session.add(event)
    return event


async def list_events(session: AsyncSession, actor: Actor, wanted: EventFilter, page: PageRequest) -> Page[EventFields]:
    """Changes and calls together, newest first.

    Each source gives at most one page more than asked, so the cost does not grow with what is stored.
    """
    purpose = describe_list("events", wanted=wanted)
    after = read_cursor(page, actor, purpose)
    name = get_event_type(wanted.type).name if wanted.type else None
    sources: list[type[Event] | type[LoggedRequest]] = []
    if name != REQUEST_EVENT:
        sources.append(Event)
    if name in (None, REQUEST_EVENT):
        sources.append(LoggedRequest)
    found: list[EventFields] = []
    for source in sources:
        found.extend(await _list_source(session, actor, source, wanted, name, after, page.limit + 1))
    found.sort(key=lambda event: event.id, reverse=True)
    rows = found[: page.limit]
    more = len(found) > page.limit
    return Page(rows, make_cursor(page, actor, purpose, rows[-1].id) if more else None)


async def _list_source(
    session: AsyncSession,
    actor: Actor,
    source: type[Event] | type[LoggedRequest],
    wanted: EventFilter,
    name: str | None,
    after: UUID | None,
    limit: int,
) -> list[EventFields]:
    query = source.visible_to(actor)
    if name and source is Event:
        query = query.where(col(source.type) == name)
    if wanted.actor_id:
        query = query.where(col(source.actor_id) == wanted.actor_id)
    if wanted.target_id:
        query = query.where(col(source.target_id) == wanted.target_id)
    if wanted.request_id:
        query = query.where(col(source.request_id) == wanted.request_id)
    if wanted.group_id:
        query = query.where(col(source.group_id) == wanted.group_id)
    if wanted.since:
        query = query.where(col(source.timestamp) >= wanted.since)
    if wanted.until:
        query = query.where(col(source.timestamp) < wanted.until)
    if after:
        query = query.where(col(source.id) < after)
    result = await session.exec(query.order_by(col(source.id).desc()).limit(limit))
    return list(result.all())
