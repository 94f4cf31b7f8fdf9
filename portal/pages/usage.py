"""`/usage`: how many calls were made, day by day, and by which operations and keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from litestar import Request, Response, get

from ontology.database import open_transaction
from ontology.ids import encode_id
from ontology.pagination import PageRequest
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
class KeyView:
    id: str
    name: str
    prefix: str
    week: int
    month: int
    total: int


@dataclass(frozen=True, slots=True)
class UsagePage:
    """The last thirty days, quiet ones included, newest first; the operations and keys with most calls."""

    week: int
    month: int
    total: int
    days: tuple[DayView, ...]
    busiest: int
    operations: tuple[UsageFigure, ...]
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
    days = _fill_days(by_day.figures, now.date())
    shown = UsagePage(
        week=by_day.last7_days,
        month=by_day.this_month,
        total=by_day.total,
        days=days,
        busiest=max(day.calls for day in days),
        operations=tuple(by_operation.figures[:ROWS_SHOWN]),
        keys=tuple(_view(key) for key in _sort_busiest(keys.rows)[:ROWS_SHOWN]),
    )
    return render("usage.html", visitor.site, shown)


def _fill_days(figures: list[UsageFigure], today: date) -> tuple[DayView, ...]:
    by_day = {figure.key: figure for figure in figures}
    found: list[DayView] = []
    for ago in range(SPAN_DEFAULT_DAYS):
        day = today - timedelta(days=ago)
        figure = by_day.get(day.isoformat())
        calls, errors = (figure.calls, figure.errors) if figure else (0, 0)
        found.append(DayView(f"{day.day} {day:%b}", day.isoformat(), calls, errors))
    return tuple(found)


def _sort_busiest(keys: Sequence[KeyUsage]) -> list[KeyUsage]:
    return sorted((key for key in keys if key.total), key=lambda key: (-key.this_month, -key.total))


def _view(key: KeyUsage) -> KeyView:
    return KeyView(encode_id("thing", key.key_id), key.name, key.prefix, key.last7_days, key.this_month, key.total)


handlers = [usage_page]
