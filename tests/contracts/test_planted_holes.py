"""The probes of `test_isolation` find what they are for: each hole below is planted, and has to be found.

A hole in wall one is planted where wall two is gone, since the other wall would hide it, and the reverse; without it
the same probes find nothing. Victims that were neighbours once, by a move or by being archived, are attacked here too.
"""

import base64
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import true
from sqlmodel import select

from api import operations
from ontology import applications, keys, pagination
from ontology.actors import Actor
from ontology.connections import Connection
from ontology.events import Event, LoggedRequest
from ontology.groups import Group
from ontology.idempotency import find_answer
from ontology.ids import decode_id
from ontology.invitations import Invitation
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import TenantRow
from ontology.things import Thing
from ontology.usage import UsageDay
from portal import app
from tests.contracts.isolation_probes import find_leaks
from tests.contracts.isolation_probes import operations as documented_operations
from tests.contracts.isolation_world import Belongings, LeakyIndex, World, add_lost_victims, build_world
from tests.parts import Parts
from tests.program import Caller, Program, eventually, running_program

pytestmark = pytest.mark.timeout(600)

Plant = Callable[[pytest.MonkeyPatch], None]


def _drop_reach(model: type[TenantRow]) -> Plant:
    """Every query of these rows forgets wall one."""
    if model is KnowledgeItem:
        return lambda patch: patch.setattr(model, "visible_to", classmethod(lambda cls, actor: select(cls)))
    return lambda patch: patch.setattr(model, "reach", classmethod(lambda cls, actor: true()))


def _forget_it_in(module: Any) -> Plant:
    """The rules of one module forget wall one where they read things; all others keep it."""

    class Unwalled:
        def __getattr__(self, name: str) -> Any:
            return getattr(Thing, name)

        def __call__(self, **fields: Any) -> Thing:
            return Thing(**fields)

        def visible_to(self, actor: Actor) -> Any:
            return select(Thing)

    return lambda patch: patch.setattr(module, "Thing", Unwalled())


# What is forgotten, and the operations that have to show it.
WALL_ONE: dict[str, tuple[Plant, set[str]]] = {
    "things": (_drop_reach(Thing), {"getEntity", "listEntities"}),
    "connections": (_drop_reach(Connection), {"getConnection", "listConnections"}),
    "events": (_drop_reach(Event), {"listEvents", "exportEvents"}),
    "request log": (_drop_reach(LoggedRequest), {"listEvents", "exportEvents"}),
    "groups": (_drop_reach(Group), {"getGroup", "listGroups"}),
    "people": (_drop_reach(Person), {"getPerson", "listPeople"}),
    "invitations": (_drop_reach(Invitation), {"listInvitations"}),
    "knowledge items": (_drop_reach(KnowledgeItem), {"getDocument", "listDocuments", "searchKnowledge"}),
    "API keys": (_forget_it_in(keys), {"getApiKey", "listApiKeys"}),
    "applications": (_forget_it_in(applications), {"getApplication", "listApplications"}),
}

# A table whose row-level security is off, the model whose rules forget wall one, and who has to show it.
WALL_TWO: dict[str, tuple[type[TenantRow], set[str]]] = {
    "things": (Thing, {"getEntity", "listEntities"}),
    "connections": (Connection, {"getConnection", "listConnections"}),
    "events": (Event, {"listEvents", "exportEvents"}),
    "request_log": (LoggedRequest, {"listEvents", "exportEvents"}),
    "groups": (Group, {"getGroup", "listGroups"}),
    "people": (Person, {"getPerson", "listPeople"}),
    "invitations": (Invitation, {"listInvitations"}),
    "knowledge_items": (KnowledgeItem, {"getDocument", "listDocuments", "searchKnowledge"}),
}


@dataclass(frozen=True)
class Ground:
    """One world behind two doors: the program as it is, and one on which only wall one stands."""

    world: World
    lost: list[Belongings]
    whole: Program
    wall_one_only: Program
    superuser_url: str

    def attacker(self, program: Program) -> Caller:
        return replace(self.world.mine_key, client=program.client)

    async def attack(
        self, program: Program, operations: set[str], victims: list[Belongings] | None = None
    ) -> dict[str, list[str]]:
        """What these operations tell, by name of the operation."""
        world = replace(self.world, root_key=replace(self.world.root_key, client=program.client))
        some = victims or [each for each in self.world.victims if each.relation in ("foreign branch", "sibling")]
        found = await find_leaks(world, self.attacker(program), some, operations)
        told: dict[str, list[str]] = {}
        for place, leaks in found.items():
            told.setdefault(place.partition(" ")[0], []).extend(leaks)
        assert told.keys() >= operations
        return {operation: leaks for operation, leaks in told.items() if leaks}


@pytest.fixture(scope="module")
async def ground(parts: Parts, module_database: str) -> AsyncIterator[Ground]:
    superuser_url = parts.superuser_url(module_database)
    settings = parts.settings(module_database, parts.postgres.data_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "KnowledgeClient", lambda _: LeakyIndex(superuser_url))
        async with (
            running_program(settings) as whole,
            running_program(replace(settings, database_url=superuser_url)) as wall_one_only,
        ):
            world = await build_world(whole, superuser_url)
            lost = await add_lost_victims(whole, world)
            for program in (whole, wall_one_only):
                await eventually(lambda program=program: _takes_the_short_way(program))
            yield Ground(world, lost, whole, wall_one_only, superuser_url)


async def _takes_the_short_way(program: Program) -> bool:
    return program.litestar.state.services.hot.is_ready


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("resource", WALL_ONE)
async def test_a_rule_that_forgets_wall_one_is_found(ground: Ground, patch: pytest.MonkeyPatch, resource: str) -> None:
    plant, operations = WALL_ONE[resource]
    assert await ground.attack(ground.wall_one_only, operations) == {}
    plant(patch)
    assert (await ground.attack(ground.wall_one_only, operations)).keys() == operations


@pytest.mark.parametrize("table", WALL_TWO)
async def test_a_table_without_wall_two_is_found(ground: Ground, patch: pytest.MonkeyPatch, table: str) -> None:
    """With wall one forgotten in the rules of that table, so that nothing else hides it."""
    model, operations = WALL_TWO[table]
    _drop_reach(model)(patch)
    assert await ground.attack(ground.whole, operations) == {}
    with ExitStack() as stack:
        _alter(ground, table, sql.SQL("DISABLE ROW LEVEL SECURITY"))
        stack.callback(_alter, ground, table, sql.SQL("ENABLE ROW LEVEL SECURITY"))
        assert (await ground.attack(ground.whole, operations)).keys() == operations


def _alter(ground: Ground, table: str, what: sql.SQL) -> None:
    with psycopg.connect(ground.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), what))


async def test_usage_counted_over_a_wall_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    """Counts name nobody, but those by key name keys: wall one forgotten where wall two is gone, and the reverse."""
    assert await _told_by_usage(ground, ground.wall_one_only) == set()
    _drop_reach(UsageDay)(patch)
    strangers = {"foreign branch", "sibling"}
    assert await _told_by_usage(ground, ground.wall_one_only) >= strangers
    assert await _told_by_usage(ground, ground.whole) == set()
    with ExitStack() as stack:
        _alter(ground, "usage_days", sql.SQL("DISABLE ROW LEVEL SECURITY"))
        stack.callback(_alter, ground, "usage_days", sql.SQL("ENABLE ROW LEVEL SECURITY"))
        assert await _told_by_usage(ground, ground.whole) >= strangers


async def _told_by_usage(ground: Ground, program: Program) -> set[str]:
    """The victims whose keys the attacker is told of."""
    answer = await ground.attacker(program).get("/v1/usage", params={"by": "key"})
    assert answer.status_code == 200, answer.text
    return {victim.relation for victim in ground.world.victims if any(id in answer.text for id in victim.ids["thing"])}


async def test_a_cursor_accepted_unsigned_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    """A stranger's cursor is refused as one that never existed is, by every list."""
    cursors = {path: await _cursor_of(ground.world.stranger_key, path) for path in _lists_with_cursor()}
    attacker = ground.attacker(ground.whole)
    assert {path for path, cursor in cursors.items() if cursor} >= {"/v1/entities", "/v1/events", "/v1/groups"}
    assert await _accepted(attacker, cursors) == set()
    unsigned = SimpleNamespace(digest=hmac.digest, compare_digest=lambda *_: True)
    patch.setattr(pagination, "hmac", unsigned)
    assert await _accepted(attacker, cursors) == {path for path, cursor in cursors.items() if cursor}


def _lists_with_cursor() -> list[str]:
    return [
        path
        for method, path, about in documented_operations()
        if method == "GET" and "{" not in path and "cursor" in {each["name"] for each in about.get("parameters", [])}
    ]


async def _cursor_of(caller: Caller, path: str) -> str | None:
    page = await caller.get(path, params={"limit": "1"})
    assert page.status_code == 200, page.text
    return page.json()["pagination"]["nextCursor"]


async def _accepted(attacker: Caller, cursors: dict[str, str | None]) -> set[str]:
    """The lists that answer a stranger's cursor otherwise than with the refusal of one that nobody was ever given."""
    found: set[str] = set()
    for path, cursor in cursors.items():
        if cursor is not None:
            made_up = base64.urlsafe_b64encode(secrets.token_bytes(28)).decode().rstrip("=")
            refusals = [await _ask_after(attacker, path, each) for each in (cursor, made_up)]
            if refusals[0] != refusals[1] or refusals[0][:2] != (400, "invalid_cursor"):
                found.add(path)
    return found


async def _ask_after(attacker: Caller, path: str, cursor: str) -> tuple[int, Any, Any]:
    answer = await attacker.get(path, params={"limit": "1", "cursor": cursor})
    return answer.status_code, answer.json().get("code"), answer.json().get("errors")


async def test_an_idempotency_key_shared_between_organisations_is_found(
    ground: Ground, patch: pytest.MonkeyPatch
) -> None:
    """A key that a stranger, or another key of one's own organisation, has used is as good as new."""
    program, stranger = ground.wall_one_only, ground.world.stranger_key
    others = [stranger, ground.world.root_key]
    assert [await _is_shared(ground.attacker(program), other) for other in others] == [False, False]

    async def find_strangers(session: Any, actor: Actor, *arguments: Any, **more: Any) -> Any:
        key_id = decode_id(stranger.key_id)[1]
        return await find_answer(session, replace(actor, org_id=stranger.org_id, key_id=key_id), *arguments, **more)

    patch.setattr(operations, "find_answer", find_strangers)
    assert await _is_shared(ground.attacker(program), stranger)


async def _is_shared(attacker: Caller, victim: Caller) -> bool:
    """Whether the attacker is given the victim's answer for sending the same words under the same key."""
    body, headers = {"type": "course", "name": "Botany"}, {"Idempotency-Key": uuid4().hex}
    first = await victim.post("/v1/entities", body, headers=headers)
    again = await attacker.post("/v1/entities", body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201), again.text
    return "idempotent-replayed" in again.headers or first.json()["_id"] == again.json()["_id"]


READS = {
    *("getEntity", "listEntities", "listNeighbours", "traverseConnections", "getConnection", "listConnections"),
    *("getGroup", "listGroups", "listGroupChildren", "getGroupPath", "getPerson", "listPeople", "listInvitations"),
    *("listEvents", "getDocument", "listDocuments", "searchKnowledge", "getApiKey", "listApiKeys", "getApplication"),
}


async def test_who_was_a_neighbour_once_is_a_stranger_now(ground: Ground) -> None:
    """A group that was moved away from below the attacker's, and one that was archived: every read, behind both walls
    and behind wall one alone."""
    assert {victim.relation for victim in ground.lost} == {"moved", "archived"}
    for program in (ground.whole, ground.wall_one_only):
        assert await ground.attack(program, READS, ground.lost) == {}


async def test_who_was_a_neighbour_once_is_a_stranger_behind_wall_two(
    ground: Ground, patch: pytest.MonkeyPatch
) -> None:
    patch.setattr(TenantRow, "reach", classmethod(lambda cls, actor: true()))
    patch.setattr(KnowledgeItem, "visible_to", classmethod(lambda cls, actor: select(cls)))
    assert await ground.attack(ground.whole, READS, ground.lost) == {}
    found = await ground.attack(ground.wall_one_only, READS, ground.lost)
    assert found.keys() == READS, "without walls every read has to tell something"
