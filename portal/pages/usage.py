"""`/usage`: what is stored, and how many calls were made, day by day, and by which operations and keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from litestar import Request, Response, get

from ontology.database import open_transaction
from ontology.group_statistics import GroupStatistics, count_group
from ontology.ids import encode_id
from ontology.key_issuing import EXPLORER_NAME
from ontology.pagination import PageRequest
from ontology.plans import PLAN_LIMITS, PlanLimits
from ontology.records import utc_now
from ontology.scopes import Scope
from ontology.usage import (
    KEYS_MAX,
    SPAN_DEFAULT_DAYS,
    KeyUsage,
    UsageFigure,
    UsageGrouping,
    UsageSpan,
    list_key_usage,
    report_usage,
)
from portal.rendering import render
from portal.sessions import read_visitor

ROWS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class DayView:
    day: str
    iso: str
    calls: int
    errors: int


@dataclass(frozen=True, slots=True)
class OperationView:
    method: str
    path: str
    calls: int
    errors: int


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key, or all that the explorer made for an hour each, which have no id together."""

    id: str | None
    name: str
    prefix: str
    week: int
    month: int
    total: int


@dataclass(frozen=True, slots=True)
class UsagePage:
    """The last thirty days, quiet ones included, oldest first; the operations and keys with most calls.

    `scale` is the round number at the top of the chart, `calls` and `errors` are those of the thirty days. `stored` is
    what the group and those below hold; the plan bounds the entities of each group and the groups of the organisation.
    """

    stored: GroupStatistics
    limits: PlanLimits
    plan: str
    week: int
    month: int
    total: int
    days: tuple[DayView, ...]
    scale: int
    calls: int
    errors: int
    operations: tuple[OperationView, ...]
    keys: tuple[KeyView, ...]


@get("/usage", opt={"public": True})
async def usage_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.API_KEYS_MANAGE).actor
    now = utc_now()
    span = UsageSpan.of(None, None, now.date())
    async with open_transaction(visitor.services.engine, actor) as session:
        by_day = await report_usage(session, actor, UsageGrouping.DAY, span, now)
        by_operation = await report_usage(session, actor, UsageGrouping.OPERATION, span, now)
        page = PageRequest(visitor.services.settings.secret_key, KEYS_MAX)
        keys = await list_key_usage(session, actor, page, now)
        stored = await count_group(session, actor, actor.group_id, subtree=True)
    days = _fill_days(by_day.figures, now.date())
    shown = UsagePage(
        stored=stored,
        limits=PLAN_LIMITS[actor.plan],
        plan=actor.plan,
        week=by_day.last7_days,
        month=by_day.this_month,
        total=by_day.total,
        days=days,
        scale=round_up(max(day.calls for day in days)),
        calls=sum(day.calls for day in days),
        errors=sum(day.errors for day in days),
        operations=tuple(_view_operation(figure) for figure in by_operation.figures[:ROWS_SHOWN]),
        keys=tuple(_view_keys(keys.rows)[:ROWS_SHOWN]),
    )
    return render("usage.html", visitor.site, shown)


def _fill_days(figures: list[UsageFigure], today: date) -> tuple[DayView, ...]:
    by_day = {figure.key: figure for figure in figures}
    found: list[DayView] = []
    for ago in reversed(range(SPAN_DEFAULT_DAYS)):
        day = today - timedelta(days=ago)
        figure = by_day.get(day.isoformat())
        calls, errors = (figure.calls, figure.errors) if figure else (0, 0)
        found.append(DayView(f"{day.day} {day:%b}", day.isoformat(), calls, errors))
    return tuple(found)


def round_up(calls: int) -> int:
    """The next of 4, 6, 8, 10, 12, 16, 20, 40, 60 and so on: a short number that can be halved."""
    decade = 1
    while True:
        for step in (4, 6, 8, 10, 12, 16, 20):
            if calls <= step * decade:
                return step * decade
        decade *= 10


def _view_operation(figure: UsageFigure) -> OperationView:
    method, _, path = figure.key.partition(" ")
    return OperationView(method, path, figure.calls, figure.errors)


def _view_keys(keys: Sequence[KeyUsage]) -> list[KeyView]:
    """The busiest first. The explorer makes a key for an hour at a time; those are one row."""
    used = [key for key in keys if key.total]
    found = [_view(key) for key in used if key.name != EXPLORER_NAME]
    brief = [key for key in used if key.name == EXPLORER_NAME]
    if len(brief) == 1:
        found.append(_view(brief[0]))
    elif brief:
        week, month = sum(key.last7_days for key in brief), sum(key.this_month for key in brief)
        total = sum(key.total for key in brief)
        found.append(KeyView(None, EXPLORER_NAME, f"{len(brief)} keys", week, month, total))
    return sorted(found, key=lambda key: (-key.month, -key.total))


def _view(key: KeyUsage) -> KeyView:
    identity = encode_id("thing", key.key_id)
    return KeyView(identity, key.name, f"{key.prefix}…", key.last7_days, key.this_month, key.total)


handlers = [usage_page]
