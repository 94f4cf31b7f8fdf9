"""Calls as the web processes log them, made up by tests that need one of a certain time, status or latency."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ontology.database import open_duty
from ontology.ids import decode_id, first_id, new_id
from ontology.records import utc_now
from ontology.request_log import LogEntry, describe_entry, store_entries
from ontology.usage_patterns import DUTY, mine_calls, share_patterns
from tests.program import Caller, Program
from worker.request_log import drain_request_log


def logged_call(caller: Caller, *, at: datetime | None = None, **more: Any) -> LogEntry:
    """One call by nobody in particular; its id is as old as it is."""
    at = at or utc_now()
    fields: dict[str, Any] = {
        "id": UUID(int=first_id(at).int | new_id().int & (1 << 80) - 1),
        "org_id": caller.org_id,
        "group_id": caller.org_id,
        "key_id": None,
        "actor_id": "person_00000000000000000000000001",
        "key_thing_id": None,
        "at": at,
        "request_id": "req_0c3e5g7j9m2p4r6t8v1x3z5b",
        "method": "GET",
        "endpoint": "/v1/whoami",
        "status": 200,
        "latency_ms": 1.234,
        "payload_bytes": 56,
        "ip": "192.0.2.7",
        "user_agent": "test",
    }
    return LogEntry(**fields | more)


async def drain(program: Program) -> None:
    """What the worker does, until nothing is left to do."""
    while await drain_request_log(program.engine, program.redis):
        continue


async def log_session(
    program: Program, caller: Caller, *operations: str, at: datetime | None = None, **more: Any
) -> None:
    """Calls of a caller's key, a millisecond apart, as the worker stores them."""
    start = at or utc_now() - timedelta(minutes=10)
    rows: list[dict[str, Any]] = []
    for number, operation in enumerate(operations):
        method, endpoint = operation.split(" ")
        entry = logged_call(
            caller,
            at=start + timedelta(milliseconds=number),
            key_id=decode_id(caller.key_id)[1],
            key_thing_id=caller.key_id,
            group_id=decode_id(caller.group_id)[1],
            method=method,
            endpoint=endpoint,
            **more,
        )
        rows.append(describe_entry(entry) | {"timestamp": entry.at.isoformat()})
    async with open_duty(program.engine, "request_log") as session:
        await store_entries(session, rows)


async def learn(program: Program, now: datetime | None = None) -> None:
    """What the worker learns of all that is in the log, at a time when nothing more is on its way."""
    now = now or utc_now() + timedelta(hours=1)
    async with open_duty(program.engine, DUTY) as session:
        while await mine_calls(session, now):
            continue
        await share_patterns(session, now.date())
