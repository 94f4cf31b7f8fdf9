"""Pages and their cursors: keyset on the id, newest first, so rows created meanwhile neither repeat nor hide any.

A list can also be sorted by a column of moments or texts; the id then decides between equals.

A cursor is signed and bound to who asks and to what is listed; worthless for another key's group or filters.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.errors import Flaw, InvalidCursor
from ontology.sizes import PAGE_BYTES_MAX

Row = TypeVar("Row")

LIMIT_DEFAULT, LIMIT_MAX, TOTAL_MAX = 50, 1000, 10_000
# A text of 500 characters to sort by, an id and the signature.
CURSOR_LENGTH_MAX = 3_000
# So few are sent whatever they weigh.
ROWS_UNWEIGHED = 100
_SIGNATURE_BYTES = 12
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many rows, and after which; `secret` signs the cursors."""

    secret: str
    limit: int = LIMIT_DEFAULT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in order, the cursor of what follows if there is more, and how many there are in all if that was asked."""

    rows: Sequence[Row]
    next_cursor: str | None
    total: int | None = None


def _sign(request: PageRequest, actor: Actor, purpose: str, last: bytes) -> bytes:
    bound = f"{actor.org_id}|{actor.group_id}|{purpose}|".encode() + last
    return hmac.digest(request.secret.encode(), bound, hashlib.sha256)[:_SIGNATURE_BYTES]


def make_cursor(request: PageRequest, actor: Actor, purpose: str, last: UUID) -> str:
    return _seal(request, actor, purpose, last.bytes)


def read_cursor(request: PageRequest, actor: Actor, purpose: str) -> UUID | None:
    """The id after which to go on.

    Raises:
        InvalidCursor: altered, of another list, or of another key's group.
    """
    opened = _open(request, actor, purpose)
    return None if opened is None else UUID(bytes=opened[:16])


def _seal(request: PageRequest, actor: Actor, purpose: str, last: bytes) -> str:
    signed = last + _sign(request, actor, purpose, last)
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def _open(request: PageRequest, actor: Actor, purpose: str) -> bytes | None:
    if request.cursor is None:
        return None
    try:
        raw = base64.b64decode(request.cursor + "=" * (-len(request.cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    last, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    if len(last) < 16 or not hmac.compare_digest(signature, _sign(request, actor, purpose, last)):
        raise InvalidCursor(flaws=[Flaw("query.cursor", "not a cursor of this list", "start again without a cursor")])
    return last


def describe_list(name: str, **filters: Any) -> str:
    """The purpose a cursor is bound to: the list and its filters."""
    return name + json.dumps(filters, sort_keys=True, default=str)


async def count_rows(session: AsyncSession, query: SelectOfScalar[Any], identity: Any) -> int:
    """How many rows a query finds; it stops at `TOTAL_MAX`, so that counting costs no more than reading those."""
    found = query.with_only_columns(col(identity)).limit(TOTAL_MAX).subquery()
    return (await run_sql(session, select(func.count()).select_from(found))).scalar_one()


async def fetch_page(
    session: AsyncSession,
    actor: Actor,
    query: SelectOfScalar[Row],
    identity: Any,
    request: PageRequest,
    purpose: str,
    weight: ColumnElement[int] | None = None,
) -> Page[Row]:
    """Run `query` newest first; `identity` is the id column the keyset runs on.

    Where rows may be large, `weight` is their bytes: a long page ends before it holds `PAGE_BYTES_MAX` of them.
    """
    after = read_cursor(request, actor, purpose)
    if after is not None:
        query = query.where(col(identity) < after)
    rows, more = await _fetch_rows(session, query, [col(identity).desc()], request.limit, weight)
    if not more:
        return Page(rows, None)
    last: UUID = getattr(rows[-1], identity.key)
    return Page(rows, make_cursor(request, actor, purpose, last))


@dataclass(frozen=True, slots=True)
class Sort:
    """By a column of moments or texts, in one direction; an index on (organisation, column, id) serves it."""

    column: Any
    descending: bool = True


async def fetch_sorted_page(
    session: AsyncSession,
    actor: Actor,
    query: SelectOfScalar[Row],
    identity: Any,
    sort: Sort,
    request: PageRequest,
    purpose: str,
    weight: ColumnElement[int] | None = None,
) -> Page[Row]:
    """Run `query` in the order of `sort`; rows of equal value in the order of their ids. `weight`: as above."""
    keys: tuple[Any, Any] = (col(sort.column), col(identity))
    opened = _open(request, actor, purpose)
    if opened is not None:
        last = tuple_(*(literal(value, key.type) for value, key in zip(_read_keys(opened), keys, strict=True)))
        query = query.where(tuple_(*keys) < last if sort.descending else tuple_(*keys) > last)
    order = [key.desc() if sort.descending else key.asc() for key in keys]
    rows, more = await _fetch_rows(session, query, order, request.limit, weight)
    if not more:
        return Page(rows, None)
    value, last_id = getattr(rows[-1], sort.column.key), getattr(rows[-1], identity.key)
    return Page(rows, _seal(request, actor, purpose, last_id.bytes + _write_key(value)))


async def _fetch_rows(
    session: AsyncSession, query: SelectOfScalar[Row], order: list[Any], limit: int, weight: ColumnElement[int] | None
) -> tuple[Sequence[Row], bool]:
    """The first rows, and whether there are more: as many as asked for, or as fit, but one at least."""
    if weight is not None and limit > ROWS_UNWEIGHED:
        limit = await _count_fitting(session, query, order, limit, weight)
    found = (await session.exec(query.order_by(*order).limit(limit + 1))).all()
    return found[:limit], len(found) > limit


async def _count_fitting(
    session: AsyncSession, query: SelectOfScalar[Any], order: list[Any], limit: int, weight: ColumnElement[int]
) -> int:
    """How many of the first rows fit, one at least. Weighed in growing parts, since weighing reads what it weighs."""
    weighed = 0
    while True:
        weighed = min(limit, weighed * 4 or ROWS_UNWEIGHED)
        heavy = query.with_only_columns(func.sum(weight).over(order_by=order).label("bytes"))
        rows = heavy.order_by(*order).limit(weighed).subquery()
        counted = select(func.count()).select_from(rows).where(rows.c.bytes <= PAGE_BYTES_MAX)
        fitting: int = (await run_sql(session, counted)).scalar_one()
        if fitting < weighed or weighed == limit:
            return max(1, fitting)


def _write_key(value: datetime | str) -> bytes:
    if isinstance(value, str):
        return b"s" + value.encode()
    return b"t" + str((value - _EPOCH) // _MICROSECOND).encode()


def _read_keys(opened: bytes) -> tuple[datetime | str, UUID]:
    """What was written by ourselves, since the signature has been checked."""
    kind, value = opened[16:17], opened[17:].decode()
    return value if kind == b"s" else _EPOCH + int(value) * _MICROSECOND, UUID(bytes=opened[:16])
