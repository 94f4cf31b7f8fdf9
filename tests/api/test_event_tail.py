"""A tail misses nothing that commits, however late; it ends with its key, and holds nothing while it waits."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.services import Services
from api.tails import TAILS_PER_ORGANISATION
from ontology.actors import Actor
from ontology.database import open_transaction
from ontology.event_tail import find_present, read_written
from ontology.events import EventFilter, record_event
from ontology.ids import decode_id, encode_id, new_id
from ontology.records import utc_now
from ontology.request_log import append_entries
from ontology.scopes import Scope
from tests.contracts.isolation_requests import stream_rows
from tests.logged_calls import drain, logged_call
from tests.program import Caller, Program, eventually

EVERYTHING = EventFilter()


def following(caller: Caller, seconds: int, **query: Any) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(caller.get("/v1/events/tail", params={"seconds": str(seconds)} | query))


async def is_followed(api: Program, caller: Caller, times: int = 1) -> None:
    async def counted() -> bool:
        return await api.redis.zcard(f"tails:{{{caller.org_id}}}") == times  # pyright: ignore

    await eventually(counted)


def ids(answer: httpx.Response) -> list[str]:
    return [row["_id"] for row in stream_rows(answer)]


async def test_what_happens_is_followed_as_server_sent_events(api: Program, owner: Caller) -> None:
    await owner.make_thing("Before")
    tail = following(owner, 3)
    await is_followed(api, owner)
    thing = await owner.make_thing("Now")
    answer = await tail
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    rows = [row for row in stream_rows(answer) if row["type"] == "thing_created"]
    assert [row["targetId"] for row in rows] == [thing["_id"]]
    assert f"id: {rows[0]['_id']}\ndata: {{" in answer.text
    await is_followed(api, owner, 0)


async def test_a_tail_goes_on_behind_the_last_event_seen(owner: Caller) -> None:
    things = [await owner.make_thing(f"Thing {n}") for n in range(4)]
    created = await owner.all_rows("/v1/events", type="thing_created")
    seen = next(row["_id"] for row in created if row["targetId"] == things[1]["_id"])
    for asked in ({"params": {"seconds": "0", "lastEventId": seen}}, {"headers": {"Last-Event-ID": seen}}):
        options: dict[str, Any] = {"params": {"seconds": "0"}} | asked
        answer = await owner.get("/v1/events/tail", **options)
        targets = [row["targetId"] for row in stream_rows(answer) if row["type"] == "thing_created"]
        assert targets == [thing["_id"] for thing in things[2:]]


async def test_filters_bound_a_tail(owner: Caller) -> None:
    first = (await owner.all_rows("/v1/events"))[-1]["_id"]
    await owner.make_thing()
    await owner.post("/v1/events", {"type": "content_event"})
    query = {"seconds": "0", "lastEventId": first, "type": "content_event"}
    assert {row["type"] for row in stream_rows(await owner.get("/v1/events/tail", params=query))} == {"content_event"}


async def test_a_tail_follows_only_what_its_key_reaches(api: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="Below")
    child = await api.issue(owner, group_id=group["_id"])
    tails = [following(child, 3), following(await api.register("Stranger"), 3)]
    await is_followed(api, owner)
    await owner.make_thing("Above")
    inside = await owner.make_thing("Inside", groupId=group["_id"])
    seen, strange = [[row["targetId"] for row in stream_rows(await tail)] for tail in tails]
    assert seen == [inside["_id"]]
    assert strange == []


async def test_an_event_beyond_reach_is_no_place_to_go_on_from(api: Program, owner: Caller) -> None:
    stranger = await api.register()
    theirs = (await stranger.all_rows("/v1/events"))[0]["_id"]
    for value in (theirs, encode_id("event", new_id()), "event_7zzzzzzzzzzzzzzzzzzzzzzzzz"):
        answer = await owner.get("/v1/events/tail", params={"lastEventId": value})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = await owner.get("/v1/events/tail", headers={"Last-Event-ID": "yesterday"})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "header.Last-Event-Id")


@pytest.mark.parametrize("query", ["seconds=-1", "seconds=3601", "since=1", "type=nonsense", "cursor=x"])
async def test_bad_input_is_refused_before_anything_is_followed(owner: Caller, query: str) -> None:
    assert (await owner.get(f"/v1/events/tail?{query}")).status_code in (400, 422)


async def test_a_tail_ends_when_its_key_is_revoked(api: Program, owner: Caller) -> None:
    other = await api.issue(owner)
    tail = following(other, 60)
    await is_followed(api, owner)
    assert (await owner.delete(f"/v1/api-keys/{other.key_id}")).status_code == 200
    async with asyncio.timeout(20):
        answer = await tail
    assert 'event: end\ndata: {"code": "invalid_api_key"' in answer.text


async def test_an_organisation_follows_on_few_connections_at_once(api: Program, owner: Caller) -> None:
    tails = [following(owner, 4) for _ in range(TAILS_PER_ORGANISATION)]
    await is_followed(api, owner, TAILS_PER_ORGANISATION)
    refused = await owner.get("/v1/events/tail", params={"seconds": "0"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    other = await (await api.register()).get("/v1/events/tail", params={"seconds": "0"})
    assert other.status_code == 200
    assert [(await tail).status_code for tail in tails] == [200] * TAILS_PER_ORGANISATION
    assert (await owner.get("/v1/events/tail", params={"seconds": "0"})).status_code == 200


async def test_a_tail_holds_no_connection_between_its_reads(api: Program, owner: Caller) -> None:
    services: Services = api.litestar.state.services

    async def permit() -> Actor:
        return owner.owner

    async with open_transaction(api.engine, owner.owner) as session:
        position = await find_present(session)
    pieces: AsyncGenerator[bytes] = await services.tails.follow(api.engine, permit, EVERYTHING, position, 60)
    found = b""
    async for piece in pieces:
        assert api.engine.pool.checkedout() == 0  # pyright: ignore
        found += piece
        if piece == b"" and b"data:" not in found:
            await owner.make_thing("Next")
        elif b"data:" in found:
            break
    await pieces.aclose()


async def test_what_commits_late_is_neither_missed_nor_told_twice(api: Program, owner: Caller) -> None:
    """Its id and time are older than those of what was read meanwhile."""
    actor = owner.owner

    async def read(position: Any) -> tuple[list[UUID], Any]:
        async with open_transaction(api.engine, actor) as session:
            events, position = await read_written(session, actor, EVERYTHING, position, 100)
            return [event.id for event in events], position

    async with open_transaction(api.engine, actor) as session:
        position = await find_present(session)
    async with open_transaction(api.engine, actor) as late:
        slow = record_event(late, actor, "report_generated", group_id=actor.group_id)
        await late.flush()
        async with open_transaction(api.engine, actor) as session:
            quick = record_event(session, actor, "report_generated", group_id=actor.group_id)
        early, position = await read(position)
    after, position = await read(position)
    again, position = await read(position)
    assert slow.id < quick.id
    assert (early, again) == ([], [])
    assert sorted(after) == [slow.id, quick.id]


async def test_a_call_logged_long_after_it_was_made_is_followed(api: Program, owner: Caller) -> None:
    """As when the worker was away for a while."""
    old = logged_call(owner, at=utc_now() - timedelta(hours=1))
    await owner.make_thing()
    tail = following(await api.issue(owner, Scope.EVENTS_READ), 3)
    await is_followed(api, owner)
    await append_entries(api.redis, [old])
    await drain(api)
    assert encode_id("event", old.id) in ids(await tail)


async def test_reading_in_small_steps_passes_over_nothing(api: Program, owner: Caller) -> None:
    """Many rows of one transaction lie across the border of two reads."""
    async with open_transaction(api.engine, owner.owner) as session:
        position = await find_present(session)
    made = await owner.post("/v1/events/batch", {"events": [{"type": "content_event"}] * 7})
    found: list[UUID] = []
    while True:
        async with open_transaction(api.engine, owner.owner) as session:
            wanted = EventFilter(type="content_event")
            events, position = await read_written(session, owner.owner, wanted, position, 3)
        if not events:
            break
        found.extend(event.id for event in events)
    assert found == [decode_id(event["_id"])[1] for event in made.json()["data"]]
