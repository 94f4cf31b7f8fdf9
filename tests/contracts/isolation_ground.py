"""One world behind two doors: the program as it is, and one on which wall two does not stand.

The world is written once for all tests; each ground is a copy of its database, so what one test changes no other sees.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import httpx
import psycopg
import pytest

from knowledge.answerability import Likeness, list_examples
from knowledge.protocol import RankedDocument, SearchRequest
from ontology.settings import Settings
from portal import app
from tests.contracts.isolation_building import build_world
from tests.contracts.isolation_findings import EVERYTHING, Aim, Findings
from tests.contracts.isolation_probes import Own, attack
from tests.contracts.isolation_world import Attacker, World
from tests.parts import Parts
from tests.program import Program, eventually, running_program

# As many as keep one processor busy with the program and another with the database.
_AT_ONCE = 8


@dataclass(frozen=True)
class Ground:
    """The world, the program, and the same on a connection that row-level security does not bind."""

    world: World
    whole: Program
    wall_one_only: Program
    own: Own = field(default_factory=Own)

    def attacker(self, name: str) -> Attacker:
        """At the door of the program as it is."""
        return self.world.attacker(name, self.whole.client)

    async def attack(self, program: Program, attacker: str, aim: Aim = EVERYTHING) -> Findings:
        """Have one attacker try everything, or what is aimed at, at one of the doors."""
        return await attack(self.world, self.world.attacker(attacker, program.client), self.own, aim)


@dataclass(frozen=True)
class Original:
    """The world as it was written, in a database that nobody has open."""

    parts: Parts
    database: str
    world: World

    @asynccontextmanager
    async def copy(self) -> AsyncGenerator[Ground]:
        """A ground of one's own, with both doors open, for the length of the block."""
        with self.parts.new_database(self.database) as name:
            url = self.parts.superuser_url(name)
            settings = self.parts.settings(name, self.parts.postgres.data_dir)
            async with (
                _answering(settings, url) as whole,
                _answering(replace(settings, database_url=url), url) as wall_one_only,
            ):
                whole, wall_one_only = _behind_door(whole), _behind_door(wall_one_only)
                for program in (whole, wall_one_only):
                    await eventually(lambda program=program: _takes_the_short_way(program))
                yield Ground(self.world.behind(whole.client, url), whole, wall_one_only)


@asynccontextmanager
async def written_world(parts: Parts) -> AsyncGenerator[Original]:
    """Write the world, for the length of the block."""
    with parts.new_database() as name:
        url = parts.superuser_url(name)
        async with _answering(parts.settings(name, parts.postgres.data_dir), url) as program:
            world = await build_world(_behind_door(program), url)
        with parts.closed_database(name):
            yield Original(parts, name, world)


@asynccontextmanager
async def _answering(settings: Settings, superuser_url: str) -> AsyncGenerator[Program]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "KnowledgeClient", lambda _: LeakyIndex(superuser_url))
        async with running_program(settings) as program:
            patch.undo()
            logging.getLogger("httpx").setLevel(logging.WARNING)
            yield program


async def _takes_the_short_way(program: Program) -> bool:
    """Attack `ontology.hot_things` where it serves; the rest is attacked as the long way."""
    return program.litestar.state.services.hot.is_ready


def _behind_door(program: Program) -> Program:
    client = httpx.AsyncClient(transport=Door(program), base_url=program.client.base_url, timeout=None)
    return replace(program, client=client)


class Door(httpx.AsyncBaseTransport):
    """Lets in a few requests at a time, each from an address of its own: whose keys are wrong is slowed by address."""

    def __init__(self, program: Program) -> None:
        self._app = program.app
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._number = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._number += 1
        address = f"10.{self._number >> 16 & 255}.{self._number >> 8 & 255}.{self._number & 255}"
        async with self._turns:
            return await httpx.ASGITransport(self._app, client=(address, 40_000)).handle_async_request(request)


class LeakyIndex:
    """A search index that forgot every filter: it names each document there is, and the database has to refuse."""

    def __init__(self, superuser_url: str) -> None:
        self._superuser_url = superuser_url

    async def search(self, request: SearchRequest) -> list[RankedDocument]:
        return await asyncio.to_thread(self._name_all)

    async def weigh(self, request: SearchRequest) -> Likeness:
        """Everything is answered, from whatever is named."""
        return Likeness((1.0,), dict.fromkeys(list_examples(), (0.0,)))

    async def compare(self, question: str, texts: Sequence[str], owner: UUID) -> list[float]:
        return [1.0] * len(texts)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def _name_all(self) -> list[RankedDocument]:
        query = "SELECT document_id, id FROM knowledge_items WHERE knowledge_type = 'chunk'"
        with psycopg.connect(self._superuser_url) as connection:
            return [RankedDocument(document, passage, 0.5) for document, passage in connection.execute(query)]
