"""Nobody sees, names, counts or changes what is beyond reach: every operation × every id × every kind of stranger.

Each probe compares the answer for a victim's id with the answer for an id that never existed; they must be equal.
The suite is run with both walls, with either of them alone, and with none, where every probe has to find something:
a probe that stays silent there proves nothing anywhere.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from sqlalchemy import true
from sqlmodel import select

from ontology.knowledge_items import KnowledgeItem
from ontology.records import TenantRow
from portal import app
from tests.contracts.isolation_probes import attempts, fill, find_leaks, lists, own_ids, slots
from tests.contracts.isolation_world import LeakyIndex, World, build_world
from tests.parts import Parts
from tests.program import Program, eventually, running_program

# They show rows of nobody: the caller's own names, counts, the vocabulary, and what has not happened yet. The list of
# documents leaves out what is not the organisation's in a condition of its own, since the platform's are visible to
# everybody.
_NO_ROWS = {"whoami {}", "getQuota {}", "getOntology {}", "aggregateEvents {}", "listTypes {}", "getUsage {}"}
_NO_ROWS |= {"getFeatures {}", "tailEvents {'seconds': '0'}"}
SILENT = {"mine": _NO_ROWS, "root": _NO_ROWS | {"listDocuments {'limit': '1000'}"}}


# Its ids lie within items; tests/api/test_entity_batches.py attacks them.
NESTED = {"changeEntities"}


class Walls:
    """Which of the two walls stand."""

    def __init__(self, parts: Parts, database: str, patch: pytest.MonkeyPatch) -> None:
        self._parts = parts
        self._database = database
        self._patch = patch
        self.settings = parts.settings(database, parts.postgres.data_dir)
        patch.setattr(app, "KnowledgeClient", lambda _: LeakyIndex(self.superuser_url))

    @property
    def superuser_url(self) -> str:
        return self._parts.superuser_url(self._database)

    def remove_reach(self) -> None:
        """Wall one: what every query begins with."""
        self._patch.setattr(TenantRow, "reach", classmethod(lambda cls, actor: true()))
        self._patch.setattr(KnowledgeItem, "visible_to", classmethod(lambda cls, actor: select(cls)))

    def remove_row_level_security(self) -> None:
        """Wall two: a superuser is not bound by it."""
        self.settings = replace(self.settings, database_url=self.superuser_url)


@pytest.fixture
def walls(parts: Parts) -> Iterator[Walls]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        yield Walls(parts, stack.enter_context(parts.new_database()), patch)


@pytest.fixture
async def program(walls: Walls) -> AsyncIterator[Program]:
    async with running_program(walls.settings) as program:
        yield program


@pytest.fixture
async def world(program: Program, walls: Walls) -> World:
    return await build_world(program, walls.superuser_url)


ATTACKERS = ("mine", "root")


async def _attack(walls: Walls, attacker: str) -> dict[str, list[str]]:
    """Build the world, let one key try everything; what was found, by the place that told it."""
    async with running_program(walls.settings) as program:
        world = await build_world(program, walls.superuser_url)
        await eventually(lambda: _takes_the_short_way(program))
        before = world.snapshot()
        found = await find_leaks(world, world.key_of(attacker), world.victims_of(attacker))
        after = world.snapshot()
        changed = [table for table, rows in before.items() if rows != after[table]]
        return found | {"the database": [f"rows of a victim in {table} have changed" for table in changed]}


async def _takes_the_short_way(program: Program) -> bool:
    """Attack `ontology.hot_things` where it serves; the rest is attacked as the long way."""
    return program.litestar.state.services.hot.is_ready


def _leaks(found: dict[str, list[str]]) -> list[str]:
    return [f"{place}: {told}" for place, all_told in found.items() for told in all_told]


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_what_is_beyond_reach_looks_like_what_never_existed(walls: Walls, attacker: str) -> None:
    assert _leaks(await _attack(walls, attacker)) == []


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_wall_one_holds_alone(walls: Walls, attacker: str) -> None:
    walls.remove_row_level_security()
    assert _leaks(await _attack(walls, attacker)) == []


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_wall_two_holds_alone(walls: Walls, attacker: str) -> None:
    walls.remove_reach()
    assert _leaks(await _attack(walls, attacker)) == []


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_every_probe_finds_something_when_both_walls_are_gone(walls: Walls, attacker: str) -> None:
    """The same as taking away the wall that the two tests above leave standing: each of them fails without it."""
    walls.remove_reach()
    walls.remove_row_level_security()
    found = await _attack(walls, attacker)
    assert {place for place, told in found.items() if not told} == SILENT[attacker]


async def test_every_probe_succeeds_on_what_is_the_attackers_own(world: World) -> None:
    """So that a refusal is the id's doing and not that of a request which never works."""
    for caller in map(world.key_of, ATTACKERS):
        for slot in slots():
            ids = await own_ids(caller, world.mine.group_id, slot.operation)
            answer = await fill(attempts()[slot.operation], ids, slot).with_id(slot, ids[slot.name]).send(caller)
            assert answer.is_success, f"{slot}: {answer.text}"
    probed = {attempt.operation for attempt in lists()} | {slot.operation for slot in slots()}
    # Neither is given an id: the first has the text of a key (tests/api/test_key_leaks.py attacks it with strangers'),
    # the second the names of feature sets (tests/api/test_feature_sets.py).
    assert probed | NESTED | {"reportLeak", "updateFeatures"} == set(attempts())
