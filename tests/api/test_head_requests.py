"""HEAD: what GET answers, but for the body, on every way a call can take through the program."""

import asyncio
from typing import Any

import httpx
import pytest

from ontology.redis_client import Redis
from tests.logged_calls import drain
from tests.program import Caller, Program

# Differ from one call to the next.
OWN = {"x-request-id", "ratelimit"}


def without_own(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OWN}


async def compare(caller: Caller, path: str, **options: Any) -> httpx.Response:
    """The answer to HEAD, which has to be that to GET without a body."""
    read = await caller.get(path, **options)
    asked = await caller.call("HEAD", path, **options)
    assert asked.content == b"" and (read.content or read.status_code == 304)
    assert asked.status_code == read.status_code
    assert without_own(asked) == without_own(read)
    return asked


@pytest.mark.parametrize(
    "path", ["/v1/whoami", "/v1/entities", "/v1/entities?limit=7", "/v1/ontology", "/v1/ontology/types", "/v1/usage"]
)
async def test_a_resource_answers_as_to_get(owner: Caller, path: str) -> None:
    await owner.make_thing()
    answer = await compare(owner, path)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0


async def test_one_row_by_both_ways_through_the_program(owner: Caller) -> None:
    thing = await owner.make_thing()
    for path in (f"/v1/entities/{thing['_id']}", f"/v1/groups/{owner.group_id}/statistics"):
        assert (await compare(owner, path)).status_code == 200
    tag = (await owner.call("HEAD", f"/v1/entities/{thing['_id']}")).headers["etag"]
    same = await compare(owner, f"/v1/entities/{thing['_id']}", headers={"If-None-Match": tag})
    assert same.status_code == 304


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/entities?limit=0", 400), ("/v1/entities/thing_1", 400), ("/v1/nothing", 404)]
)
async def test_a_refusal_has_its_status_and_no_body(owner: Caller, path: str, status: int) -> None:
    answer = await owner.call("HEAD", path)
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_sent_in_pieces_ends_at_once_and_is_followed_by_nobody(api: Program, owner: Caller) -> None:
    async with asyncio.timeout(5):
        for path in ("/v1/events/tail?seconds=3600", "/v1/events/export"):
            for _ in range(7):
                answer = await owner.call("HEAD", path)
                assert (answer.status_code, answer.content) == (200, b"")
    assert await count_tails(api.redis, owner) == 0


async def count_tails(redis: Redis, owner: Caller) -> int:
    return await redis.zcard(f"tails:{{{owner.org_id}}}")


async def test_nothing_is_created_by_head_and_where_there_is_no_get_it_is_refused(owner: Caller) -> None:
    answer = await owner.call("HEAD", "/v1/entities/batch")
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == "OPTIONS, POST"
    options = await owner.call("OPTIONS", "/v1/entities")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_head_is_a_call_that_counts_and_is_logged_under_its_name(api: Program, owner: Caller) -> None:
    answer = await owner.call("HEAD", "/v1/whoami")
    await drain(api)
    (call,) = await owner.all_rows("/v1/events", type="api_request_made", requestId=answer.headers["x-request-id"])
    assert (call["metadata"]["method"], call["metadata"]["payloadSize"]) == ("HEAD", 0)


@pytest.mark.parametrize("path", ["/", "/docs", "/sign-in", "/openapi.json", "/health/live"])
async def test_pages_and_public_documents_answer_too(api: Program, path: str) -> None:
    read, asked = await api.client.get(path), await api.client.head(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-type"] == read.headers["content-type"]
