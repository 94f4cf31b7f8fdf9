"""The probes of `test_isolation` find what they are for: each hole below is planted, and has to be found.

A hole in wall one is planted where wall two is gone, since the other wall would hide it, and the reverse; without it
the same probes find nothing. What no wall stops has holes of its own: cursors, idempotency keys, keys that ended.
"""

import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import true
from sqlmodel import select

from api import authentication, operations
from api.authentication import read_bearer
from ontology import applications, keys, pagination
from ontology.actors import Actor
from ontology.connections import Connection
from ontology.credentials import Credential
from ontology.events import Event, LoggedRequest
from ontology.groups import Group
from ontology.idempotency import find_answer
from ontology.ids import decode_id
from ontology.invitations import Invitation
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import TenantRow
from ontology.search_log import LoggedSearch
from ontology.thing_rows import Thing
from ontology.usage import UsageDay
from tests.contracts.isolation_findings import Aim, Findings
from tests.contracts.isolation_ground import Ground, Original
from tests.contracts.isolation_requests import paged, repeatable
from tests.program import Program

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
    "searches": (_drop_reach(LoggedSearch), {"listSearches", "listSearchTerms"}),
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
    "search_log": (LoggedSearch, {"listSearches", "listSearchTerms"}),
}


STRANGERS = {"foreign branch", "sibling"}


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("resource", WALL_ONE)
async def test_a_rule_that_forgets_wall_one_is_found(ground: Ground, patch: pytest.MonkeyPatch, resource: str) -> None:
    plant, operations = WALL_ONE[resource]
    assert await _told(ground, ground.wall_one_only, operations) == set()
    plant(patch)
    assert await _told(ground, ground.wall_one_only, operations) == operations


async def _told(ground: Ground, program: Program, operations: set[str]) -> set[str]:
    """Which of these operations tell an attacker anything of strangers."""
    findings = await ground.attack(program, "admin", Aim(operations, STRANGERS))
    assert {place.partition(" ")[0] for place in findings.told} >= operations
    return findings.operations


@pytest.mark.parametrize("table", WALL_TWO)
async def test_a_table_without_wall_two_is_found(ground: Ground, patch: pytest.MonkeyPatch, table: str) -> None:
    """With wall one forgotten in the rules of that table, so that nothing else hides it."""
    model, operations = WALL_TWO[table]
    _drop_reach(model)(patch)
    assert await _told(ground, ground.whole, operations) == set()
    with ExitStack() as stack:
        _alter(ground, table, sql.SQL("DISABLE ROW LEVEL SECURITY"))
        stack.callback(_alter, ground, table, sql.SQL("ENABLE ROW LEVEL SECURITY"))
        assert await _told(ground, ground.whole, operations) == operations


def _alter(ground: Ground, table: str, what: sql.SQL) -> None:
    with psycopg.connect(ground.world.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), what))


async def test_usage_counted_over_a_wall_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    """Counts name nobody, but those by key name keys: wall one forgotten where wall two is gone, and the reverse."""
    assert await _told_by_usage(ground, ground.wall_one_only) == set()
    _drop_reach(UsageDay)(patch)
    assert await _told_by_usage(ground, ground.wall_one_only) >= STRANGERS
    assert await _told_by_usage(ground, ground.whole) == set()
    with ExitStack() as stack:
        _alter(ground, "usage_days", sql.SQL("DISABLE ROW LEVEL SECURITY"))
        stack.callback(_alter, ground, "usage_days", sql.SQL("ENABLE ROW LEVEL SECURITY"))
        assert await _told_by_usage(ground, ground.whole) >= STRANGERS


async def _told_by_usage(ground: Ground, program: Program) -> set[str]:
    """The victims whose keys the attacker is told of."""
    attacker = ground.world.attacker("admin", program.client)
    answer = await attacker.caller.get("/v1/usage", params={"by": "key"})
    assert answer.status_code == 200, answer.text
    return {victim.relation for victim in attacker.victims if any(id in answer.text for id in victim.ids["thing"])}


async def test_a_cursor_accepted_unsigned_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    """By every list that goes on from one, and from whomever it was taken."""
    lists = {attempt.operation for attempt in paged()}
    before = await ground.attack(ground.whole, "admin", Aim(lists, where={"cursor"}))
    assert before.leaks == []
    patch.setattr(pagination, "hmac", SimpleNamespace(digest=hmac.digest, compare_digest=lambda *_: True))
    after = await ground.attack(ground.whole, "admin", Aim(lists, where={"cursor"}))
    assert {place for place in after.told if after.told[place]} == {f"{name} cursor" for name in lists}
    assert {relation for where, relation in +after.found if where == "cursor"} == _relations(ground, "admin")


async def test_an_idempotency_key_shared_with_others_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    """By every operation that takes one and keeps its answer, and whoever used it before."""
    program = ground.wall_one_only
    # The one is not repeated here; what the other is answered is made anew each time.
    repeated = {attempt.operation for attempt in repeatable()} - {"reportLeak", "askKnowledge"}
    assert await _replayed(ground, program, repeated) == (set(), set())
    others = list(ground.world.belongings.values())

    async def find_anybodys(session: Any, actor: Actor, *arguments: Any, **more: Any) -> Any:
        for other in others:
            theirs = replace(actor, org_id=other.key.org_id, key_id=decode_id(other.key.key_id)[1])
            if found := await find_answer(session, theirs, *arguments, **more):
                return found
        return await find_answer(session, actor, *arguments, **more)

    patch.setattr(operations, "find_answer", find_anybodys)
    assert await _replayed(ground, program, repeated) == (repeated, _relations(ground, "admin"))


async def _replayed(ground: Ground, program: Program, repeated: set[str]) -> tuple[set[str], set[str]]:
    """The operations that gave away an answer kept for somebody else, and whose."""
    findings = await ground.attack(program, "admin", Aim(repeated, where={"idempotency key"}))
    told = {name for name in repeated if findings.told[f"{name} idempotency key"]}
    return told, {relation for where, relation in +findings.found if where == "idempotency key"}


def _relations(ground: Ground, attacker: str) -> set[str]:
    return {victim.relation for victim in ground.attacker(attacker).victims}


# Any read will do.
READS = {"getEntity", "listEntities", "listEvents"}


# The group that each key shows when its end is forgotten: it lay within its reach.
@pytest.mark.parametrize(("attacker", "victim"), [("expired", "sibling"), ("revoked", "sibling"), ("archived",) * 2])
async def test_a_key_that_lives_on_after_its_end_is_found(
    ground: Ground, patch: pytest.MonkeyPatch, attacker: str, victim: str
) -> None:
    aim = Aim(READS, {victim})
    assert (await ground.attack(ground.whole, attacker, aim)).leaks == []

    def admit_all(self: Credential, _: Any, request_id: str, __: Any) -> Actor:
        return self.actor.for_request(request_id)

    patch.setattr(Credential, "admit", admit_all)
    assert _showing(await ground.attack(ground.whole, attacker, aim)) == READS


def _showing(findings: Findings) -> set[str]:
    """The operations whose answers show a victim's canary."""
    return {place.partition(" ")[0] for place, told in findings.told.items() if any("canary" in each for each in told)}


async def test_a_door_that_takes_nobody_for_somebody_is_found(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    aim = Aim(READS, {"sibling"})
    assert (await ground.attack(ground.whole, "anonymous", aim)).leaks == []
    somebody = f"Bearer {ground.world.root_key.key}"
    patch.setattr(authentication, "read_bearer", lambda header: read_bearer(header or somebody))
    assert _showing(await ground.attack(ground.whole, "anonymous", aim)) == READS


async def test_a_scope_that_nobody_asks_for_is_found(original: Original, patch: pytest.MonkeyPatch) -> None:
    """A key that may only read changes what is below it; on a world of its own, since it is changed."""
    aim = Aim({"updateEntity", "deleteConnection", "archiveGroup"}, {"child"})
    async with original.copy() as ground:
        assert (await ground.attack(ground.whole, "read-only", aim)).leaks == []
        patch.setattr(Actor, "require", lambda *_: None)
        found = await ground.attack(ground.whole, "read-only", aim)
    assert found.operations >= set(aim.operations)
    changed = " ".join(found.told["the database"])
    assert all(f"in {table} " in changed for table in ("things", "connections", "groups"))
