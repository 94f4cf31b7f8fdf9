"""Calls as the web processes log them, made up by tests that need one of a certain time, status or latency."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ontology.ids import first_id, new_id
from ontology.records import utc_now
from ontology.request_log import LogEntry
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
