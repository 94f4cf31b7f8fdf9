"""No request waits for ever: one that is late is answered 503, and what it was doing ends in its own time, whole."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from api import late_answers
from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Caller, Program, eventually

PATIENCE_SECONDS = 0.2


@dataclass
class Exchange:
    """One request on the program's outermost interface, and what was answered so far."""

    messages: list[Any] = field(default_factory=list[Any])
    is_answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.is_answered.set()

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def content(self) -> dict[str, Any]:
        return json.loads(b"".join(message["body"] for message in self.messages[1:]))


def _begin(
    api: Program, caller: Caller, name: str, *, body_seconds: float = 0, announced: int | None = None
) -> tuple[Exchange, "asyncio.Task[None]"]:
    """Create a thing once, without waiting for more than the answer; the body comes late and is said to be large."""
    exchange = Exchange()
    body = json.dumps({"type": "course", "name": name}, separators=(",", ":")).encode()
    headers = {
        "host": "one.test",
        "authorization": f"Bearer {caller.key}",
        "content-type": "application/json",
        "idempotency-key": name,
    } | ({"content-length": str(announced)} if announced else {})
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/entities",
        "raw_path": b"/v1/entities",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        "client": ("127.0.0.1", 40_000),
        "server": ("one.test", 80),
    }

    async def receive() -> Any:
        await asyncio.sleep(body_seconds)
        return {"type": "http.request", "body": body, "more_body": False}

    async def perform() -> None:
        await api.app(scope, receive, exchange.send)  # pyright: ignore[reportArgumentType]

    return exchange, asyncio.create_task(perform())


@contextmanager
def _nobody_can_write(parts: Parts, api: Program) -> Iterator[None]:
    """A transaction of somebody else's holds the table of things, and the program soon loses patience."""
    name = api.settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(name)) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_answers, "ANSWER_SECONDS_MAX", PATIENCE_SECONDS)
        patch.setattr(late_answers, "LOOK_SECONDS", PATIENCE_SECONDS / 4)
        connection.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


async def test_late_request_is_answered_and_still_has_one_effect(parts: Parts, api: Program) -> None:
    caller, name = await api.register(), uuid4().hex
    await caller.get("/v1/whoami")
    with _nobody_can_write(parts, api):
        exchange, handling = _begin(api, caller, name)
        async with asyncio.timeout(2):
            await exchange.is_answered.wait()
        assert not handling.done(), "it was cut off, or not late"
    assert (exchange.status, exchange.content["code"]) == (503, "service_unavailable")
    assert exchange.headers["content-type"] == "application/problem+json"
    assert int(exchange.headers["retry-after"]) > 0
    assert exchange.headers["x-request-id"] == exchange.content["requestId"]
    await handling
    assert [message["type"] for message in exchange.messages] == ["http.response.start", "http.response.body"]
    repeated = await caller.post("/v1/entities", {"type": "course", "name": name}, headers={"Idempotency-Key": name})
    assert repeated.status_code == 201
    assert repeated.headers["idempotent-replayed"] == "true"
    found = await caller.all_rows("/v1/entities", q=name)
    assert [thing["_id"] for thing in found] == [repeated.json()["_id"]]
    events = await caller.all_rows("/v1/events", type="thing_created", targetId=found[0]["_id"])
    assert len(events) == 1


async def test_more_late_requests_than_the_pool_has_connections_leave_it_whole(parts: Parts, api: Program) -> None:
    caller = await api.register()
    await caller.get("/v1/whoami")
    with _nobody_can_write(parts, api):
        begun = [_begin(api, caller, uuid4().hex) for _ in range(2 * api.settings.database_pool_size)]
        async with asyncio.timeout(10):
            await asyncio.gather(*(exchange.is_answered.wait() for exchange, _ in begun))
    assert {exchange.status for exchange, _ in begun} == {503}
    await asyncio.gather(*(handling for _, handling in begun))
    answers = await asyncio.gather(*(caller.get("/v1/entities", params={"q": "none"}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


async def test_late_request_is_logged_with_its_answer(parts: Parts, api: Program) -> None:
    caller = await api.register()
    await caller.get("/v1/whoami")
    with _nobody_can_write(parts, api):
        exchange, handling = _begin(api, caller, uuid4().hex)
        await exchange.is_answered.wait()
    await handling
    request_id = exchange.headers["x-request-id"]

    async def list_statuses() -> list[int]:
        await drain(api)
        rows = await caller.all_rows("/v1/events", type="api_request_made", requestId=request_id)
        return [row["metadata"]["statusCode"] for row in rows]

    async def is_logged() -> bool:
        return bool(await list_statuses())

    await eventually(is_logged)
    assert await list_statuses() == [503]


async def test_requests_in_time_are_not_answered_for(api: Program) -> None:
    caller = await api.register()
    exchange, handling = _begin(api, caller, uuid4().hex)
    await handling
    assert exchange.status == 201
    assert len(exchange.messages) == 2


async def test_a_large_body_may_come_slowly_and_its_answer_is_late_from_then_on(parts: Parts, api: Program) -> None:
    caller = await api.register()
    await caller.get("/v1/whoami")
    large = late_answers.LARGE_BODY_BYTES + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_answers, "ANSWER_SECONDS_MAX", PATIENCE_SECONDS)
        patch.setattr(late_answers, "LOOK_SECONDS", PATIENCE_SECONDS / 4)
        small, handling_small = _begin(api, caller, uuid4().hex, body_seconds=3 * PATIENCE_SECONDS)
        slow, handling = _begin(api, caller, uuid4().hex, body_seconds=3 * PATIENCE_SECONDS, announced=large)
        await asyncio.gather(handling_small, handling)
    assert (small.status, slow.status) == (503, 201)
    with _nobody_can_write(parts, api):
        hanging, handling = _begin(api, caller, uuid4().hex, announced=large)
        async with asyncio.timeout(2):
            await hanging.is_answered.wait()
    await handling
    assert hanging.status == 503
