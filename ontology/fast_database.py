"""A few hot statements, straight on libpq: prepared, several in one round trip, the two walls among them.

What a transaction states (see `ontology.database`) and its statement are sent together and closed by one sync, which
makes them one implicit transaction: row-level security costs no round trip, and an answer is given only after commit.
Statements that have come together share a sync, each behind what its actor states, or another of the same place: one
commit, and one wait for the disk, for all of them. They succeed together or not at all.

Statements here are served by an index and end soon. The server ends those that do not, and whoever asked, or was sent
in one go with it, is referred to the session, which can do everything that is done here. So nobody waits longer for
another's statement than the timeouts below, and nothing waits behind a slow one while another connection is free.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ontology.actors import Actor
from ontology.database import CONNECT_TIMEOUT_SECONDS, driver_url
from ontology.errors import ServiceUnavailable
from ontology.settings import Settings

STATEMENT_TIMEOUT_MS = 250
LOCK_TIMEOUT_MS = 100
# A server that has not answered for so long is not slow but gone, whatever the network says.
LOST_SECONDS = 3.0
RECONNECT_SECONDS = 0.25
WAITING_MAX = 64
UUID_TYPE, TEXT_TYPE, JSONB_TYPE, TIMESTAMPTZ_TYPE = 2950, 25, 3802, 1184
Rows = list[tuple[bytes | None, ...]]
_Hook = Callable[[], None]


class Unserved(Exception):
    """Not done here, and nothing has changed: do it in a session."""


@dataclass(frozen=True, slots=True)
class HotStatement:
    """A statement and the types of its parameters; `name` stands for the text."""

    name: bytes
    sql: bytes
    types: tuple[int, ...]


_STATE = HotStatement(
    b"state",
    b"SELECT set_config('app.org_id', $1, true), set_config('app.group_id', $2, true)",
    (TEXT_TYPE, TEXT_TYPE),
)


class FastDatabase:
    """The hot connections of one process, opened at first use."""

    def __init__(self, settings: Settings) -> None:
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
        url = driver_url(settings.database_url).replace("postgresql+psycopg://", "postgresql://", 1)
        conninfo = make_conninfo(
            url, options=options, application_name="one-hot", connect_timeout=CONNECT_TIMEOUT_SECONDS
        )
        self._reads = _Queue(conninfo, connections=2, batch_max=16)
        self._writes = _Queue(conninfo, connections=3, batch_max=12)

    @property
    def is_ready(self) -> bool:
        """Whether every connection is there; asking makes those that are not begin to connect."""
        ready = [queue.connect() for queue in (self._reads, self._writes)]
        return all(ready)

    async def read(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        """The rows of a statement that changes nothing, in Postgres's binary form.

        Raises:
            Unserved: no connection is free for it, or it failed.
        """
        try:
            return await self._reads.run(actor, statement, values)
        except ServiceUnavailable:
            raise Unserved from None

    async def write(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        """The rows of a statement that changes something; committed when they are there.

        Raises:
            Unserved: no connection is free for it, or the server refused it; nothing has changed.
            ServiceUnavailable: the connection was lost, and nobody knows whether it had been committed.
        """
        return await self._writes.run(actor, statement, values)

    async def close(self) -> None:
        await self._reads.close()
        await self._writes.close()


@dataclass(slots=True)
class _Work:
    """One statement for one actor, from its caller's question to the answer."""

    actor: Actor
    statement: HotStatement
    values: Sequence[bytes | None]
    future: "asyncio.Future[Rows]"
    rows: Rows = field(default_factory=list[tuple[bytes | None, ...]])
    results_due: int = 0
    preparing: list[bytes] = field(default_factory=list[bytes])
    failure: str = ""

    def finish(self) -> None:
        if self.future.done():  # its caller has gone
            return
        if self.failure:
            self.future.set_exception(Unserved(self.failure))
        else:
            self.future.set_result(self.rows)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Queue:
    """Statements of one kind, and the connections that take them as they become free."""

    def __init__(self, conninfo: str, *, connections: int, batch_max: int) -> None:
        self._lanes = [_Lane(conninfo, self._feed, self._drop_unless_served) for _ in range(connections)]
        self._batch_max = batch_max
        self._waiting: deque[_Work] = deque()
        self._fed = False

    def connect(self) -> bool:
        """Whether every connection is there; those that are not begin to connect."""
        ready = [lane.connect() for lane in self._lanes]
        return all(ready)

    async def run(self, actor: Actor, statement: HotStatement, values: Sequence[bytes | None]) -> Rows:
        if len(self._waiting) >= WAITING_MAX or not self._connect_some():
            raise Unserved
        loop = asyncio.get_running_loop()
        work = _Work(actor, statement, values, loop.create_future())
        self._waiting.append(work)
        if not self._fed:  # what else comes in this turn of the loop leaves with it
            self._fed = True
            loop.call_soon(self._feed)
        return await work.future

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()

    def _connect_some(self) -> bool:
        """Whether there is any connection; all that are not there begin to connect."""
        self.connect()
        return any(lane.is_connected for lane in self._lanes)

    def _feed(self) -> None:
        """Give what waits to the connections that are free, in equal parts."""
        self._fed = False
        free = [lane for lane in self._lanes if lane.is_free]
        while free and self._waiting:
            count = min(self._batch_max, -(-len(self._waiting) // len(free)))
            free.pop().send([self._waiting.popleft() for _ in range(count)])

    def _drop_unless_served(self) -> None:
        """After a connection was lost: what waits goes on waiting only if there is another."""
        if not self._connect_some():
            while self._waiting:
                self._waiting.popleft().fail(Unserved("no connection"))


class _Lane:
    """One connection in pipeline mode. It is sent more when it has answered everything it was sent."""

    def __init__(self, conninfo: str, on_free: _Hook, on_lost: _Hook) -> None:
        self._conninfo = conninfo
        self._on_free = on_free
        self._on_lost = on_lost
        self._opened: psycopg.AsyncConnection | None = None
        self._connection: pq.abc.PGconn | None = None
        self._descriptor = -1
        self._connecting: asyncio.Task[None] | None = None
        self._works: list[_Work] = []
        self._position = 0
        self._prepared: set[bytes] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def is_free(self) -> bool:
        return self._connection is not None and not self._works

    def connect(self) -> bool:
        """Whether there is a connection; if not, one is on its way."""
        if self._connection is None and self._connecting is None and not self._closed:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        return self._connection is not None

    def send(self, works: list[_Work]) -> None:
        """Send statements, with a sync behind the last."""
        connection = self._connection
        assert connection is not None
        self._works = works
        self._watch = asyncio.get_running_loop().call_later(LOST_SECONDS, self._lose)
        try:
            stated: tuple[UUID, UUID] | None = None
            for work in works:
                place = (work.actor.org_id, work.actor.group_id)
                if place != stated:
                    self._send_one(connection, work, _STATE, tuple(map(uuid_text, place)))
                    stated = place
                self._send_one(connection, work, work.statement, work.values)
            connection.pipeline_sync()
            self._flush()
        except psycopg.Error:
            self._lose()

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        self._lose()

    def _send_one(
        self, connection: pq.abc.PGconn, work: _Work, statement: HotStatement, values: Sequence[bytes | None]
    ) -> None:
        if statement.name not in self._prepared:
            connection.send_prepare(statement.name, statement.sql, statement.types)
            self._prepared.add(statement.name)
            work.preparing.append(statement.name)
            work.results_due += 1
        connection.send_query_prepared(statement.name, values, result_format=1)
        work.results_due += 1

    async def _connect(self) -> None:
        """Until there is a connection; callers use sessions meanwhile."""
        while True:
            try:
                self._opened = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                break
            except psycopg.Error:
                await asyncio.sleep(RECONNECT_SECONDS)
        connection = self._opened.pgconn
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        self._prepared = set()
        self._connection, self._descriptor = connection, connection.socket
        self._connecting = None
        asyncio.get_running_loop().add_reader(self._descriptor, self._receive)
        self._on_free()

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
            while self._works and not connection.is_busy():
                result = connection.get_result()
                if result is not None:
                    idle = False
                    self._take(result)
                elif idle:  # nothing between two results is their end, nothing twice that of all there are
                    break
                else:
                    idle = True
        except psycopg.Error:
            self._lose()
            return
        if connection.status != pq.ConnStatus.OK:
            self._lose()
        elif not self._works:
            self._rest()
            self._on_free()

    def _take(self, result: pq.abc.PGresult) -> None:
        """One result: rows are kept, and given to who waits when the sync says that they are committed."""
        status = result.status
        if status == pq.ExecStatus.PIPELINE_SYNC:
            works, self._works, self._position = self._works, [], 0
            for work in works:
                work.finish()
            return
        work = self._works[self._position]
        work.results_due -= 1
        if work.results_due == 0:
            self._position += 1
        if status == pq.ExecStatus.TUPLES_OK:
            if work.results_due == 0:
                columns = range(result.nfields)
                work.rows = [tuple([result.get_value(row, c) for c in columns]) for row in range(result.ntuples)]
        elif status == pq.ExecStatus.COMMAND_OK:
            work.preparing.pop(0)
        else:
            work.failure = work.failure or result.get_error_message() or "not run"
            self._prepared.difference_update(work.preparing)  # these names stand for nothing

    def _rest(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _lose(self) -> None:
        """Drop the connection; callers are told, and the next one makes a new connection begin."""
        self._rest()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        loop.remove_writer(self._descriptor)
        connection.finish()
        self._opened = None
        lost, self._works, self._position = self._works, [], 0
        for work in lost:
            work.fail(ServiceUnavailable())
        self._on_lost()


@lru_cache(maxsize=10_000)
def uuid_text(value: UUID) -> bytes:
    return str(value).encode()
