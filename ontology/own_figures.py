"""What a caller's own calls, limits and keys come to, in a few sentences, each with the call that gives the same.

Every rule here asks for the scope that this call needs, and reads what it reads: nobody learns more by asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.event_figures import EventFigure, Grouping, count_events
from ontology.events import REQUEST_EVENT, EventFilter, read_events
from ontology.groups import count_sub_groups
from ontology.ids import encode_id
from ontology.key_shapes import ApiKey
from ontology.keys import list_keys
from ontology.pagination import LIMIT_MAX, PageRequest
from ontology.plans import PLAN_LIMITS
from ontology.records import to_epoch_ms
from ontology.scopes import Scope
from ontology.thing_lists import count_things

SPAN = timedelta(days=1)
EXPIRES_SOON = timedelta(days=30)
ENDPOINTS_NAMED, KEYS_NAMED = 5, 5


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """Sentences that say how things are, and the request that gives the same."""

    sentences: tuple[str, ...]
    request: str


async def describe_errors(session: AsyncSession, actor: Actor, now: datetime, group_id: UUID | None) -> OwnFigures:
    """Refused and failed calls of the last day, by class, by endpoint, and the latest.

    Raises:
        InsufficientScope: without `events:read`.
    """
    actor.require(Scope.EVENTS_READ)
    since = now - SPAN
    calls = EventFilter(type=REQUEST_EVENT, group_id=group_id, since=since)
    by_class = {row.key: row.count for row in await count_events(session, actor, Grouping.STATUS, calls, now)}
    refused, failed, total = by_class.get("4xx", 0), by_class.get("5xx", 0), sum(by_class.values())
    status = "5xx" if failed > refused else "4xx"
    request = f"GET /v1/events?type={REQUEST_EVENT}&status={status}&since={to_epoch_ms(since)}{_narrow(group_id)}"
    if not refused + failed:
        return OwnFigures(
            (f"None of your {_count(total, 'call')} in the last 24 hours was refused or failed.",), request
        )
    sentences = [
        f"Of your {_count(total, 'call')} in the last 24 hours {refused} {_were(refused)} refused (4xx) "
        f"and {failed} failed (5xx)."
    ]
    of_status = replace(calls, status=status)
    endpoints = await count_events(session, actor, Grouping.ENDPOINT, of_status, now)
    sentences.append(f"Most {status} answers: {_name_endpoints(endpoints)}.")
    for event in await read_events(session, actor, of_status, after=None, limit=1):
        call = event.metadata_
        sentences.append(
            f"The latest was {call.get('statusCode')} for {call.get('method')} {call.get('endpoint')}, "
            f"request {event.request_id}."
        )
    return OwnFigures(tuple(sentences), request)


async def describe_usage(session: AsyncSession, actor: Actor, now: datetime, group_id: UUID | None) -> OwnFigures:
    """Calls of the last day and their latency, by endpoint. Raises: InsufficientScope, without `events:read`."""
    actor.require(Scope.EVENTS_READ)
    since = now - SPAN
    calls = EventFilter(type=REQUEST_EVENT, group_id=group_id, since=since)
    request = f"GET /v1/events/aggregates?by=endpoint&type={REQUEST_EVENT}{_narrow(group_id)}"
    endpoints = await count_events(session, actor, Grouping.ENDPOINT, calls, now)
    total = sum(row.calls for row in endpoints)
    if not total:
        return OwnFigures(("You made no calls in the last 24 hours.",), request)
    slowest = max(endpoints, key=lambda row: row.latency_p95_ms or 0.0)
    return OwnFigures(
        (
            f"You made {_count(total, 'call')} in the last 24 hours.",
            f"Called most: {_name_endpoints(endpoints)}.",
            f"The slowest is {slowest.key}: half of its calls took up to {slowest.latency_p50_ms} ms, "
            f"95 of 100 up to {slowest.latency_p95_ms} ms.",
        ),
        request,
    )


async def describe_limits(
    session: AsyncSession, actor: Actor, now: datetime, group_id: UUID | None, spent: tuple[int, int] | None
) -> OwnFigures:
    """Plan, limits and what is used; `spent` are the requests of this minute and day, where they can be counted.

    Raises:
        InsufficientScope: without `quota:view`.
    """
    actor.require(Scope.QUOTA_VIEW)
    limits = PLAN_LIMITS[actor.plan]
    groups, things = await count_sub_groups(session, actor), await count_things(session, actor, group_id)
    used = "" if spent is None else f" {_group(spent[0])} and {_group(spent[1])} are used."
    return OwnFigures(
        (
            f"You are on the plan {actor.plan}.",
            f"It allows {_group(limits.requests_per_minute)} requests a minute and "
            f"{_group(limits.requests_per_day)} a day.{used}",
            f"You have {_count(groups, 'sub-group')}; an organisation may have {_most(limits.sub_groups_max)}.",
            f"You have {_count(things, 'entity', 'entities')}; a group may hold {_most(limits.things_per_group_max)}.",
        ),
        "GET /v1/quota",
    )


async def describe_keys(session: AsyncSession, actor: Actor, now: datetime, group_id: UUID | None) -> OwnFigures:
    """Keys within reach: how many are active, which expire soon, which were never used.

    Raises:
        InsufficientScope: without `api_keys:manage`.
    """
    actor.require(Scope.API_KEYS_MANAGE)
    page = await list_keys(session, actor, PageRequest("", LIMIT_MAX), now)
    keys = [key for key in page.rows if group_id is None or key.group_id == group_id]
    active = [key for key in keys if key.status == "active"]
    ending = [key for key in active if key.expires_at is not None and key.expires_at < now + EXPIRES_SOON]
    unused = [key for key in active if key.last_used_at is None]
    sentences = [f"You have {_count(len(keys), 'key')}, of which {len(active)} {_are(len(active))} active."]
    if active:
        sentences.append(f"Within 30 days expire: {_name_keys(ending) or 'none'}.")
    if unused:
        sentences.append(f"Never used so far: {_name_keys(unused)}.")
    if recent := [key for key in active if key.last_used_at is not None]:
        last = max(recent, key=lambda key: key.last_used_at or now)
        sentences.append(f"Last used: {last.name} ({last.prefix}…), at {last.last_used_at:%Y-%m-%d %H:%M} UTC.")
    return OwnFigures(tuple(sentences), "GET /v1/api-keys")


def _name_endpoints(figures: Sequence[EventFigure]) -> str:
    named = [f"{row.key} ({row.count})" for row in figures if row.key][:ENDPOINTS_NAMED]
    return ", ".join(named) or "none that has an endpoint"


def _name_keys(keys: Sequence[ApiKey]) -> str:
    named = [f"{key.name} ({key.prefix}…)" for key in keys[:KEYS_NAMED]]
    more = len(keys) - KEYS_NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{_group(number)} {one if number == 1 else many or f'{one}s'}"


def _group(number: int) -> str:
    """`1 000 000`, as the pages write it."""
    return f"{number:,}".replace(",", " ")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _most(maximum: int | None) -> str:
    return "any number" if maximum is None else _group(maximum)


def _narrow(group_id: UUID | None) -> str:
    return "" if group_id is None else f"&groupId={encode_id('group', group_id)}"
