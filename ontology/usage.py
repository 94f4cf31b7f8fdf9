"""Usage: how many calls each key made, by day, operation and class of status.

`usage_days` is filled by the statement that stores the calls (`ontology/request_log.py`), so it counts each once and
is right whenever the log is; it is kept when old calls are forgotten. All-time totals, and each key's days of late,
are those of `api_key_uses`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Self, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    Uuid,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy import (
    cast as sql_cast,
)
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.errors import Flaw, InvalidRequest
from ontology.groups import get_group
from ontology.ids import GroupId, ThingId, encode_id
from ontology.key_shapes import KeyUse, describe_status
from ontology.keys import find_key
from ontology.pagination import Page, PageRequest, describe_list, make_cursor, read_cursor
from ontology.records import Record, TenantRow
from ontology.thing_rows import Thing

FIGURES_MAX, KEYS_MAX = 1_000, 10_000
SPAN_DEFAULT_DAYS, SPAN_DAYS_MAX, WEEK_DAYS = 30, 366, 7


class UsageDay(TenantRow, table=True):
    """One key's calls of one operation with one class of status on one day (UTC)."""

    __tablename__ = "usage_days"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
        Index("ix_usage_days_org_id_day", "org_id", "day"),
    )
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    key_id: UUID = Field(sa_type=Uuid, primary_key=True)
    day: date = Field(sa_type=Date, primary_key=True)
    operation: str = Field(sa_type=Text, primary_key=True)
    status_class: int = Field(sa_type=SmallInteger, primary_key=True)
    group_id: UUID = Field(sa_type=Uuid)
    calls: int = Field(sa_type=BigInteger)


class UsageGrouping(StrEnum):
    """What calls are counted by."""

    DAY = "day"
    MONTH = "month"
    KEY = "key"
    OPERATION = "operation"
    STATUS = "status"


class UsageFigure(Record):
    """The calls that have one day, month, key, operation or class of status in common."""

    key: str
    calls: int
    errors: int


class UsageReport(Record):
    """Calls of an organisation, a group or a key; those of the last seconds may still be on their way.

    Every answered call counts, refusals too, with the day (UTC) on which it came in.
    """

    total: int
    this_month: int
    last7_days: int
    figures: list[UsageFigure]


class KeyUsage(Record):
    """How much a key is used."""

    key_id: ThingId
    group_id: GroupId
    name: str
    prefix: str
    status: str
    total: int
    this_month: int
    last7_days: int


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """Days from `since` to `until`, both counted."""

    since: date
    until: date

    @classmethod
    def of(cls, since: date | None, until: date | None, today: date) -> Self:
        """The last 30 days unless said otherwise.

        Raises:
            InvalidRequest: in the wrong order, or more than 366 days.
        """
        last = until or today
        first = since or last - timedelta(days=SPAN_DEFAULT_DAYS - 1)
        if first > last:
            raise InvalidRequest(flaws=[Flaw("query.until", "lies before `since`", "swap the two days")])
        if (last - first).days >= SPAN_DAYS_MAX:
            message = f"lies {SPAN_DAYS_MAX} days or more before `until`"
            raise InvalidRequest(flaws=[Flaw("query.since", message, "ask for fewer days")])
        return cls(first, last)


async def report_usage(
    session: AsyncSession, actor: Actor, by: UsageGrouping, span: UsageSpan, now: datetime, group_id: UUID | None = None
) -> UsageReport:
    """Calls of all keys within reach, or of one group's.

    Raises:
        NotFound: the group, the same whether it does not exist or lies out of reach.
    """
    if group_id is None:
        return await _report(session, actor, by, span, now)
    group = await get_group(session, actor, group_id)
    return await _report(session, actor, by, span, now, ("group_id", group.id))


async def report_key_usage(
    session: AsyncSession, actor: Actor, key_id: UUID, by: UsageGrouping, span: UsageSpan, now: datetime
) -> UsageReport:
    """Raises: NotFound, the same whether the key does not exist or lies out of reach."""
    key = await find_key(session, actor, key_id)
    return await _report(session, actor, by, span, now, ("key_id", key.id))


async def _report(
    session: AsyncSession,
    actor: Actor,
    by: UsageGrouping,
    span: UsageSpan,
    now: datetime,
    only: tuple[str, UUID] | None = None,
) -> UsageReport:
    def within(model: type[KeyUse] | type[UsageDay]) -> ColumnElement[bool]:
        reach = model.reach(actor)
        return reach if only is None else reach & (col(getattr(model, only[0])) == only[1])

    month, week, since = _find_days(now)
    total = select(func.coalesce(func.sum(col(KeyUse.requests)), 0)).where(within(KeyUse)).scalar_subquery()
    recent = select(total, _sum_since(month), _sum_since(week)).where(within(UsageDay), col(UsageDay.day) >= since)
    total_calls, of_month, of_week = cast("tuple[Any, Any, Any]", (await run_sql(session, recent)).one())
    figures = (
        select(_FORMS[by].label("key"), func.sum(col(UsageDay.calls)), _ERRORS)
        .where(within(UsageDay), col(UsageDay.day).between(span.since, span.until))
        .group_by(literal_column("1"))
        .order_by(literal_column("1") if by in IN_TIME else literal_column("2 DESC, 1"))
        .limit(KEYS_MAX if by is UsageGrouping.KEY else FIGURES_MAX)
    )
    found: Sequence[Any] = (await run_sql(session, figures)).all()
    return UsageReport(
        total=int(total_calls),
        this_month=int(of_month),
        last7_days=int(of_week),
        figures=[UsageFigure(key=_name(by, row[0]), calls=int(row[1]), errors=int(row[2])) for row in found],
    )


async def list_key_usage(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[KeyUsage]:
    """Keys within reach, newest first, revoked ones included, each with its calls: one statement, however many."""
    purpose = describe_list("key_usage")
    columns = (Thing.id, Thing.group_id, Thing.name, Thing.status, Thing.properties)
    keys = select(*map(col, columns)).where(Thing.reach(actor), col(Thing.type) == "api_key")
    if (after := read_cursor(page, actor, purpose)) is not None:
        keys = keys.where(col(Thing.id) < after)
    keys = keys.order_by(col(Thing.id).desc()).limit(page.limit + 1)
    month, week, _ = _find_days(now)
    days = func.jsonb_each_text(col(KeyUse.day_calls)).table_valued("day", "calls").render_derived()
    calls = func.sum(sql_cast(days.c.calls, BigInteger))
    sums = [calls.filter(days.c.day >= first.isoformat()).label(f"since_{first}") for first in (month, week)]
    counted = select(*sums).select_from(days).lateral()
    query = (
        keys.add_columns(col(KeyUse.requests), *counted.c)
        .select_from(Thing)
        .outerjoin(KeyUse, (col(KeyUse.key_id) == col(Thing.id)) & KeyUse.reach(actor))
        .outerjoin(counted, true())
    )
    found: Sequence[Any] = (await run_sql(session, query)).all()
    rows = [_describe(now, *row) for row in found[: page.limit]]
    more = len(found) > page.limit
    return Page(rows, make_cursor(page, actor, purpose, rows[-1].key_id) if more else None)


def _describe(
    now: datetime,
    key_id: UUID,
    group_id: UUID,
    name: str,
    status: str,
    properties: dict[str, Any],
    total: int | None,
    month: int | None,
    week: int | None,
) -> KeyUsage:
    """Of ten thousand rows: not validated, since they come from the database."""
    return KeyUsage.model_construct(
        key_id=key_id,
        group_id=group_id,
        name=name,
        prefix=properties["prefix"],
        status=describe_status(status, properties, now),
        total=int(total or 0),
        this_month=int(month or 0),
        last7_days=int(week or 0),
    )


def _find_days(now: datetime) -> tuple[date, date, date]:
    """The first day of this month, the first of the last seven days, and the earlier of the two."""
    today = now.date()
    month, week = today.replace(day=1), today - timedelta(days=WEEK_DAYS - 1)
    return month, week, min(month, week)


def _sum_since(day: date) -> ColumnElement[Any]:
    return func.coalesce(func.sum(col(UsageDay.calls)).filter(col(UsageDay.day) >= day), 0)


# Literals, so that the database sees the same expression where it selects, groups and orders.
_FORMS: dict[UsageGrouping, Any] = {
    UsageGrouping.DAY: func.to_char(col(UsageDay.day), literal_column("'YYYY-MM-DD'")),
    UsageGrouping.MONTH: func.to_char(col(UsageDay.day), literal_column("'YYYY-MM'")),
    UsageGrouping.KEY: sql_cast(col(UsageDay.key_id), Text),
    UsageGrouping.OPERATION: col(UsageDay.operation),
    UsageGrouping.STATUS: sql_cast(col(UsageDay.status_class), Text),
}
IN_TIME = frozenset({UsageGrouping.DAY, UsageGrouping.MONTH})
_ERRORS: ColumnElement[Any] = func.coalesce(func.sum(col(UsageDay.calls)).filter(col(UsageDay.status_class) >= 4), 0)


def _name(by: UsageGrouping, key: str) -> str:
    if by is UsageGrouping.KEY:
        return encode_id("thing", UUID(key))
    return f"{key}xx" if by is UsageGrouping.STATUS else key
