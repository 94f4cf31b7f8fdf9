"""The request log: one event per API call, in a Redis stream before the answer has left, in the table soon after.

The web process appends to the stream; the worker moves entries to the partitioned table and only then deletes them,
keyed by the event's id, so a worker that dies in between writes no entry twice and loses none. An answer whose last
byte was received is therefore in the log, whatever dies afterwards.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.database import open_duty, run_sql
from ontology.records import to_epoch_ms
from ontology.redis_client import Redis, RedisError
from ontology.redis_pipe import RedisPipe, pack

STREAM = "request-log"
STREAM_LENGTH_MAX = 1_000_000
ROWS_PER_ENTRY_MAX = 100
REDIS_REST_SECONDS = 1.0
PLACES_MAX = 10
# An answer waits for its entry, so it cannot wait for parts that do not answer; connections that were cut are new
# before that.
STORE_SECONDS, STORE_PAUSE_SECONDS = 3.0, 0.1
_log = logging.getLogger(__name__)


class LogEntry(msgspec.Struct, frozen=True):
    """One call, as its event shows it; sizes in bytes, latency in milliseconds.

    `endpoint` is the operation's path with its parameters by name, `path` what was asked for where that differs.
    Of a refusal its code and the places it names are kept, never the values that stood there.
    """

    id: UUID
    org_id: UUID
    group_id: UUID
    key_id: UUID | None
    actor_id: str
    key_thing_id: str | None
    at: datetime
    request_id: str
    method: str
    endpoint: str
    status: int
    latency_ms: float
    payload_bytes: int
    ip: str
    user_agent: str
    path: str | None = None
    error_code: str | None = None
    error_places: tuple[str, ...] = ()

    def metadata(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "timestamp": to_epoch_ms(self.at),
            "endpoint": self.endpoint,
            "method": self.method,
            "statusCode": self.status,
            "latency": round(self.latency_ms, 2),
            "payloadSize": self.payload_bytes,
            "ipAddress": self.ip,
            "userAgent": self.user_agent,
        }
        if self.path not in (None, self.endpoint):
            fields["path"] = self.path
        if self.error_code:
            fields |= {"errorCode": self.error_code, "errorPlaces": list(self.error_places)}
        return fields


def describe_entry(entry: LogEntry) -> dict[str, Any]:
    """An entry as the row it becomes."""
    return {
        "id": entry.id,
        "org_id": entry.org_id,
        "group_id": entry.group_id,
        "key_id": entry.key_id,
        "actor_id": entry.actor_id,
        "target_id": entry.key_thing_id,
        "timestamp": entry.at,
        "request_id": entry.request_id,
        "metadata": entry.metadata(),
    }


async def append_entries(redis: Redis, entries: Sequence[LogEntry], pipe: RedisPipe | None = None) -> None:
    """Add entries to the stream as one; raises RedisError when Redis is away or has no room."""
    rows = msgspec.json.encode([describe_entry(entry) for entry in entries])
    if pipe is None:
        await redis.xadd(STREAM, {"rows": rows}, maxlen=STREAM_LENGTH_MAX, approximate=True)
    else:
        await pipe.execute(pack("XADD", STREAM, "MAXLEN", "~", STREAM_LENGTH_MAX, "*", "rows", rows))


async def read_entries(redis: Redis, count: int) -> list[tuple[bytes, list[msgspec.Raw]]]:
    """The oldest entries with their rows, each as the JSON it is, still in the stream."""
    found: Any = await redis.xrange(STREAM, count=count)
    return [(identity, msgspec.json.decode(fields[b"rows"], type=list[msgspec.Raw])) for identity, fields in found]


async def forget_entries(redis: Redis, identities: Sequence[bytes]) -> None:
    """Delete entries that the database has committed."""
    await redis.xdel(STREAM, *identities)


async def store_entries(session: AsyncSession, rows: Sequence[dict[str, Any] | msgspec.Raw]) -> None:
    """Write entries to the table, the keys' usage and their last use; entries already there are left alone.

    One statement, whatever the number of rows (duty `request_log`). COPY is refused on tables with row-level security.
    """
    await run_sql(session, _STORE_ROWS, {"rows": msgspec.json.encode(list(rows)).decode()})


class RequestLog:
    """One process's way into the log: calls that end while an append is under way share the next one.

    So the cost is one round trip for several calls under load, and one for one at rest.
    """

    def __init__(self, redis: Redis, engine: AsyncEngine, pipe: RedisPipe | None = None) -> None:
        self._redis = redis
        self._pipe = pipe
        self._engine = engine
        self._waiting: list[tuple[LogEntry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._redis_rests_until = 0.0

    async def append(self, entry: LogEntry) -> None:
        """Return when the entry would outlive this process.

        Whoever waits may be cancelled; the entry is written all the same.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        await written

    async def close(self) -> None:
        """Wait for entries still being written."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=5)

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:ROWS_PER_ENTRY_MAX], self._waiting[ROWS_PER_ENTRY_MAX:]
            try:
                await self._write([entry for entry, _ in batch])
            except Exception as error:
                _log.exception("%d requests could not be logged", len(batch), exc_info=error)
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    async def _write(self, entries: list[LogEntry]) -> None:
        """Until it is done, or neither way was open for `STORE_SECONDS`.

        Repeating is harmless: entries are told apart by their ids.
        """
        ends = time.monotonic() + STORE_SECONDS
        while True:
            try:
                return await self._write_once(entries, ends)
            except (SQLAlchemyError, OSError) as error:
                if time.monotonic() + STORE_PAUSE_SECONDS > ends:
                    _log.error("%d requests could not be logged", len(entries), exc_info=error)
                    return None
            await asyncio.sleep(STORE_PAUSE_SECONDS)

    async def _write_once(self, entries: list[LogEntry], ends: float) -> None:
        """Through Redis; straight to the database while Redis is away."""
        if time.monotonic() >= self._redis_rests_until:
            try:
                return await append_entries(self._redis, entries, self._pipe)
            except RedisError:
                self._redis_rests_until = time.monotonic() + REDIS_REST_SECONDS
        storing = asyncio.create_task(self._store(entries))  # never cancelled, since it holds a connection of the pool
        done, _ = await asyncio.wait({storing}, timeout=max(STORE_PAUSE_SECONDS, ends - time.monotonic()))
        if not done:
            raise TimeoutError("the database does not answer")
        return storing.result()

    async def _store(self, entries: list[LogEntry]) -> None:
        async with open_duty(self._engine, "request_log") as session:
            await store_entries(session, [describe_entry(entry) for entry in entries])


_COLUMNS = (
    "id uuid, org_id uuid, group_id uuid, key_id uuid, actor_id text, target_id text, "
    "timestamp timestamptz, request_id text, metadata jsonb"
)
# Only calls that were not there yet are counted, so whoever stores a call twice counts it once. Each table is written
# in the order of its key: two that store at once wait for one another and do not lock each other out.
_STORE_ROWS = text(
    "WITH stored AS ("  # noqa: S608 - nothing of a caller's
    "INSERT INTO request_log "
    "(id, org_id, group_id, type, actor_id, target_id, timestamp, request_id, key_id, metadata) "
    "SELECT id, org_id, group_id, 'api_request_made', actor_id, target_id, timestamp, request_id, key_id, metadata "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(" + _COLUMNS + ") ORDER BY id ON CONFLICT DO NOTHING "
    "RETURNING org_id, group_id, key_id, timestamp, endpoint, status, metadata"
    "), counted AS ("
    "INSERT INTO usage_days (org_id, group_id, key_id, day, operation, status_class, calls) "
    "SELECT org_id, (array_agg(group_id))[1], key_id, timezone('UTC', timestamp)::date, left(endpoint, 200), "
    "status / 100, count(*) FROM stored WHERE key_id IS NOT NULL "
    "GROUP BY org_id, key_id, 4, 5, 6 ORDER BY org_id, key_id, 4, 5, 6 "
    "ON CONFLICT (org_id, key_id, day, operation, status_class) "
    "DO UPDATE SET calls = usage_days.calls + excluded.calls"
    "), by_key AS ("
    "SELECT key_id, sum(calls) AS requests, jsonb_object_agg(day, calls) AS day_calls FROM ("
    "SELECT key_id, timezone('UTC', timestamp)::date AS day, count(*) AS calls FROM stored "
    "WHERE key_id IS NOT NULL GROUP BY 1, 2) AS by_day GROUP BY 1"
    ") "
    "INSERT INTO api_key_uses "
    "(key_id, org_id, group_id, last_used_at, last_used_ip, last_used_agent, requests, day_calls) "
    "SELECT DISTINCT ON (key_id) key_id, org_id, group_id, timestamp, metadata->>'ipAddress', "
    "metadata->>'userAgent', requests, day_calls FROM stored JOIN by_key USING (key_id) "
    "ORDER BY key_id, timestamp DESC "
    "ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, "
    "last_used_ip = excluded.last_used_ip, last_used_agent = excluded.last_used_agent, "
    "requests = api_key_uses.requests + excluded.requests, "
    "day_calls = add_day_calls(api_key_uses.day_calls, excluded.day_calls)"
)
