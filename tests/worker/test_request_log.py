"""The request log on its way from Redis to the database."""

from uuid import UUID

from ontology.database import open_transaction
from ontology.events import EventFilter, list_events
from ontology.ids import new_id
from ontology.pagination import PageRequest
from ontology.records import utc_now
from ontology.redis_client import create_redis
from ontology.request_log import LogEntry, append_entry
from ontology.settings import Settings
from tests.program import Caller, running_program
from worker.request_log import drain_request_log

CALLS = 25


def entry(caller: Caller, key_id: UUID | None = None) -> LogEntry:
    return LogEntry(
        id=new_id(),
        org_id=caller.org_id,
        group_id=caller.org_id,
        key_id=key_id,
        actor_id="person_00000000000000000000000001",
        key_thing_id=None,
        at=utc_now(),
        request_id="req_0c3e5g7j9m2p4r6t8v1x3z5b",
        method="GET",
        endpoint="/v1/whoami",
        status=200,
        latency_ms=1.234,
        payload_bytes=56,
        ip="192.0.2.7",
        user_agent="test",
    )


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
        twice = entry(caller)
        for _ in range(2):
            await append_entry(redis, twice)
            assert await drain_request_log(program.engine, redis) >= 1
        actor = caller.owner
        async with open_transaction(program.engine, actor) as session:
            wanted = EventFilter(request_id=twice.request_id)
            page = await list_events(session, actor, wanted, PageRequest("secret"))
    assert [event.id for event in page.rows] == [twice.id]
    await redis.aclose()


async def test_an_empty_stream_is_nothing_to_do(settings: Settings) -> None:
    redis = create_redis(settings)
    async with running_program(settings) as program:
        assert await drain_request_log(program.engine, redis) == 0
    await redis.aclose()
