"""A few hot statements, straight on libpq: prepared, many under way on one connection, no round trip of their own.

What a transaction states (see `ontology.database`) and its statement are sent together and closed by one sync, which
makes them one implicit transaction: row-level security costs no round trip, and an answer is given only after commit.

Statements here are served by an index and end soon. Where one does not, the connection is left alone until it is done,
and callers are sent to the session, which can do everything that is done here.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from uuid import UUID

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ontology.actors import Actor
from ontology.database import CONNECT_TIMEOUT_SECONDS, driver_url
from ontology.errors import ServiceUnavailable
from ontology.settings import Settings

STATEMENT_TIMEOUT_MS = 1_000
LOCK_TIMEOUT_MS = 500
# The oldest statement of a connection has not ended for so long: no further ones are put behind it.
STALL_SECONDS = 0.5
UNDER_WAY_MAX = 64
STATEMENTS_MAX = 64
RECONNECT_SECONDS = 0.25
# A burst at the start waits for a connection rather than storm the sessions' pool.
CONNECTING_SECONDS_MAX = 1.0
# Each commit waits for the disk, so writes need more connections than reads, and a write waiting for a lock holds up
# no read.
CONNECTIONS = {"read": 2, "write": 4}
UUID_TYPE, TEXT_TYPE, JSONB_TYPE, TIMESTAMPTZ_TYPE = 2950, 25, 3802, 1184
_STATE = b"state"
_STATE_SQL = b"SELECT set_config('app.org_id', $1, true), set_config('app.group_id', $2, true)"

Purpose = Literal["read", "write"]
Rows = list[tuple[bytes | None, ...]]


class Unserved(Exception):
    """Not done here, and nothing has changed: do it in a session."""


@dataclass(frozen=True, slots=True)
class HotStatement:
    """A statement and the types of its parameters; `name` stands for the text."""

    name: bytes
    sql: bytes
    types: tuple[int, ...]


@dataclass(slots=True)
class _Pending:
    future: "asyncio.Future[Rows]"
    sent_at: float
    rows: Rows
    preparing: bytes | None = None
    failure: str = ""


class FastDatabase:
    """The hot connections of one process, opened at first use."""

    def __init__(self, settings: Settings) -> None:
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
        url = driver_url(settings.database_url).replace("postgresql+psycopg://", "postgresql://", 1)
        conninfo = make_conninfo(
            url, options=options, application_name="one-hot", connect_timeout=CONNECT_TIMEOUT_SECONDS
        )
        self._lanes: dict[Purpose, list[_Lane]] = {
            "read": [_Lane(conninfo) for _ in range(CONNECTIONS["read"])],
            "write": [_Lane(conninfo) for _ in range(CONNECTIONS["write"])],
        }

    @property
    def is_ready(self) -> bool:
        """Whether every connection is there; asking makes those that are not begin to connect."""
        now = time.monotonic()
        free = [lane.is_free(now) for lanes in self._lanes.values() for lane in lanes]
        return all(free)

    async def read(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        """The rows of a statement that changes nothing, in Postgres's binary form.

        Raises:
            Unserved: no connection is free for it, or it failed.
        """
        try:
            return await (await self._choose("read")).run(actor, statement, values)
        except ServiceUnavailable:
            raise Unserved from None

    async def write(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        """The rows of a statement that changes something; committed when they are there.

        Raises:
            Unserved: no connection is free for it, or the server refused it; nothing has changed.
            ServiceUnavailable: the connection was lost, and nobody knows whether it had been committed.
        """
        return await (await self._choose("write")).run(actor, statement, values)

    async def close(self) -> None:
        for lanes in self._lanes.values():
            for lane in lanes:
                await lane.close()

    async def _choose(self, purpose: Purpose) -> "_Lane":
        """The connection with the least under way that is not stalled."""
        if (lane := self._find_free(purpose)) is not None:
            return lane
        connecting = [lane.connecting for lane in self._lanes[purpose] if lane.connecting is not None]
        if connecting:
            await asyncio.wait(connecting, timeout=CONNECTING_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
            if (lane := self._find_free(purpose)) is not None:
                return lane
        raise Unserved

    def _find_free(self, purpose: Purpose) -> "_Lane | None":
        now = time.monotonic()
        best: _Lane | None = None
        for lane in self._lanes[purpose]:
            if lane.is_free(now) and (best is None or lane.under_way < best.under_way):
                best = lane
        return best


class _Lane:
    """One connection in pipeline mode."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: pq.abc.PGconn | None = None
        self._descriptor = -1
        self.connecting: asyncio.Task[None] | None = None
        self._pending: deque[_Pending] = deque()
        self._prepared: set[bytes] = set()
        self._closed = False

    @property
    def under_way(self) -> int:
        return len(self._pending)

    def is_free(self, now: float) -> bool:
        """Whether a statement sent now would begin at once or soon; begins to connect where there is no connection."""
        if self._connection is None:
            if self.connecting is None and not self._closed:
                self.connecting = asyncio.get_running_loop().create_task(self._connect())
            return False
        pending = self._pending
        return not pending or (len(pending) < UNDER_WAY_MAX and now - pending[0].sent_at < STALL_SECONDS)

    async def run(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        connection = self._connection
        assert connection is not None
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        pending = _Pending(future, time.monotonic(), [])
        try:
            if statement.name not in self._prepared:
                if len(self._prepared) >= STATEMENTS_MAX:
                    raise Unserved
                connection.send_prepare(statement.name, statement.sql, statement.types)
                self._prepared.add(statement.name)
                pending.preparing = statement.name
            connection.send_query_prepared(_STATE, (uuid_text(actor.org_id), uuid_text(actor.group_id)))
            connection.send_query_prepared(statement.name, values, result_format=1)
            connection.pipeline_sync()
            self._pending.append(pending)
            self._flush()
        except psycopg.Error:
            self._lose()
            if not future.done():
                future.set_exception(ServiceUnavailable())
        return await future

    async def close(self) -> None:
        self._closed = True
        if self.connecting is not None:
            self.connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self.connecting
        self._lose()

    async def _connect(self) -> None:
        """Until there is a connection; callers use sessions meanwhile."""
        while True:
            try:
                connection = await asyncio.to_thread(self._open)
            except psycopg.Error:
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            break
        self._prepared = {_STATE}
        self._connection = connection
        self._descriptor = connection.socket
        self.connecting = None
        asyncio.get_running_loop().add_reader(self._descriptor, self._receive)

    def _open(self) -> pq.abc.PGconn:
        connection: pq.abc.PGconn = pq.PGconn.connect(self._conninfo.encode())
        if connection.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(connection.get_error_message())
        prepared = connection.prepare(_STATE, _STATE_SQL, (TEXT_TYPE, TEXT_TYPE))
        if prepared.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.OperationalError(prepared.get_error_message())
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        return connection

    def _flush(self) -> None:
        """Send what libpq holds; what the socket does not take now is sent when it does."""
        connection = self._connection
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        if connection.flush():
            loop.add_writer(self._descriptor, self._flush_or_lose)
        else:
            loop.remove_writer(self._descriptor)

    def _flush_or_lose(self) -> None:
        try:
            self._flush()
        except psycopg.Error:
            self._lose()

    def _receive(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.consume_input()
            idle = False
            while self._pending and not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    if idle:
                        break
                    idle = True
                    continue
                idle = False
                self._take(result)
        except psycopg.Error:
            self._lose()
            return
        if connection.status != pq.ConnStatus.OK:
            self._lose()

    def _take(self, result: pq.abc.PGresult) -> None:
        """One result: rows are kept, and given to who waits when the sync says that they are committed."""
        pending = self._pending[0]
        status = result.status
        if status == pq.ExecStatus.TUPLES_OK:
            columns = range(result.nfields)
            pending.rows = [tuple([result.get_value(row, c) for c in columns]) for row in range(result.ntuples)]
        elif status == pq.ExecStatus.COMMAND_OK:
            pending.preparing = None
        elif status == pq.ExecStatus.PIPELINE_SYNC:
            self._pending.popleft()
            if pending.preparing is not None:  # refused: the name stands for nothing
                self._prepared.discard(pending.preparing)
            if self._pending:
                self._pending[0].sent_at = time.monotonic()  # its turn begins now
            if pending.future.done():
                return
            if pending.failure:
                pending.future.set_exception(Unserved(pending.failure))
            else:
                pending.future.set_result(pending.rows)
        elif status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED):
            pending.failure = pending.failure or result.get_error_message()

    def _lose(self) -> None:
        """Drop the connection; callers are told, and the next one makes a new connection begin."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        loop.remove_writer(self._descriptor)
        with suppress(psycopg.Error):
            connection.finish()
        waiting, self._pending = self._pending, deque[_Pending]()
        for pending in waiting:
            if not pending.future.done():
                pending.future.set_exception(ServiceUnavailable())


@lru_cache(maxsize=10_000)
def uuid_text(value: UUID) -> bytes:
    return str(value).encode()
