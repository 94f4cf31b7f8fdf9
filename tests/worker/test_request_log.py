"""The request log on its way from Redis to the database."""

import asyncio
import logging
from dataclasses import replace

import pytest

from ontology.database import open_transaction
from ontology.events import EventFilter, list_events
from ontology.ids import new_id
from ontology.pagination import PageRequest
from ontology.redis_client import create_redis
from ontology.request_log import LogEntry, RequestLog, append_entries
from ontology.settings import Settings
from tests.logged_calls import logged_call
from tests.parts import Parts
from tests.program import eventually, running_program
from worker.request_log import drain_request_log

CALLS = 25


async def test_every_call_becomes_one_event_with_the_eight_published_fields(settings: Settings) -> None:
    async with running_program(settings) as program:
        caller = await program.register()
        for _ in range(CALLS):
            assert (await caller.get("/v1/whoami")).status_code == 200
        drained = 0
        while drained < CALLS:
            drained += await drain_request_log(program.engine, program.redis)
        rows = await caller.all_rows("/v1/events", type="api_request_made")
    calls = [row for row in rows if row["metadata"]["endpoint"] == "/v1/whoami"]
    assert len(calls) == CALLS
    assert set(calls[0]["metadata"]) == {
        "timestamp",
        "endpoint",
        "method",
        "statusCode",
        "latency",
        "payloadSize",
        "ipAddress",
        "userAgent",
    }


async def test_a_worker_that_died_between_storing_and_forgetting_repeats_nothing(settings: Settings) -> None:
    redis = create_redis(settings)
    async with running_program(settings) as program:
        caller = await program.register()
        twice = logged_call(caller)
        for _ in range(2):
            await append_entries(redis, [twice])
            assert await drain_request_log(program.engine, redis) >= 1
        actor = caller.owner
        async with open_transaction(program.engine, actor) as session:
            wanted = EventFilter(request_id=twice.request_id)
            page = await list_events(session, actor, wanted, PageRequest("secret"))
    assert [event.id for event in page.rows] == [twice.id]
    await redis.aclose()


async def test_calls_of_nobody_known_hold_up_nobody_elses(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """As when a backup was restored under a Redis that knows more."""
    redis = create_redis(settings)
    async with running_program(settings) as program:
        logging.getLogger("worker.request_log").addHandler(caplog.handler)  # the program takes the root's away
        caller = await program.register()
        stranger = logged_call(caller, id=new_id(), request_id="req_of_nobody", org_id=new_id(), key_id=new_id())
        own = [logged_call(caller) for _ in range(4)]
        await append_entries(redis, [own[0], stranger, own[1]])
        await append_entries(redis, own[2:])
        while await drain_request_log(program.engine, redis):
            continue
        async with open_transaction(program.engine, caller.owner) as session:
            wanted = EventFilter(type="api_request_made")
            page = await list_events(session, caller.owner, wanted, PageRequest("secret"))
    assert {call.id for call in own} <= {event.id for event in page.rows}
    assert "req_of_nobody" in caplog.text
    await redis.aclose()


async def test_a_call_that_finds_neither_way_open_is_logged_when_one_is(
    parts: Parts, database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when all connections to both are cut at once."""
    tries: list[int] = []
    write_once = RequestLog._write_once

    async def counted(self: RequestLog, entries: list[LogEntry], ends: float) -> None:
        tries.append(len(entries))
        await write_once(self, entries, ends)

    async def has_failed() -> bool:
        return len(tries) > 1

    monkeypatch.setattr(RequestLog, "_write_once", counted)
    async with running_program(settings) as program:
        caller = await program.register()
        away = create_redis(replace(settings, redis_url="redis://127.0.0.1:1/0"))
        call = logged_call(caller)
        with parts.closed_database(database):
            writing = asyncio.create_task(RequestLog(away, program.engine).append(call))
            await eventually(has_failed)
        await writing
        async with open_transaction(program.engine, caller.owner) as session:
            wanted = EventFilter(request_id=call.request_id)
            page = await list_events(session, caller.owner, wanted, PageRequest("secret"))
        await away.aclose()
    assert [event.id for event in page.rows] == [call.id]


async def test_an_empty_stream_is_nothing_to_do(settings: Settings) -> None:
    redis = create_redis(settings)
    async with running_program(settings) as program:
        assert await drain_request_log(program.engine, redis) == 0
    await redis.aclose()
