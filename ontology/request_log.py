"""The request log: one event per API call, written behind the answer.

The web process appends to a Redis stream; the worker moves entries to the partitioned table and only then deletes
them, keyed by the event's id, so a worker that dies in between writes no entry twice and loses none.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.database import run_sql
from ontology.redis_client import Redis

STREAM = "request-log"
STREAM_LENGTH_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One call, as its event shows it; sizes in bytes, latency in milliseconds."""

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

    def metadata(self) -> dict[str, Any]:
        return {
            "timestamp": int(self.at.timestamp() * 1000),
            "endpoint": self.endpoint,
            "method": self.method,
            "statusCode": self.status,
            "latency": round(self.latency_ms, 2),
            "payloadSize": self.payload_bytes,
            "ipAddress": self.ip,
            "userAgent": self.user_agent,
        }


def describe_entry(entry: LogEntry) -> dict[str, Any]:
    """An entry as the row it becomes."""
    return {
        "id": str(entry.id),
        "org_id": str(entry.org_id),
        "group_id": str(entry.group_id),
        "key_id": str(entry.key_id) if entry.key_id else None,
        "actor_id": entry.actor_id,
        "target_id": entry.key_thing_id,
        "timestamp": entry.at.isoformat(),
        "request_id": entry.request_id,
        "metadata": entry.metadata(),
    }


async def append_entry(redis: Redis, entry: LogEntry) -> None:
    """Add an entry to the stream; raises RedisError when Redis is away."""
    row = json.dumps(describe_entry(entry))
    await redis.xadd(STREAM, {"row": row}, maxlen=STREAM_LENGTH_MAX, approximate=True)


async def read_entries(redis: Redis, count: int) -> list[tuple[bytes, dict[str, Any]]]:
    """The oldest entries, still in the stream."""
    found: Any = await redis.xrange(STREAM, count=count)
    return [(identity, json.loads(fields[b"row"])) for identity, fields in found]


async def forget_entries(redis: Redis, identities: Sequence[bytes]) -> None:
    """Delete entries that the database has committed."""
    await redis.xdel(STREAM, *identities)


async def store_entries(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Write entries to the table and the keys' last use; entries already there are left alone (duty `request_log`).

    One statement for each table, whatever the number of rows. COPY is refused on tables with row-level security.
    """
    payload = json.dumps(list(rows))
    await run_sql(session, _INSERT_ROWS, {"rows": payload})
    await run_sql(session, _UPSERT_USES, {"rows": payload})


_COLUMNS = (
    "id uuid, org_id uuid, group_id uuid, key_id uuid, actor_id text, target_id text, "
    "timestamp timestamptz, request_id text, metadata jsonb"
)
_INSERT_ROWS = text(
    "INSERT INTO request_log (id, org_id, group_id, type, actor_id, target_id, timestamp, request_id, metadata) "
    "SELECT id, org_id, group_id, 'api_request_made', actor_id, target_id, timestamp, request_id, metadata "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(" + _COLUMNS + ") ON CONFLICT DO NOTHING"
)
_UPSERT_USES = text(
    "INSERT INTO api_key_uses (key_id, org_id, group_id, last_used_at, last_used_ip, last_used_agent, requests) "
    "SELECT DISTINCT ON (key_id) key_id, org_id, group_id, timestamp, metadata->>'ipAddress', "
    "metadata->>'userAgent', count(*) OVER (PARTITION BY key_id) "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(" + _COLUMNS + ") WHERE key_id IS NOT NULL "
    "ORDER BY key_id, timestamp DESC "
    "ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, "
    "last_used_ip = excluded.last_used_ip, last_used_agent = excluded.last_used_agent, "
    "requests = api_key_uses.requests + excluded.requests"
)
