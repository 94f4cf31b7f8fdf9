"""One world behind two doors: the program as it is, and one on which wall two does not stand."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
import pytest

from knowledge.answerability import Likeness, list_examples
from knowledge.protocol import RankedDocument, SearchRequest
from portal import app
from tests.contracts.isolation_building import build_world
from tests.contracts.isolation_probes import Findings, attack
from tests.contracts.isolation_world import World
from tests.parts import Parts
from tests.program import Program, eventually, running_program


@dataclass(frozen=True)
class Ground:
    """The world, the program, and the same on a connection that row-level security does not bind."""

    world: World
    whole: Program
    wall_one_only: Program
    superuser_url: str

    async def attack(
        self, program: Program, attacker: str, operations: Collection[str] = (), relations: Collection[str] = ()
    ) -> Findings:
        """Have one attacker try everything, or some operations on some victims, at one of the doors."""
        return await attack(self.world, self.world.attacker(attacker, program.client), operations, relations)


@asynccontextmanager
async def built_ground(parts: Parts, database: str) -> AsyncGenerator[Ground]:
    """Both doors open and the world built, for the length of the block."""
    superuser_url = parts.superuser_url(database)
    settings = parts.settings(database, parts.postgres.data_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "KnowledgeClient", lambda _: LeakyIndex(superuser_url))
        async with (
            running_program(settings) as whole,
            running_program(replace(settings, database_url=superuser_url)) as wall_one_only,
        ):
            world = await build_world(whole, superuser_url)
            for program in (whole, wall_one_only):
                await eventually(lambda program=program: _takes_the_short_way(program))
            yield Ground(world, whole, wall_one_only, superuser_url)


async def _takes_the_short_way(program: Program) -> bool:
    """Attack `ontology.hot_things` where it serves; the rest is attacked as the long way."""
    return program.litestar.state.services.hot.is_ready


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
