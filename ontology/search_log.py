"""The search log: what people looked for, what came of it, and which hit they opened.

Entries are stored by `knowledge/search_log.py` under the duty `search_log`, behind the answers, and are shown for as
long as the plan keeps its calls. Keys and whatever reads like another secret are taken out before an entry is made.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, ColumnElement, Float, ForeignKeyConstraint, Index, Integer, Text, Uuid, func, text
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import run_sql
from ontology.groups import get_group
from ontology.ids import GroupId, SearchId, new_id
from ontology.key_secrets import redact_keys
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.plans import PLAN_LIMITS
from ontology.records import Moment, Record, TenantRow, Timestamp, utc_now

QUERY_LENGTH_MAX = 500
HITS_MAX = 50
TERMS_MAX = 1_000
HIDDEN = "***"
# Credentials of others by their usual forms: what follows their name, JSON Web Tokens, well-known prefixes.
_SECRET = re.compile(
    r"\b(?i:(bearer |(?:password|passwd|secret|token|api[_-]?key) ?[=:] ?))\S{6,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:sk|pk|rk|whsec|ghp|gho|ghs|github_pat|xox[abprs]|AKIA)[_-]?[A-Za-z0-9_-]{16,}"
)


class Purpose(StrEnum):
    """How it was looked for: by a search, or by a question that wants an answer."""

    SEARCH = "search"
    ASK = "ask"


class Source(StrEnum):
    """Where it was looked for: through the API, or on a page of the portal."""

    API = "api"
    PORTAL = "portal"


class LoggedSearch(TenantRow, table=True):
    """One search or question.

    `found` is whether something here answers it: a question's answer, or of a search the same decision on its words.
    `rank` is the place of the hit that was opened, the first being 1.
    """

    __tablename__ = "search_log"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        Index("ix_search_log_org_id_timestamp", "org_id", "timestamp"),
    )
    org_id: UUID = Field(sa_type=Uuid, primary_key=True, exclude=True)
    id: SearchId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    actor_id: str = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    query: str = Field(sa_type=Text)
    kinds: list[str] = Field(default_factory=list[str], sa_type=ARRAY(Text))  # pyright: ignore
    hits: int = Field(sa_type=Integer)
    best_score: float | None = Field(default=None, sa_type=Float)
    found: bool = Field(sa_type=Boolean)
    opened_document_id: str | None = Field(default=None, sa_type=Text)
    opened_rank: int | None = Field(default=None, sa_type=Integer)
    timestamp: Moment = Field(default_factory=utc_now, sa_type=Timestamp)


class SearchTerms(Record):
    """What was looked for in the same words, capitals aside: how often, and with what success."""

    query: str
    searches: int
    not_found: int
    opened: int
    people: int
    best_score: float | None
    last_searched_at: Moment


class SearchTotals(Record):
    """All of it together."""

    searches: int
    not_found: int
    opened: int


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What to list; None means any."""

    found: bool | None = None
    purpose: Purpose | None = None
    source: Source | None = None
    group_id: UUID | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """A row on its way to the table."""

    org_id: UUID
    id: UUID
    group_id: UUID
    actor_id: str
    purpose: str
    source: str
    query: str
    kinds: tuple[str, ...]
    hits: int
    best_score: float | None
    found: bool
    timestamp: datetime
    opened_document_id: str | None = None
    opened_rank: int | None = None


def clean_query(query: str) -> str:
    """A query as it is kept: on one line, shortened, without keys and other secrets."""
    kept = " ".join(redact_keys(query).replace("\x00", "").split())
    return _SECRET.sub(lambda match: (match[1] or "") + HIDDEN, kept)[:QUERY_LENGTH_MAX]


async def store_searches(session: AsyncSession, entries: Sequence[SearchEntry]) -> None:
    """Write entries (duty `search_log`); one that is there already learns which hit was opened, if it is its actor's.

    Of two entries with one id in `entries` the later one must not stand before the earlier.
    """
    rows = msgspec.json.encode([asdict(entry) for entry in entries]).decode()
    await run_sql(session, _STORE, {"rows": rows})


async def list_searches(
    session: AsyncSession, actor: Actor, wanted: SearchFilter, page: PageRequest
) -> Page[LoggedSearch]:
    """Searches within reach, newest first.

    Raises:
        NotFound: the group, the same whether it does not exist or lies out of reach.
    """
    if wanted.group_id is not None:
        await get_group(session, actor, wanted.group_id)
    query = LoggedSearch.visible_to(actor).where(*_conditions(actor, wanted))
    return await fetch_page(
        session, actor, query, LoggedSearch.id, page, describe_list("searches", wanted=asdict(wanted))
    )


async def list_search_terms(
    session: AsyncSession, actor: Actor, wanted: SearchFilter, *, limit: int
) -> list[SearchTerms]:
    """Searches in the same words as one: what was found nothing for most often first, then what was searched most.

    With `found` false, only words for which nothing was found at least once.

    Raises:
        NotFound: the group, the same whether it does not exist or lies out of reach.
    """
    if wanted.group_id is not None:
        await get_group(session, actor, wanted.group_id)
    words = func.lower(col(LoggedSearch.query))
    missed, all_of_them = _count(~col(LoggedSearch.found)), func.count()
    statement = (
        select_columns(
            func.max(col(LoggedSearch.query)),
            all_of_them,
            missed,
            _count(col(LoggedSearch.opened_document_id).is_not(None)),
            func.count(col(LoggedSearch.actor_id).distinct()),
            func.max(col(LoggedSearch.best_score)),
            func.max(col(LoggedSearch.timestamp)),
        )
        .where(LoggedSearch.reach(actor), *_conditions(actor, wanted))
        .group_by(words)
        .order_by(missed.desc(), all_of_them.desc(), words)
        .limit(limit)
    )
    rows: Sequence[Any] = (await run_sql(session, statement)).all()
    return [
        SearchTerms(
            query=row[0],
            searches=row[1],
            not_found=row[2],
            opened=row[3],
            people=row[4],
            best_score=row[5],
            last_searched_at=row[6],
        )
        for row in rows
    ]


async def count_searches(session: AsyncSession, actor: Actor, wanted: SearchFilter) -> SearchTotals:
    """How many searches there were within reach, and with what success."""
    opened = _count(col(LoggedSearch.opened_document_id).is_not(None))
    statement = select_columns(func.count(), _count(~col(LoggedSearch.found)), opened).where(
        LoggedSearch.reach(actor), *_conditions(actor, wanted)
    )
    row: Any = (await run_sql(session, statement)).one()
    return SearchTotals(searches=row[0], not_found=row[1], opened=row[2])


def _conditions(actor: Actor, wanted: SearchFilter) -> list[ColumnElement[bool]]:
    """Those of the filter, and that the plan still keeps it."""
    kept = timedelta(days=PLAN_LIMITS[actor.plan].log_retention_days)
    conditions: list[ColumnElement[bool]] = [col(LoggedSearch.timestamp) >= func.now() - kept]
    for column, value in (
        (LoggedSearch.found, wanted.found),
        (LoggedSearch.purpose, wanted.purpose),
        (LoggedSearch.source, wanted.source),
        (LoggedSearch.group_id, wanted.group_id),
    ):
        if value is not None:
            conditions.append(col(column) == value)
    if wanted.q:
        conditions.append(col(LoggedSearch.query).icontains(wanted.q, autoescape=True))
    if wanted.since:
        conditions.append(col(LoggedSearch.timestamp) >= wanted.since)
    if wanted.until:
        conditions.append(col(LoggedSearch.timestamp) < wanted.until)
    return conditions


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)


_STORE = text(
    "INSERT INTO search_log (org_id, id, group_id, actor_id, purpose, source, query, kinds, hits, best_score, found, "
    "timestamp, opened_document_id, opened_rank) "
    "SELECT org_id, id, group_id, actor_id, purpose, source, query, kinds, hits, best_score, found, timestamp, "
    "opened_document_id, opened_rank FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r("
    "org_id uuid, id uuid, group_id uuid, actor_id text, purpose text, source text, query text, kinds text[], "
    "hits integer, best_score float, found boolean, timestamp timestamptz, opened_document_id text, "
    "opened_rank integer) "
    "ON CONFLICT (org_id, id) DO UPDATE SET opened_document_id = excluded.opened_document_id, "
    "opened_rank = excluded.opened_rank "
    "WHERE search_log.actor_id = excluded.actor_id AND excluded.opened_document_id IS NOT NULL"
)
