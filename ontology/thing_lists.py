"""Lists of things: their filters, their order, and how many there are."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, func, literal_column
from sqlalchemy import cast as sql_cast
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.groups import get_group
from ontology.pagination import Page, PageRequest, Sort, count_rows, describe_list, fetch_page, fetch_sorted_page
from ontology.property_filters import PropertyFilter, match_properties
from ontology.text_filters import match_text
from ontology.thing_rows import MANAGED_TYPES, Thing, require_readable_type
from ontology.vocabulary import THING_TYPES, get_thing_type

# Some types hide properties: those are found neither by words nor by filters, however a list is narrowed.
_HIDING = {name: kind.sensitive_names for name, kind in THING_TYPES.items() if kind.sensitive_names}
_HIDDEN = ",".join(sorted(frozenset[str]().union(*_HIDING.values())))
_SEARCH = literal_column("things.search", TSVECTOR)
# The same without what is hidden; no index has it, so it is asked only of rows that the other finds.
_SHOWN = literal_column(
    "(to_tsvector('simple', things.name) || "
    f"jsonb_to_tsvector('simple', things.properties - '{{{_HIDDEN}}}'::text[], '[\"string\"]'))",
    TSVECTOR,
)

_WEIGHT: ColumnElement[int] = func.octet_length(sql_cast(col(Thing.properties), Text))


class SortBy(StrEnum):
    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class ThingFilter:
    """When things were made and changed (from `after` on, before `before`), and what their properties hold."""

    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    properties: tuple[PropertyFilter, ...] = ()


_SORT_COLUMNS: dict[SortBy, Any] = {
    SortBy.CREATED_AT: Thing.created_at,
    SortBy.UPDATED_AT: Thing.updated_at,
    SortBy.NAME: Thing.name,
}


def hidden_names(type: str | None) -> frozenset[str]:
    """The properties that no filter of a list of this type, or of all that are not managed, may ask for."""
    shown = [type] if type else [name for name in _HIDING if name not in MANAGED_TYPES]
    return frozenset[str]().union(*(_HIDING.get(name, frozenset()) for name in shown))


async def list_things(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    type: str | None = None,
    status: str | None = None,
    q: str | None = None,
    group_id: UUID | None = None,
    include_deleted: bool = False,
    narrow: ThingFilter = ThingFilter(),
    sort_by: SortBy | None = None,
    descending: bool = True,
    with_total: bool = False,
) -> Page[Thing]:
    """Things within reach, newest first unless sorted; those of a managed type only when `type` asks for it.

    `q` finds things that hold every word, or begin of one, in name or texts. `with_total` counts all pages together, no
    further than `TOTAL_MAX`.

    Raises:
        NotFound: the group is out of reach. UnknownType: the type. InvalidRequest: `q` has too many words.
        InsufficientScope: the type is managed, and needs the scope of the operations that manage it.
    """
    query = Thing.visible_to(actor).where(*_narrow(narrow))
    if type:
        name = get_thing_type(type, "query.type").name
        require_readable_type(actor, name)
        query = query.where(col(Thing.type) == name)
    else:
        query = query.where(col(Thing.type).not_in(MANAGED_TYPES))
    if status:
        query = query.where(col(Thing.status) == status)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Thing.group_id) == group.id)
    if not include_deleted:
        query = query.where(col(Thing.deleted_at).is_(None))
    if q:
        query = query.where(match_text(_SEARCH, q), col(Thing.type).not_in(_HIDING) | match_text(_SHOWN, q))
    total = await count_rows(session, query, Thing.id) if with_total else None
    given: dict[str, Any] = {"type": type, "status": status, "q": q, "group": group_id, "deleted": include_deleted}
    if narrow != ThingFilter():
        given["narrow"] = narrow
    if sort_by is None and descending:
        found = await fetch_page(session, actor, query, Thing.id, page, describe_list("things", **given), _WEIGHT)
        return replace(found, total=total)
    sort = Sort(_SORT_COLUMNS[sort_by or SortBy.CREATED_AT], descending)
    purpose = describe_list("things", sort=sort_by, descending=descending, **given)
    found = await fetch_sorted_page(session, actor, query, Thing.id, sort, page, purpose, _WEIGHT)
    return replace(found, total=total)


def _narrow(wanted: ThingFilter) -> list[ColumnElement[bool]]:
    conditions = match_properties(col(Thing.properties), wanted.properties)
    for column, after, before in (
        (col(Thing.created_at), wanted.created_after, wanted.created_before),
        (col(Thing.updated_at), wanted.updated_after, wanted.updated_before),
    ):
        if after is not None:
            conditions.append(column >= after)
        if before is not None:
            conditions.append(column < before)
    return conditions


async def count_things(session: AsyncSession, actor: Actor, group_id: UUID | None = None, at_most: int = 10**9) -> int:
    """Live things within reach that count against a plan (managed types do not), no further than `at_most`."""
    query = select_columns(col(Thing.id)).where(
        Thing.reach(actor), col(Thing.deleted_at).is_(None), col(Thing.type).not_in(MANAGED_TYPES)
    )
    if group_id:
        query = query.where(col(Thing.group_id) == group_id)
    counted = select_columns(func.count()).select_from(query.limit(at_most).subquery())
    return (await run_sql(session, counted)).scalar_one()
