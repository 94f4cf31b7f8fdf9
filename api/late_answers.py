"""Every request begins to be answered in time, whatever it waits for and however often.

A request that is late is answered for its handler, which is left to end by itself: it may hold a connection of a pool,
and what is cut off in the middle of a statement takes the connection with it. Whether the handler still does what it
was asked to is not known then, so the answer says to repeat it with its idempotency key.

A body of more than a million bytes may take a minute to come; the time of its answer begins when it is there.

One look every half second at the oldest requests serves all of them; a request costs its place in a dictionary.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from litestar.types import Receive

# With what the answer itself takes, under ten.
ANSWER_SECONDS_MAX = 8.5
LOOK_SECONDS = 0.5
LARGE_BODY_BYTES = 1_000_000
LARGE_BODY_SECONDS = 60


class Answerable(Protocol):
    """A request under way."""

    def is_answered(self) -> bool: ...

    async def answer_late(self) -> None: ...


class LateAnswers:
    """The requests under way in one process, with the time at which each is late."""

    def __init__(self) -> None:
        self._under_way: dict[Answerable, float] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._look_again: asyncio.TimerHandle | None = None

    def begin(self, request: Answerable, body_bytes: int) -> None:
        body_seconds = LARGE_BODY_SECONDS if body_bytes > LARGE_BODY_BYTES else 0
        self._under_way[request] = time.monotonic() + ANSWER_SECONDS_MAX + body_seconds
        if self._look_again is None:
            self._look_again = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def hear_all(self, request: Answerable, receive: Receive) -> Receive:
        """`receive`, which notices when the body is there."""

        async def hear() -> Any:
            message = await receive()
            is_there = message["type"] == "http.request" and not message["more_body"]
            if is_there and request in self._under_way:
                self._under_way[request] = time.monotonic() + ANSWER_SECONDS_MAX
            return message

        return hear

    def end(self, request: Answerable) -> None:
        self._under_way.pop(request, None)

    def _look(self) -> None:
        self._look_again = None
        now = time.monotonic()
        for request in [request for request, late in self._under_way.items() if late <= now]:
            del self._under_way[request]
            if not request.is_answered():
                self._start(request.answer_late())
        if self._under_way:
            self._look_again = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _start(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(answer)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
