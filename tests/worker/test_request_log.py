"""The request log on its way from Redis to the database."""

from ontology.database import open_transaction
from ontology.events import EventFilter, list_events
from ontology.pagination import PageRequest
from ontology.redis_client import create_redis
from ontology.request_log import append_entries
from ontology.settings import Settings
from tests.logged_calls import logged_call
from tests.program import running_program
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


async def test_an_empty_stream_is_nothing_to_do(settings: Settings) -> None:
    redis = create_redis(settings)
    async with running_program(settings) as program:
        assert await drain_request_log(program.engine, redis) == 0
    await redis.aclose()
