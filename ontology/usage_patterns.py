"""Usage patterns: operations that are called one after the other, counted from the request log.

A pattern is up to three operations and the one that came next, each a method with a path that names its parameters:
nothing that anybody sent is part of it. Patterns are counted for each group. Those that at least five organisations
show stand once more under the platform, where everybody may read them, with the number of those organisations in place
of any count of calls. Only the worker writes here (duty `patterns`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Self
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, BigInteger, Date, ForeignKeyConstraint, Index, Text, Uuid, func, or_, text
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import PLATFORM_ORG_ID, Actor, platform_actor
from ontology.database import run_sql
from ontology.events import ID_AFTER, REQUEST_EVENT, EventFilter, LoggedRequest, select_events
from ontology.ids import first_id, moment_of
from ontology.pattern_changes import MARK_CHANGED, OPERATIONS_MIN, Operations
from ontology.records import TenantRow

DUTY = "patterns"
BEFORE_MAX = 3
"""Operations that a pattern remembers before the last one."""
SESSION_GAP = timedelta(minutes=30)
ORGANISATIONS_MIN = 5
KEPT_DAYS, PATTERNS_PER_GROUP_MAX = 90, 5_000
CALLS_PER_BATCH = 5_000
# Calls reach the log within a second or so of their answer; one that comes later than this is not counted.
SETTLED, FIRST_LOOK = timedelta(seconds=30), timedelta(days=30)
LAST_CALLS_READ = 50
SHARING_MS = 120_000
_MINER_LOCK = 7_241_905_332
# No place in it for a value: the steps are words of the API, or names of parameters in braces.
_OPERATION = re.compile(r"[A-Z]+ /v1(?:/[a-z-]+|/\{[A-Za-z]+\})+")
# Asking what comes next is no part of what people combine.
_UNCOUNTED = frozenset({"POST /v1/knowledge/suggest"})


class UsagePattern(TenantRow, table=True):
    """How often `operation` came next after the operations `after`, the oldest first, in one group.

    Under the platform `times` is the number of organisations. With nothing before, it is how often an operation is
    called at all; calls of one operation in a row count as one.
    """

    __tablename__ = "usage_patterns"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        Index("ix_usage_patterns_last_seen", "last_seen"),
        Index(
            "ix_usage_patterns_org_id_group_id",
            "org_id",
            "group_id",
            postgresql_where=text("cardinality(after) >= 2"),
        ),
    )
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    after: list[str] = Field(sa_type=ARRAY(Text), primary_key=True)  # pyright: ignore[reportArgumentType]
    operation: str = Field(sa_type=Text, primary_key=True)
    group_id: UUID = Field(sa_type=Uuid, primary_key=True)
    times: int = Field(sa_type=BigInteger)
    last_seen: date = Field(sa_type=Date)
    first_seen: date = Field(sa_type=Date, sa_column_kwargs={"server_default": text("CURRENT_DATE")})

    @classmethod
    def visible_to(cls, actor: Actor) -> SelectOfScalar[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Those of the groups within reach, and those that are shared."""
        return select(cls).where(cls.reach(actor) | (col(cls.org_id) == PLATFORM_ORG_ID))


class UsageSession(TenantRow, table=True):
    """Where the calls of one key stand: its last operations, and the last call that was counted."""

    __tablename__ = "usage_sessions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
        Index("ix_usage_sessions_last_call", "last_call"),
    )
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    key_id: UUID = Field(sa_type=Uuid, primary_key=True)
    group_id: UUID = Field(sa_type=Uuid)
    recent: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType]
    last_call: UUID = Field(sa_type=Uuid)


@dataclass(frozen=True, slots=True)
class Follower:
    """How often an operation came next: calls of the actor's own reach, or the organisations that show it."""

    after: Operations
    operation: str
    times: int
    is_own: bool


def extend(recent: Operations, operation: str) -> Operations:
    """The last operations after one more."""
    return recent if recent[-1:] == (operation,) else (*recent, operation)[-BEFORE_MAX:]


def list_patterns(recent: Operations, operation: str) -> Iterator[Operations]:
    """What an operation came after: nothing, the last one, the last two, …; none if it is the last one again."""
    if recent[-1:] != (operation,):
        for start in range(len(recent), -1, -1):
            yield recent[start:]


async def count_followers(session: AsyncSession, actor: Actor, recent: Operations) -> list[Follower]:
    """What came next after the last operations, and after every later part of them, the empty one included."""
    row, endings = UsagePattern, [list(recent[start:]) for start in range(len(recent) + 1)]
    is_own = (col(row.org_id) != PLATFORM_ORG_ID).label("is_own")
    query = (
        row.visible_to(actor)
        .where(or_(*(col(row.after) == ending for ending in endings)))
        .with_only_columns(col(row.after), col(row.operation), func.sum(col(row.times)), is_own)
        .group_by(col(row.after), col(row.operation), is_own)
    )
    found: Sequence[Any] = (await run_sql(session, query)).all()
    return [Follower(tuple(after), operation, int(times), own) for after, operation, times, own in found]


async def list_shared(session: AsyncSession, *, limit: int) -> list[Operations]:
    """What is shared, of three operations or more, the last one included; what most organisations show first."""
    row, actor = UsagePattern, platform_actor()
    query = row.visible_to(actor).where(
        col(row.org_id) == PLATFORM_ORG_ID, func.cardinality(col(row.after)) >= OPERATIONS_MIN - 1
    )
    query = query.order_by(col(row.times).desc(), col(row.after), col(row.operation)).limit(limit)
    found: Sequence[Any] = (await run_sql(session, query.with_only_columns(col(row.after), col(row.operation)))).all()
    return [(*after, operation) for after, operation in found]


async def find_last_operations(session: AsyncSession, actor: Actor, now: datetime) -> Operations:
    """What the actor's key has called last, the oldest first, if that was within the gap that ends a session."""
    if actor.key_id is None:
        return ()
    wanted = EventFilter(type=REQUEST_EVENT, key_id=actor.key_id, status="2xx", since=now - SESSION_GAP)
    calls = select_events(actor, LoggedRequest, wanted).order_by(col(LoggedRequest.id).desc()).limit(LAST_CALLS_READ)
    recent: Operations = ()
    for call in reversed((await session.exec(calls)).all()):
        name = f"{call.metadata_.get('method')} {call.metadata_.get('endpoint')}"
        recent = extend(recent, name) if is_counted(name) else recent
    return recent


def is_counted(operation: str) -> bool:
    """Whether it is an operation as patterns name them."""
    return operation not in _UNCOUNTED and _OPERATION.fullmatch(operation) is not None


async def mine_calls(session: AsyncSession, now: datetime) -> int:
    """Count one batch of calls that are new in the log; how many there were (duty `patterns`).

    Calls are counted once, since the patterns and the place that was reached are one transaction. A batch takes the
    same memory however long the log is; with several workers one counts and the others return 0.
    """
    if not (await run_sql(session, _LOCK, {"lock": _MINER_LOCK})).scalar_one():
        return 0
    reached: UUID | None = (await run_sql(session, _REACHED)).scalar_one_or_none()
    since = reached or first_id(now - FIRST_LOOK)
    bounds = {"since": since, "until": first_id(now - SETTLED), "from": moment_of(since) - ID_AFTER}
    calls: Sequence[Any] = (await run_sql(session, _CALLS, bounds | {"limit": CALLS_PER_BATCH})).all()
    if not calls:
        return 0
    keys = {"keys": list({call.key_id for call in calls})}
    held: dict[UUID, tuple[Operations, UUID]] = {
        row.key_id: (tuple(row.recent), row.last_call) for row in (await run_sql(session, _SESSIONS, keys)).all()
    }
    counted = _count(calls, held)
    await run_sql(session, _STORE_PATTERNS, {"rows": _encode(counted)})
    await run_sql(session, _STORE_SESSIONS, {"rows": _encode(_describe_sessions(calls, held))})
    ended = first_id(moment_of(calls[-1].id) - SESSION_GAP)
    await run_sql(session, _FORGET_SESSIONS, {"ended": ended})
    return len(calls)


async def share_patterns(session: AsyncSession, today: date) -> None:
    """Forget what was long not seen and what is beyond a group's share, then tell what enough organisations show.

    What fewer than five organisations show is no longer shared (duty `patterns`).
    """
    await run_sql(session, text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(SHARING_MS)})
    await run_sql(session, _FORGET_OLD, {"before": today - timedelta(days=KEPT_DAYS)})
    await run_sql(session, _FORGET_SURPLUS, {"most": PATTERNS_PER_GROUP_MAX})
    await run_sql(session, _SHARE, {"platform": PLATFORM_ORG_ID, "least": ORGANISATIONS_MIN})


def _count(calls: Sequence[Any], held: dict[UUID, tuple[Operations, UUID]]) -> list[dict[str, Any]]:
    """The patterns that the calls add, in the order of the table's key; `held` is brought up to them.

    Refused calls keep a session going, but are no part of any pattern.
    """
    times: Counter[tuple[UUID, UUID, Operations, str]] = Counter()
    seen: dict[tuple[UUID, UUID, Operations, str], tuple[date, date]] = {}
    for call in calls:
        recent, last = held.get(call.key_id, ((), call.id))
        if moment_of(call.id) - moment_of(last) > SESSION_GAP:
            recent = ()
        if 200 <= call.status < 300 and is_counted(call.endpoint):
            for after in list_patterns(recent, call.endpoint):
                pattern = (call.org_id, call.group_id, after, call.endpoint)
                times[pattern] += 1
                day = moment_of(call.id).date()
                seen[pattern] = (seen.get(pattern, (day, day))[0], day)
            recent = extend(recent, call.endpoint)
        held[call.key_id] = (recent, call.id)
    return [
        {"org_id": org, "group_id": group, "after": after, "operation": name, "times": count}
        | {"first_seen": first, "last_seen": last}
        for key, count in sorted(times.items(), key=lambda entry: (entry[0][0], entry[0][2], entry[0][3], entry[0][1]))
        for (org, group, after, name), (first, last) in [(key, seen[key])]
    ]


def _describe_sessions(calls: Sequence[Any], held: dict[UUID, tuple[Operations, UUID]]) -> list[dict[str, Any]]:
    latest = {call.key_id: call for call in calls}
    return [
        {"org_id": call.org_id, "key_id": key_id, "group_id": call.group_id, "recent": recent, "last_call": last}
        for key_id, call in latest.items()
        for recent, last in [held[key_id]]
    ]


def _encode(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_REACHED = text("SELECT last_call FROM usage_sessions ORDER BY last_call DESC LIMIT 1")
_CALLS = text(
    "SELECT id, org_id, group_id, key_id, endpoint, status FROM request_log "
    "WHERE id > :since AND id < :until AND timestamp >= :from "
    "AND key_id IS NOT NULL AND endpoint IS NOT NULL AND status IS NOT NULL ORDER BY id LIMIT :limit"
)
_SESSIONS = text("SELECT key_id, recent, last_call FROM usage_sessions WHERE key_id = ANY(:keys)")
_STORE_PATTERNS = text(
    "WITH changed AS ("  # noqa: S608 - nothing of a caller's
    "INSERT INTO usage_patterns (org_id, after, operation, group_id, times, last_seen, first_seen) "
    "SELECT org_id, after, operation, group_id, times, last_seen, first_seen "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(org_id uuid, after text[], operation text, group_id uuid, "
    "times bigint, last_seen date, first_seen date) "
    "ON CONFLICT (org_id, after, operation, group_id) DO UPDATE SET times = usage_patterns.times + excluded.times, "
    "first_seen = least(usage_patterns.first_seen, excluded.first_seen), "
    "last_seen = greatest(usage_patterns.last_seen, excluded.last_seen) RETURNING *"
    f") {MARK_CHANGED}"
)
_STORE_SESSIONS = text(
    "INSERT INTO usage_sessions (org_id, key_id, group_id, recent, last_call) "
    "SELECT org_id, key_id, group_id, recent, last_call FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
    "AS r(org_id uuid, key_id uuid, group_id uuid, recent text[], last_call uuid) "
    "ON CONFLICT (org_id, key_id) DO UPDATE SET group_id = excluded.group_id, recent = excluded.recent, "
    "last_call = excluded.last_call"
)
_FORGET_SESSIONS = text("DELETE FROM usage_sessions WHERE last_call < :ended")
_FORGET_OLD = text(
    "WITH changed AS ("  # noqa: S608 - nothing of a caller's
    f"DELETE FROM usage_patterns WHERE last_seen < :before RETURNING *) {MARK_CHANGED}"
)
_FORGET_SURPLUS = text(
    "DELETE FROM usage_patterns p USING ("
    "SELECT org_id, after, operation, group_id, "
    "row_number() OVER (PARTITION BY org_id, group_id ORDER BY times DESC, last_seen DESC) AS place FROM usage_patterns"
    ") ranked WHERE ranked.place > :most AND p.org_id = ranked.org_id AND p.after = ranked.after "
    "AND p.operation = ranked.operation AND p.group_id = ranked.group_id"
)
_SHARE = text(
    "WITH shown AS ("
    "SELECT after, operation, count(DISTINCT org_id) AS organisations, max(last_seen) AS last_seen "
    "FROM usage_patterns WHERE org_id <> :platform GROUP BY after, operation "
    "HAVING count(DISTINCT org_id) >= :least"
    "), gone AS ("
    "DELETE FROM usage_patterns p WHERE p.org_id = :platform AND NOT EXISTS ("
    "SELECT FROM shown s WHERE s.after = p.after AND s.operation = p.operation)"
    ") "
    "INSERT INTO usage_patterns (org_id, after, operation, group_id, times, last_seen) "
    "SELECT CAST(:platform AS uuid), after, operation, CAST(:platform AS uuid), organisations, last_seen FROM shown "
    "ON CONFLICT (org_id, after, operation, group_id) "
    "DO UPDATE SET times = excluded.times, last_seen = excluded.last_seen"
)
