"""Open tails: server-sent events, at least once each, to few enough followers that none can exhaust the program.

A tail holds a socket and nothing else while it waits. Each second it asks whether it may still follow (the key's
authorisation epoch), and reads what has become visible in a transaction of its own.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.actors import Actor
from ontology.database import open_transaction
from ontology.errors import PortalError, RateLimitExceeded
from ontology.event_tail import Position, read_written
from ontology.events import EventFields, EventFilter
from ontology.ids import encode_id, new_id
from ontology.log_lines import get_logger
from ontology.redis_client import Redis, RedisError

TAILS_PER_ORGANISATION = 5
SECONDS_MAX = 3_600
POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
EVENTS_PER_READ = 200
# A process that was killed leaves its tails counted for this long.
FORGOTTEN_SECONDS = 30
_log = get_logger(__name__)

Permit = Callable[[], Awaitable[Actor]]


class Tails:
    """The tails of this process, counted per organisation over all processes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._here: Counter[UUID] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let every tail end, since a server waits for its answers before it stops."""
        self._closing.set()

    async def follow(
        self,
        engine: AsyncEngine,
        permit: Permit,
        wanted: EventFilter,
        position: Position,
        seconds: float,
        encode: Callable[[EventFields], bytes] | None = None,
    ) -> AsyncGenerator[bytes]:
        """Begin a tail; it ends after `seconds` (0: having read what there is), at shutdown, or when `permit` refuses.

        Raises:
            RateLimitExceeded: the organisation follows on too many connections already.
        """
        org_id = (await permit()).org_id
        name = encode_id("event", new_id())
        if not await self._count(org_id, name):
            raise RateLimitExceeded(
                f"An organisation may follow its events on {TAILS_PER_ORGANISATION} connections at once; close one.",
                retry_after_seconds=FORGOTTEN_SECONDS,
            )
        return self._follow(engine, permit, wanted, position, seconds, (org_id, name), encode or encode_event)

    async def _follow(
        self,
        engine: AsyncEngine,
        permit: Permit,
        wanted: EventFilter,
        position: Position,
        seconds: float,
        counted: tuple[UUID, str],
        encode: Callable[[EventFields], bytes],
    ) -> AsyncGenerator[bytes]:
        self._here[counted[0]] += 1
        ends = time.monotonic() + seconds
        spoke = time.monotonic()
        try:
            yield b"retry: 2000\n: following\n\n"
            while not self._closing.is_set():
                events, position = await self._read(engine, permit, wanted, position)
                for event in events:
                    yield encode(event)
                now = time.monotonic()
                if now - spoke >= HEARTBEAT_SECONDS:
                    spoke = now
                    yield b": still here\n\n"
                    await self._count_again(*counted)
                if len(events) < EVENTS_PER_READ:
                    if now >= ends:
                        return
                    yield b""
                    await self._pause(min(POLL_SECONDS, ends - now))
        except PortalError as refusal:
            yield f"event: end\ndata: {json.dumps({'code': refusal.code, 'detail': refusal.detail})}\n\n".encode()
        finally:
            self._here[counted[0]] -= 1
            await self._forget(*counted)

    async def _read(
        self, engine: AsyncEngine, permit: Permit, wanted: EventFilter, position: Position
    ) -> tuple[list[EventFields], Position]:
        """What is new; nothing, and the same position, while the database is away."""
        try:
            actor = await permit()
            async with open_transaction(engine, actor) as session:
                return await read_written(session, actor, wanted, position, EVENTS_PER_READ)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("a tail waits for the database", exc_info=error)
            return [], position

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _count(self, org_id: UUID, name: str) -> bool:
        """Count a tail; False when there are too many besides it."""
        key, now = f"tails:{{{org_id}}}", time.time()
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zremrangebyscore(key, 0, now - FORGOTTEN_SECONDS)
                pipe.zadd(key, {name: now})
                pipe.expire(key, 2 * FORGOTTEN_SECONDS)
                pipe.zcard(key)
                total: int = (await pipe.execute())[-1]
        except RedisError:
            return self._here[org_id] < TAILS_PER_ORGANISATION
        if total > TAILS_PER_ORGANISATION:
            await self._forget(org_id, name)
            return False
        return True

    async def _count_again(self, org_id: UUID, name: str) -> None:
        key = f"tails:{{{org_id}}}"
        try:
            await self._redis.zadd(key, {name: time.time()})
            await self._redis.expire(key, 2 * FORGOTTEN_SECONDS)
        except RedisError as error:
            _log.warning("a tail may be forgotten", exc_info=error)

    async def _forget(self, org_id: UUID, name: str) -> None:
        try:
            await self._redis.zrem(f"tails:{{{org_id}}}", name)
        except RedisError as error:
            _log.warning("a tail stays counted for a while", exc_info=error)


def encode_event(event: EventFields) -> bytes:
    return frame_event(event, event.as_json())


def frame_event(event: EventFields, data: Any) -> bytes:
    """One server-sent event; its id is what a follower sends to go on from there."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {encode_id('event', event.id)}\ndata: {text}\n\n".encode()
