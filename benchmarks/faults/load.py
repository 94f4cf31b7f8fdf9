"""The steady load: a few clients that create, read and list, and remember what they were told of every request.

Half of the creations carry an idempotency key, so that what became of one without an answer can be asked later.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any

import httpx

CLIENTS = 8
PAUSE_SECONDS = 0.1
# More than any request may take, so that one which takes too long is measured and not cut off.
PATIENCE_SECONDS = 20.0
PROBLEM_TYPE = "application/problem+json"
UNAVAILABLE = "503 with Retry-After"
USUAL = ("create once", "read", "create", "list")
SEARCHES = (*USUAL, "search")


@dataclass(slots=True)
class Sent:
    """One request and what came of it."""

    kind: str
    sent_at: float
    name: str = ""
    """Of the thing to be created."""

    seconds: float = 0.0
    status: int = 0
    """0: no answer."""

    failure: str = ""
    """What kind of failure it was, if any."""

    thing_id: str = ""
    request_id: str = ""

    @property
    def is_acknowledged(self) -> bool:
        return self.status == 201

    @property
    def is_ambiguous(self) -> bool:
        """It may have been carried out, or not."""
        return bool(self.name) and (self.status == 0 or self.status >= 500)


@dataclass(slots=True)
class Load:
    """Everything sent so far; the name of each thing begins with `run`."""

    base_url: str
    key: str
    run: str
    kinds: Sequence[str] = USUAL
    sent: list[Sent] = field(default_factory=list[Sent])
    _over: bool = False

    def stop(self) -> None:
        self._over = True

    async def send_steadily(self, number: int) -> None:
        """One client: the next request a moment after the last was answered."""
        async with new_client(self.base_url, self.key) as client:
            known = ""
            for turn in count():
                if self._over:
                    return
                kind = self.kinds[turn % len(self.kinds)]
                name = f"{self.run}-{number}-{turn}" if kind.startswith("create") else ""
                sent = Sent(kind, monotonic(), name)
                self.sent.append(sent)
                await _send(client, sent, known)
                known = sent.thing_id or known
                await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def steady_load(load: Load) -> AsyncGenerator[None]:
    """Clients for the length of the block, whose last requests are waited for."""
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(load.send_steadily(number))
        try:
            yield
        finally:
            load.stop()


def new_client(base_url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=base_url, headers=headers, timeout=PATIENCE_SECONDS)


async def create_once(client: httpx.AsyncClient, name: str) -> httpx.Response:
    """Create a thing with its name as the idempotency key: to be repeated as often as one likes."""
    return await client.post("/v1/entities", json=_body(name), headers={"Idempotency-Key": name})


async def _send(client: httpx.AsyncClient, sent: Sent, known: str) -> None:
    try:
        answer = await _ask(client, sent, known)
    except httpx.TransportError as error:
        sent.failure = type(error).__name__
    else:
        sent.status = answer.status_code
        sent.request_id = answer.headers.get("x-request-id", "")
        if sent.is_acknowledged:
            sent.thing_id = answer.json()["_id"]
        elif answer.status_code != 200:
            sent.failure = describe_failure(answer)
    sent.seconds = monotonic() - sent.sent_at


async def _ask(client: httpx.AsyncClient, sent: Sent, known: str) -> httpx.Response:
    match sent.kind:
        case "create once":
            return await create_once(client, sent.name)
        case "create":
            return await client.post("/v1/entities", json=_body(sent.name))
        case "read" if known:
            return await client.get(f"/v1/entities/{known}")
        case "search":
            return await client.post("/v1/knowledge/search", json={"query": "what to do when a key is refused"})
        case _:
            return await client.get("/v1/entities", params={"type": "course", "limit": "20"})


def describe_failure(answer: httpx.Response) -> str:
    """`UNAVAILABLE` where it is what a fault should be answered with; else what it was."""
    is_problem = answer.headers.get("content-type", "").startswith(PROBLEM_TYPE)
    if answer.status_code == 503 and is_problem and answer.headers.get("retry-after", "").isdigit():
        return UNAVAILABLE
    code = answer.json().get("code") if is_problem else "no problem document"
    return f"{answer.status_code} {code}"


def _body(name: str) -> dict[str, Any]:
    return {"type": "course", "name": name, "properties": {"title": name}}
