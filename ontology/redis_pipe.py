"""One connection to Redis for what every request asks: many commands under way at once, answered in order.

A pool gives each caller a connection for a round trip; here the commands of one turn of the event loop leave in one
write, and their answers arrive in one read. Redis decides them one by one all the same, in the order they were asked.
"""

import asyncio
import time
from collections import deque
from functools import lru_cache
from typing import Any, cast

from ontology.redis_client import TIMEOUT_SECONDS, KnownServer, RedisAddress, RedisError

Argument = bytes | str | int
_END = b"\r\n"


class RedisPipe:
    """Opened at first use and again after it is lost; what was under way then fails with RedisError."""

    def __init__(self, address: RedisAddress, server: KnownServer) -> None:
        self._address = address
        self._server = server
        self._wire: _Wire | None = None
        self._opening = asyncio.Lock()

    async def execute(self, command: bytes) -> Any:
        """The answer to a packed command.

        Raises:
            RedisError: refused by the server, or no answer; then it is not known whether it was carried out.
        """
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._open()
        return await wire.ask(command)

    async def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    async def _open(self) -> "_Wire":
        async with self._opening:
            if self._wire is not None and not self._wire.lost:
                return self._wire
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self._wire = await self._connect()
            except (OSError, TimeoutError) as error:
                raise RedisError(f"no connection: {error}") from error
            return self._wire

    async def _connect(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        address = self._address
        if address.path:
            _, wire = await loop.create_unix_connection(_Wire, address.path)
        else:
            _, wire = await loop.create_connection(_Wire, address.host, address.port)
        try:
            if address.password is not None:
                user = (address.username,) if address.username else ()
                await wire.ask(pack("AUTH", *user, address.password))
            if address.database:
                await wire.ask(pack("SELECT", address.database))
            self._server.notice(await wire.ask(pack("INFO", "server")))
        except BaseException:
            wire.close()
            raise
        return wire


class PipeScript:
    """A Lua script, sent by its digest; the server is given its text once."""

    def __init__(self, pipe: RedisPipe, text: str) -> None:
        self._pipe = pipe
        self._text = text
        self._digest = b""

    async def __call__(self, keys: tuple[Argument, ...], args: tuple[Argument, ...]) -> Any:
        """Raises: RedisError."""
        if not self._digest:
            self._digest = await self._load()
        command = _pack_script(self._digest, keys, args)
        try:
            return await self._pipe.execute(command)
        except RedisError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # The server is a new one, or was told to forget its scripts; it has not carried this one out.
        self._digest = await self._load()
        return await self._pipe.execute(command)

    async def _load(self) -> bytes:
        digest: bytes = await self._pipe.execute(pack("SCRIPT", "LOAD", self._text))
        return digest


class _Wire(asyncio.Protocol):
    """The connection itself: what was asked, in order, and what has arrived."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._leaving: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._arrived = b""
        self._watch: asyncio.TimerHandle | None = None
        self.lost = False

    def ask(self, command: bytes) -> "asyncio.Future[Any]":
        """Send a command; its future becomes the answer."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            future.set_exception(RedisError("the connection is lost"))
            return future
        if not self._leaving and not self._waiting:
            self._loop.call_soon(self._send)
        self._leaving.append(command)
        self._waiting.append((time.monotonic(), future))
        if self._watch is None:
            self._watch = self._loop.call_later(TIMEOUT_SECONDS, self._look)
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived + data if self._arrived else data
        at = 0
        while self._waiting:
            try:
                answer, at = _parse(arrived, at)
            except _Incomplete:
                break
            _, future = self._waiting.popleft()
            if future.done():  # its caller has gone
                continue
            if isinstance(answer, RedisError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._arrived = arrived[at:]
        if self._leaving and len(self._waiting) == len(self._leaving):
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(RedisError("the connection is lost"))

    def _send(self) -> None:
        data = b"".join(self._leaving)
        self._leaving.clear()
        if self._transport is not None and not self.lost:
            self._transport.write(data)

    def _look(self) -> None:
        """One timer for all: a server that leaves the oldest command without an answer answers none."""
        self._watch = None
        if not self._waiting:
            return
        rest = self._waiting[0][0] + TIMEOUT_SECONDS - time.monotonic()
        if rest <= 0:
            self.close()
        else:
            self._watch = self._loop.call_later(rest, self._look)


class _Incomplete(Exception):
    """The rest of the answer has not arrived."""


def pack(*arguments: Argument) -> bytes:
    """A command as Redis reads it (RESP 2)."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        content = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(content), content))
    return b"".join(parts)


@lru_cache(maxsize=10_000)
def _pack_script(digest: bytes, keys: tuple[Argument, ...], args: tuple[Argument, ...]) -> bytes:
    """One key of an organisation asks with the same words every time."""
    return pack("EVALSHA", digest, len(keys), *keys, *args)


def _parse(data: bytes, at: int) -> tuple[Any, int]:
    """One answer that begins at `at`, and where the next begins."""
    end = data.find(_END, at)
    if end < 0:
        raise _Incomplete
    kind, text, after = data[at], data[at + 1 : end], end + 2
    if kind == 0x3A:  # :
        return int(text), after
    if kind == 0x2B:  # +
        return text, after
    if kind == 0x2D:  # -
        return RedisError(text.decode(errors="replace")), after
    length = int(text)
    if length < 0:
        return None, after
    if kind == 0x24:  # $
        if len(data) < after + length + 2:
            raise _Incomplete
        return data[after : after + length], after + length + 2
    if kind == 0x2A:  # *
        items: list[Any] = []
        for _ in range(length):
            item, after = _parse(data, after)
            items.append(item)
        return items, after
    raise RedisError(f"not an answer: {data[at : at + 40]!r}")
