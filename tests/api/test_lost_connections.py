"""Connections break and servers fall silent: nothing acknowledged is lost, nobody waits long, it heals by itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ontology.fast_database import FastDatabase, HotStatement, Unserved
from ontology.request_log import STREAM
from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Caller, Program, eventually, running_program

CLIENTS, BREAKS, ANSWERS_BETWEEN = 8, 3, 40
ANSWER_SECONDS_MAX = 10


@pytest.fixture
def superuser_url(parts: Parts, api: Program) -> str:
    return parts.superuser_url(str(conninfo_to_dict(api.settings.database_url)["dbname"]))


@pytest.fixture
def hot(api: Program) -> FastDatabase:
    return api.litestar.state.services.hot


@dataclass
class _Load:
    """Clients that create and read until told to stop, and what they were answered."""

    caller: Caller
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    created: list[str] = field(default_factory=list[str])
    request_ids: list[str] = field(default_factory=list[str])
    refused: list[httpx.Response] = field(default_factory=list[httpx.Response])
    slowest_seconds: float = 0.0

    async def run(self, client: int) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            name = f"{client}-{number}"
            if self._note(await self._time(self.caller.post("/v1/entities", {"type": "course", "name": name}))):
                self.created.append(name)
            self._note(await self._time(self.caller.get("/v1/entities?type=course&limit=10")))

    async def _time(self, call: Awaitable[httpx.Response]) -> httpx.Response:
        began = monotonic()
        answer = await call
        self.slowest_seconds = max(self.slowest_seconds, monotonic() - began)
        return answer

    def _note(self, answer: httpx.Response) -> bool:
        self.request_ids.append(answer.headers["x-request-id"])
        if answer.status_code in (200, 201):
            return True
        self.refused.append(answer)
        return False


@pytest.mark.parametrize("server", ["postgres", "redis"])
async def test_connections_lost_under_load_lose_nothing_acknowledged(
    api: Program, owner: Caller, superuser_url: str, server: str
) -> None:
    async def break_all() -> None:
        if server == "redis":
            await api.redis.client_kill_filter(_type="normal", skipme=True)
            await api.redis.connection_pool.disconnect()
            return
        async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name IN ('one', 'one-hot') AND datname = current_database()"
            )

    load = _Load(owner)
    clients = [asyncio.create_task(load.run(number)) for number in range(CLIENTS)]
    for _ in range(BREAKS):
        await _progress(load, ANSWERS_BETWEEN)
        await break_all()
        await _progress(load, CLIENTS)
    await _progress(load, ANSWERS_BETWEEN)
    load.stop.set()
    await asyncio.gather(*clients)
    for answer in load.refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert load.slowest_seconds < ANSWER_SECONDS_MAX
    stored = Counter(thing["name"] for thing in await owner.all_rows("/v1/entities", type="course", limit=1000))
    assert set(load.created) <= set(stored)
    assert max(stored.values()) == 1
    await drain(api)
    logged = {call["requestId"] for call in await owner.all_rows("/v1/events", type="api_request_made", limit=1000)}
    assert set(load.request_ids) <= logged


async def _progress(load: _Load, answers: int) -> None:
    """Wait for so many more entities, by whichever way."""
    enough = len(load.created) + answers

    async def is_enough() -> bool:
        return len(load.created) >= enough

    await eventually(is_enough, seconds=60)


async def test_a_slow_statement_holds_up_neither_those_beside_it_nor_those_behind_it(
    api: Program, owner: Caller, hot: FastDatabase
) -> None:
    """Far more of them than there are connections; each is ended by the server, and referred to the session."""
    thing = await owner.make_thing()
    slow = HotStatement(b"slow", b"SELECT pg_sleep(60)::text", ())
    await eventually(lambda: _is_ready(hot))
    sleepers = [asyncio.create_task(hot.read(owner.owner, slow, ())) for _ in range(40)]
    await asyncio.sleep(0)  # they are first in the queue
    # Answers that are late are 503 (`api/late_answers.py`).
    answers = await asyncio.gather(*(owner.get(f"/v1/entities/{thing['_id']}") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    ended = await asyncio.gather(*sleepers, return_exceptions=True)
    assert all(isinstance(end, Unserved) for end in ended)
    # Who is sent in one go with a slow one ends with it, and waits for no timeout of its own.
    timed_out = [end for end in ended if "statement timeout" in str(end)]
    assert 0 < len(timed_out) <= len(ended) // 4


async def test_writes_that_share_a_commit_with_one_that_fails_are_done_by_the_session(
    owner: Caller, hot: FastDatabase
) -> None:
    broken = HotStatement(b"broken", b"SELECT (1 / 0)::text", ())
    await eventually(lambda: _is_ready(hot))
    failing = [asyncio.create_task(hot.write(owner.owner, broken, ())) for _ in range(6)]
    names = [f"Botany {number}" for number in range(24)]
    answers = await asyncio.gather(*(owner.post("/v1/entities", {"type": "course", "name": name}) for name in names))
    assert {answer.status_code for answer in answers} == {201}
    ended = await asyncio.gather(*failing, return_exceptions=True)
    assert all(isinstance(end, Unserved) for end in ended)
    assert sorted(thing["name"] for thing in await owner.all_rows("/v1/entities")) == sorted(names)


async def test_writes_of_several_organisations_that_share_a_commit_stay_apart(api: Program) -> None:
    owners = [await api.register() for _ in range(6)]
    answers = await asyncio.gather(
        *(one.post("/v1/entities", {"type": "course", "name": one.org_id.hex}) for _ in range(8) for one in owners)
    )
    assert {answer.status_code for answer in answers} == {201}
    for one in owners:
        assert [row["name"] for row in await one.all_rows("/v1/entities")] == [one.org_id.hex] * 8


async def _is_ready(hot: FastDatabase) -> bool:
    return hot.is_ready


class _SilentProxy:
    """Stands before a database; when told to, it keeps every connection open and passes nothing on."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.speaks = asyncio.Event()
        self.speaks.set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, inner_writer]
        self._tasks += [
            asyncio.create_task(self._pass_on(source, sink))
            for source, sink in ((reader, inner_writer), (inner_reader, writer))
        ]

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self.speaks.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@dataclass(frozen=True)
class _Distant:
    """A program whose database is behind a proxy."""

    program: Program
    proxy: _SilentProxy


@pytest.fixture
async def distant(parts: Parts, tmp_path: Path) -> AsyncIterator[_Distant]:
    with parts.new_database() as database:
        settings = parts.settings(database, tmp_path)
        near = {name: str(value) for name, value in conninfo_to_dict(settings.database_url).items()}
        proxy = _SilentProxy(f"{near['host']}/.s.PGSQL.{near.get('port', '5432')}")
        port = await proxy.start()
        user, password = quote(near["user"]), quote(near.get("password", ""))
        url = f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}"
        try:
            async with running_program(parts.settings(database, tmp_path, DATABASE_URL=url)) as program:
                yield _Distant(program, proxy)
                await program.redis.delete(STREAM)  # no other program's database knows the organisation of these calls
        finally:
            await proxy.stop()


@pytest.mark.timeout(120)
async def test_a_connection_whose_server_is_silent_is_given_up_and_made_anew(distant: _Distant) -> None:
    program, proxy = distant.program, distant.proxy
    owner = await program.register()
    await eventually(lambda: _is_ready(program.litestar.state.services.hot))
    thing = await owner.make_thing()
    body = {"type": "course", "name": "Botany"}
    proxy.speaks.clear()
    began = monotonic()
    reading = asyncio.create_task(owner.get(f"/v1/entities/{thing['_id']}"))
    answers = await asyncio.gather(*(owner.post("/v1/entities", body) for _ in range(4)))
    assert monotonic() - began < ANSWER_SECONDS_MAX
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert (await owner.get("/v1/whoami")).status_code == 200
    proxy.speaks.set()
    assert (await reading).status_code in (200, 503)

    async def is_well() -> bool:
        read, written = await owner.get(f"/v1/entities/{thing['_id']}"), await owner.post("/v1/entities", body)
        return (read.status_code, written.status_code) == (200, 201)

    await eventually(is_well)
    await eventually(lambda: _is_ready(program.litestar.state.services.hot))
