"""`/v1/events`: what happened, every API call included."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api import examples
from api.exports import write_lines
from api.operations import Call, NoBody, operation
from api.parameters import NoQuery, PageQuery, Query, QueryInteger
from api.tails import SECONDS_MAX
from ontology import custom_events, event_figures, events
from ontology.actors import Actor
from ontology.custom_events import EventCreate, EventsCreate
from ontology.errors import FeatureDisabled, Flaw, GroupArchived, InvalidId, NotFound, SystemEvent, UnknownType
from ontology.event_figures import EventFigure, Grouping
from ontology.event_tail import find_position, find_present
from ontology.events import Event, EventFields, EventFilter
from ontology.groups import get_group
from ontology.ids import EventId, GroupId, ThingId, decode_id
from ontology.pagination import Page
from ontology.records import Moment, utc_now
from ontology.scopes import Scope
from ontology.things import TypeName

AnyId = Annotated[
    str,
    Field(
        pattern=r"^(thing|person|group|connection|event|knowledge|invitation)_[0-7][0-9a-hjkmnp-tv-z]{25}$",
        examples=[examples.COURSE],
    ),
]


class EventFilters(Query):
    """Which events: every filter has to hold."""

    type: Annotated[TypeName, Field(description="Only events of this type; the older names are understood.")] | None = (
        None
    )
    actor_id: Annotated[AnyId, Field(description="Who did it.")] | None = None
    target_id: Annotated[AnyId, Field(description="What it was done to; of a call, the key.")] | None = None
    key_id: Annotated[ThingId | None, Field(description="The key it was done with.")] = None
    request_id: Annotated[str, Field(pattern=r"^req_[0-9a-z]{24}$", description="The call it came from.")] | None = None
    group_id: Annotated[GroupId | None, Field(description="Only events of this group.")] = None
    endpoint: (
        Annotated[
            str,
            Field(
                pattern=r"^([A-Z]{3,7} )?/[!-~]{0,300}$",
                description="Only calls of this endpoint: a path as the reference writes it, with or without method.",
                examples=["GET /v1/entities/{entityId}"],
            ),
        ]
        | None
    ) = None
    status: (
        Annotated[
            str,
            Field(
                pattern=r"^[1-5]([0-9]{2}|xx)$",
                description="Only calls answered with this status, or one of its class.",
                examples=["4xx"],
            ),
        ]
        | None
    ) = None

    def wanted(self) -> EventFilter:
        return EventFilter(**{name: getattr(self, name, None) for name in EventFilter.__slots__})


class TimedFilters(EventFilters):
    """Filters with a time."""

    since: Annotated[Moment, Field(description="From this time on; epoch milliseconds or ISO 8601.")] | None = None
    until: Annotated[Moment, Field(description="Before this time; epoch milliseconds or ISO 8601.")] | None = None


class EventsQuery(TimedFilters, PageQuery):
    """Filters and page of the list of events."""


class ExportQuery(TimedFilters):
    """What to export, and where to go on."""

    last_event_id: Annotated[
        EventId | None, Field(description="Go on behind this event, the last whole line of an export that broke off.")
    ] = None


class FiguresQuery(TimedFilters):
    """What to count, and by what."""

    by: Annotated[
        Grouping, Field(description="What events are counted by; endpoints and classes of status are those of calls.")
    ] = Grouping.HOUR


class TailQuery(EventFilters):
    """What to follow, and from where."""

    last_event_id: Annotated[EventId | None, Field(description="Go on behind this event; else from now on.")] = None
    seconds: Annotated[
        QueryInteger,
        Field(ge=0, le=SECONDS_MAX, description="How long to follow; with 0 the answer ends with what there is."),
    ] = SECONDS_MAX


@operation(
    "GET",
    "/v1/events",
    id="listEvents",
    tag="Events",
    scope=Scope.EVENTS_READ,
    query=EventsQuery,
    answer=EventFields,
    shape="page",
    errors=(UnknownType, NotFound),
    answer_example=examples.EVENT,
)
async def list_events(call: Call[NoBody, EventsQuery]) -> Page[EventFields]:
    """List events.

    Changes and API calls (`api_request_made`) of the key's group and every group below it, newest first. A call appears
    within two seconds of its answer.
    """
    wanted = await _read_filter(call)
    return await events.list_events(call.session, call.actor, wanted, call.page(call.query))


@operation(
    "POST",
    "/v1/events",
    id="createEvent",
    tag="Events",
    scope=Scope.EVENTS_WRITE,
    body=EventCreate,
    answer=EventFields,
    status=201,
    errors=(UnknownType, SystemEvent, FeatureDisabled, NotFound, GroupArchived),
    body_example=examples.EVENT_CREATE,
    answer_example=examples.CUSTOM_EVENT,
)
async def create_event(call: Call[EventCreate, NoQuery]) -> Event:
    """Record an event.

    For what happens in your own program, of any type that is not the platform's own. It is never changed or deleted.
    """
    return await custom_events.create_event(call.session, call.actor, call.body, utc_now())


@operation(
    "POST",
    "/v1/events/batch",
    id="createEvents",
    tag="Events",
    scope=Scope.EVENTS_WRITE,
    body=EventsCreate,
    answer=EventFields,
    shape="list",
    status=201,
    errors=(UnknownType, SystemEvent, FeatureDisabled, NotFound, GroupArchived),
    body_example={"events": [examples.EVENT_CREATE]},
    answer_example=examples.CUSTOM_EVENT,
)
async def create_events(call: Call[EventsCreate, NoQuery]) -> dict[str, Any]:
    """Record many events.

    Up to 1 000 at once, all of them or none; the answer has them in the order of the request.
    """
    made = await custom_events.create_events(call.session, call.actor, call.body, utc_now())
    return {"data": [event.as_json() for event in made]}


@operation(
    "GET",
    "/v1/events/aggregates",
    id="aggregateEvents",
    tag="Events",
    scope=Scope.EVENTS_READ,
    query=FiguresQuery,
    answer=EventFigure,
    shape="list",
    errors=(UnknownType, NotFound),
    answer_example=examples.EVENT_FIGURE,
)
async def aggregate_events(call: Call[NoBody, FiguresQuery]) -> dict[str, Any]:
    """Count events.

    By hour, day, type, actor, endpoint or class of status, with the latency of the calls among them; of the last day
    unless `since` and `until` say otherwise. At most 1 000 groups, the largest.
    """
    wanted = await _read_filter(call)
    figures = await event_figures.count_events(call.session, call.actor, call.query.by, wanted, utc_now())
    return {"data": [row.as_json() for row in figures]}


@operation(
    "GET",
    "/v1/events/export",
    id="exportEvents",
    tag="Events",
    scope=Scope.EVENTS_READ,
    query=ExportQuery,
    answer=EventFields,
    shape="stream",
    media_type="application/x-ndjson",
    errors=(UnknownType, NotFound),
    answer_example=examples.EVENT,
)
async def export_events(call: Call[NoBody, ExportQuery]) -> AsyncGenerator[bytes]:
    """Export events.

    Every event the filters let through, newest first by id, one JSON document a line. An answer that breaks off is not
    complete: ask again with the same filters and `lastEventId` set to the `_id` of the last whole line.
    """
    wanted = replace(await _read_filter(call), until=call.query.until or utc_now())
    if (last := call.query.last_event_id) is not None:
        await find_position(call.session, call.actor, last)
    return write_lines(call.services.engine, call.actor, wanted, last)


@operation(
    "GET",
    "/v1/events/tail",
    id="tailEvents",
    tag="Events",
    scope=Scope.EVENTS_READ,
    query=TailQuery,
    answer=EventFields,
    shape="stream",
    media_type="text/event-stream",
    errors=(UnknownType, NotFound, InvalidId),
    answer_example=examples.EVENT,
)
async def tail_events(call: Call[NoBody, TailQuery]) -> AsyncGenerator[bytes]:
    """Follow events.

    Server-sent events, each at least once, as they become visible. Go on with the header `Last-Event-ID` (or the
    parameter `lastEventId`) where an earlier answer ended. Ends when the key may no longer be used, and after
    `seconds`. At most five at once for an organisation.
    """
    services, key, wanted = call.services, call.header("authorization"), await _read_filter(call)
    last = call.query.last_event_id or _read_last_event_id(call.header("last-event-id"))
    position = await (find_present(call.session) if last is None else find_position(call.session, call.actor, last))

    async def permit() -> Actor:
        actor = await services.authenticator.renew(key, call.actor, call.source)
        actor.require(Scope.EVENTS_READ)
        return actor

    return await services.tails.follow(services.engine, permit, wanted, position, call.query.seconds)


async def _read_filter(call: Call[NoBody, Any]) -> EventFilter:
    """The events that are wanted. Raises: NotFound, their group is out of reach."""
    query: EventFilters = call.query
    if query.group_id is not None:
        await get_group(call.session, call.actor, query.group_id)
    return query.wanted()


def _read_last_event_id(header: str | None) -> UUID | None:
    """What a browser sends by itself when it connects again; before the first event it is empty."""
    try:
        return decode_id(header, "event")[1] if header else None
    except ValueError as error:
        flaw = Flaw("header.Last-Event-Id", str(error), "send the `id` of the last event received, or nothing")
        raise InvalidId(flaws=[flaw]) from None


handlers = [list_events, create_event, create_events, aggregate_events, export_events, tail_events]
