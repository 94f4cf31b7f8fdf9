"""`/events`: what happened, every call included, as it happens; and all there is about one request."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.response import Redirect
from pydantic import ValidationError

from api.events import EventsQuery
from api.flaws import describe_flaws
from api.streams import StreamedAnswer
from api.tails import SECONDS_MAX, frame_event
from ontology.accounts import digest_token, find_session
from ontology.actors import Actor
from ontology.database import open_lookup, open_transaction
from ontology.errors import InvalidApiKey, InvalidCursor, NotFound, PortalError
from ontology.event_tail import find_position, find_present
from ontology.events import REQUEST_EVENT, EventFields, EventFilter, list_events, read_events
from ontology.ids import decode_id, encode_id
from ontology.pagination import PageRequest
from ontology.records import utc_now
from ontology.scopes import Scope
from ontology.vocabulary import EVENT_TYPES
from portal.rendering import environment, render
from portal.sessions import Visitor, read_visitor

ROWS_SHOWN, ROWS_OF_REQUEST = 50, 200
SPANS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
# Those that one types into a field of the form; the others are chosen, or named by an address.
TYPED_FIELDS = ("endpoint", "keyId", "actorId", "targetId", "requestId")
FIELDS = ("type", "status", *TYPED_FIELDS, "groupId")
_AN_ID = "Paste a whole id, as events and answers show it."
_FLAWS = {
    "type": "There is no such type of event.",
    "status": "A status is a number such as 404, or all of a kind such as 4xx.",
    "endpoint": "Write a path such as /v1/entities, alone or behind its method.",
    "requestId": "Paste a whole request id: req_ and 24 letters and digits.",
}


@dataclass(frozen=True, slots=True)
class EventView:
    """One event as a row; `status` and what follows it are those of a call."""

    id: str
    type: str
    title: str
    iso: str
    time: str
    request_id: str | None
    target_id: str | None
    actor_id: str
    key_id: str | None
    method: str | None
    status: int | None
    latency: str | None
    metadata: str

    @property
    def tone(self) -> str:
        return {2: "good", 3: "info", 4: "warn", 5: "bad"}.get((self.status or 0) // 100, "info")


@dataclass(frozen=True, slots=True)
class EventsPage:
    events: tuple[EventView, ...]
    values: dict[str, str]
    types: dict[str, list[str]]
    older: str | None = None
    follow: str | None = None
    problems: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RequestPage:
    """The call itself, unless it is still on its way into the log, and what it changed."""

    request_id: str
    call: EventView | None
    changes: tuple[EventView, ...]
    facts: tuple[tuple[str, str], ...]


@get("/events", opt={"public": True})
async def events_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.EVENTS_READ).actor
    values = _read_values(request)
    try:
        wanted = _read_filter(values, utc_now())
        page = PageRequest(visitor.services.settings.secret_key, ROWS_SHOWN, request.query_params.get("cursor"))
        async with open_transaction(visitor.services.engine, actor) as session:
            found = await list_events(session, actor, wanted, page)
    except InvalidCursor:
        return Redirect(_address(values), status_code=303)
    except (ValidationError, PortalError) as refusal:
        shown = EventsPage((), values, _group_types(), problems=_describe(refusal))
        return render("events.html", visitor.site, shown, status=422)
    older = _address(values, cursor=found.next_cursor) if found.next_cursor else None
    rows = tuple(view_event(event) for event in found.rows)
    follow = None if page.cursor else _address(values, path="/events/tail")
    return render("events.html", visitor.site, EventsPage(rows, values, _group_types(), older, follow))


@get("/events/requests/{request_id:str}", opt={"public": True})
async def request_page(request: Request[Any, Any, Any]) -> Response[str]:
    """Raises: NotFound when no event within reach came from that request."""
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.EVENTS_READ).actor
    request_id: str = request.path_params["request_id"]
    async with open_transaction(visitor.services.engine, actor) as session:
        wanted = EventFilter(request_id=request_id)
        events = await read_events(session, actor, wanted, after=None, limit=ROWS_OF_REQUEST)
    if not events:
        raise NotFound("No call within your reach has this id. A call is in the log about a second after its answer.")
    call = next((event for event in events if event.type == REQUEST_EVENT), None)
    changes = tuple(view_event(event) for event in reversed(events) if event is not call)
    facts = _list_facts(call) if call else ()
    page = RequestPage(request_id, view_event(call) if call else None, changes, facts)
    return render("event_request.html", visitor.site, page)


@get("/events/tail", opt={"public": True})
async def tail(request: Request[Any, Any, Any]) -> Response[Any]:
    """For the page's own script: each event as the row to insert."""
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.EVENTS_READ).actor
    wanted = _read_filter(_read_values(request) | {"within": ""}, utc_now())
    async with open_transaction(visitor.services.engine, actor) as session:
        position = await find_present(session)
        if last := request.headers.get("last-event-id"):
            try:
                position = await find_position(session, actor, decode_id(last, "event")[1])
            except (ValueError, NotFound):
                position = await find_present(session)

    async def permit() -> Actor:
        return await _renew(visitor)

    pieces: AsyncGenerator[bytes] = await visitor.services.tails.follow(
        visitor.services.engine, permit, wanted, position, SECONDS_MAX, _encode_row
    )
    return StreamedAnswer(pieces, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _renew(visitor: Visitor) -> Actor:
    """The member as of now.

    Raises:
        InvalidApiKey: the session has ended. InsufficientScope: the role was changed to one without events.
    """
    async with open_lookup(visitor.services.engine, session_digest=digest_token(visitor.token).hex()) as session:
        signed_in = await find_session(session, visitor.token, utc_now())
    if signed_in is None:
        raise InvalidApiKey("The session has ended; sign in again.")
    signed_in.actor.require(Scope.EVENTS_READ)
    return signed_in.actor


def _encode_row(event: EventFields) -> bytes:
    row = environment().get_template("_event_row.html").render(event=view_event(event))
    return frame_event(event, {"html": row})


def _read_values(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The filters of the address, those that are set."""
    given = {name: request.query_params.get(name, "").strip() for name in (*FIELDS, "within")}
    return {name: value[:400].replace("\x00", "") for name, value in given.items()}


def _read_filter(values: dict[str, str], now: datetime) -> EventFilter:
    """Raises: ValidationError, as the API would refuse them."""
    query = EventsQuery.model_validate({name: values[name] for name in FIELDS if values[name]})
    wanted = query.wanted()
    span = SPANS.get(values["within"])
    return wanted if span is None else replace(wanted, since=now - span)


def _group_types() -> dict[str, list[str]]:
    """The types by their category, but that of calls, which the page names first."""
    groups: dict[str, list[str]] = {}
    for kind in EVENT_TYPES.values():
        if kind.name != REQUEST_EVENT:
            groups.setdefault(kind.category.replace("_", " "), []).append(kind.name)
    return groups


def _describe(refusal: ValidationError | PortalError) -> dict[str, str]:
    flaws = describe_flaws(refusal, "query", EventsQuery) if isinstance(refusal, ValidationError) else refusal.flaws
    names = [flaw.location.removeprefix("query.") for flaw in flaws]
    without_field = [f"`{name}`: {_FLAWS.get(name, _AN_ID)}" for name in names if name not in TYPED_FIELDS]
    shown = {name: _FLAWS.get(name, _AN_ID) for name in names if name in TYPED_FIELDS}
    return shown | ({"": " ".join(without_field)} if without_field else {}) or {"": str(refusal)}


def _address(values: dict[str, str], path: str = "/events", **more: str | None) -> str:
    query = urlencode({name: value for name, value in (values | more).items() if value})
    return f"{path}?{query}" if query else path


def view_event(event: EventFields) -> EventView:
    call = event.metadata_ if event.type == REQUEST_EVENT else {}
    latency = call.get("latency")
    return EventView(
        id=encode_id("event", event.id),
        type=event.type,
        title=str(call.get("path") or call.get("endpoint")) if call else _title(event),
        iso=event.timestamp.isoformat(),
        time=f"{event.timestamp.day} {event.timestamp:%b, %H:%M:%S}",
        request_id=event.request_id,
        target_id=event.target_id,
        actor_id=event.actor_id,
        key_id=encode_id("thing", event.key_id) if event.key_id else None,
        method=call.get("method"),
        status=call.get("statusCode"),
        latency=None if latency is None else f"{latency:.1f} ms",
        metadata=json.dumps(event.metadata_, indent=2, ensure_ascii=False),
    )


def _title(event: EventFields) -> str:
    """What an event says in a few words: its type, and what it was about."""
    about = event.metadata_
    kind = about.get("thingType") or about.get("action") or about.get("limitType") or about.get("reason") or ""
    name = about.get("entityName") or about.get("name") or ""
    words = " ".join(str(word) for word in (kind, name) if word)
    return f"{event.type.replace('_', ' ')}{': ' + words[:120] if words else ''}"


def _list_facts(call: EventFields) -> tuple[tuple[str, str], ...]:
    about = call.metadata_
    return (
        ("Time", f"{call.timestamp:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"),
        ("Endpoint", f"{about.get('method')} {about.get('endpoint')}"),
        ("Status", str(about.get("statusCode"))),
        ("Latency", f"{about.get('latency')} ms"),
        ("Answer", f"{about.get('payloadSize')} bytes"),
        ("Address", str(about.get("ipAddress") or "unknown")),
        ("User agent", str(about.get("userAgent") or "none")),
        ("Key", call.target_id or "none"),
        ("Actor", call.actor_id),
    )


handlers = [events_page, request_page, tail]
