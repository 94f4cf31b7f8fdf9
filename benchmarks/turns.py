"""The event loop of a web process under a crowd of searches: how long a single turn keeps everybody else waiting.

`python -m benchmarks.turns` reads a `Crowd` as JSON from standard input and prints a `Turned`. It serves the requests
itself, in this process, on the parts of a program that runs. A turn's length is the processor time of this thread: how
long another process was given the processor meanwhile is the machine's affair, and is no blocking.
"""

import asyncio
import base64
import json
import sys
import time
from asyncio import events
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, cast

from litestar.types import ASGIApp

from benchmarks.percentiles import Latencies, describe_latencies
from ontology.settings import Settings
from portal.app import create_app
from portal.web_process import settle_memory


@dataclass(frozen=True)
class Crowd:
    """What to send: the whole requests in Base64, taken in turn by so many clients; `env` names the parts."""

    env: dict[str, str]
    requests: list[str]
    clients: int
    warm_seconds: float
    seconds: float


@dataclass(frozen=True)
class Turned:
    """What came of it."""

    answers: int
    statuses: dict[str, int]
    turns: int
    lengths: Latencies


async def run(crowd: Crowd) -> Turned:
    app = create_app(Settings.from_environment(crowd.env))
    settle_memory()
    requests = cycle([_read(base64.b64decode(request)) for request in crowd.requests])
    await _send_all(app, requests, crowd.clients, crowd.warm_seconds)
    with _measured_turns() as lengths:
        statuses = await _send_all(app, requests, crowd.clients, crowd.seconds)
    told = {str(status): count for status, count in statuses.items()}
    return Turned(statuses.total(), told, len(lengths), describe_latencies(lengths))


async def _send_all(
    app: ASGIApp, requests: Iterator[tuple[dict[str, Any], bytes]], clients: int, seconds: float
) -> Counter[int]:
    statuses: Counter[int] = Counter()
    ends = time.monotonic() + seconds

    async def ask() -> None:
        while time.monotonic() < ends:
            statuses[await _call(app, *next(requests))] += 1

    await asyncio.gather(*(ask() for _ in range(clients)))
    return statuses


async def _call(app: ASGIApp, scope: dict[str, Any], body: bytes) -> int:
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(cast("Any", dict(scope)), receive, send)
    return status


def _read(request: bytes) -> tuple[dict[str, Any], bytes]:
    """A request as it goes over the wire, as an ASGI scope and a body."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, path, _ = first.decode().split(" ")
    pairs = [line.partition(b": ") for line in lines]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, _, value in pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    return scope, body


@contextmanager
def _measured_turns() -> Iterator[list[float]]:
    """Seconds of every turn that the loop of this process takes within the block."""
    lengths: list[float] = []
    plain = cast("Any", events.Handle)._run

    def measured(handle: events.Handle) -> None:
        began = time.thread_time()
        plain(handle)
        lengths.append(time.thread_time() - began)

    cast("Any", events.Handle)._run = measured
    try:
        yield lengths
    finally:
        cast("Any", events.Handle)._run = plain


if __name__ == "__main__":
    json.dump(asdict(asyncio.run(run(Crowd(**json.load(sys.stdin))))), sys.stdout)
