"""Patterns are counted once and by session, and shared only when enough organisations show them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import col

from api.routes import openapi_document
from knowledge.ingestion import ingest_platform
from knowledge.learnt_patterns import store_learnt_patterns
from ontology import usage_patterns
from ontology.actors import PLATFORM_ORG_ID, anonymous_actor
from ontology.database import open_transaction, run_sql
from ontology.ids import decode_id
from ontology.knowledge_items import KnowledgeItem
from ontology.records import utc_now
from ontology.settings import Settings
from ontology.usage_patterns import KEPT_DAYS, ORGANISATIONS_MIN, Follower, count_followers
from tests.logged_calls import learn, log_session
from tests.parts import Parts
from tests.program import Caller, Program, running_program
from worker.patterns import learn_patterns, share_learnt

A, B, C, D = "POST /v1/entities", "POST /v1/connections", "GET /v1/entities/{entityId}", "GET /v1/events"


@pytest.fixture
async def program(settings: Settings) -> AsyncIterator[Program]:
    async with running_program(settings) as program:
        yield program


async def _followers(program: Program, caller: Caller, *recent: str) -> dict[tuple[str, ...], dict[str, int]]:
    """What is counted for a caller, by what it came after; of its own and of others in one."""
    async with open_transaction(program.engine, caller.owner) as session:
        found = await count_followers(session, caller.owner, recent)
    return _by_context(found)


def _by_context(found: list[Follower]) -> dict[tuple[str, ...], dict[str, int]]:
    counted: dict[tuple[str, ...], dict[str, int]] = {}
    for follower in found:
        counted.setdefault(follower.after, {})[follower.operation] = follower.times
    return counted


def _patterns(parts: Parts, settings: Settings) -> list[tuple[Any, ...]]:
    """Every pattern there is, as somebody sees it whom no wall stops."""
    name = settings.database_url.rsplit("/", 1)[1].partition("?")[0]
    query = "SELECT org_id, group_id, after, operation, times FROM usage_patterns ORDER BY 1, 2, 3, 4"
    with psycopg.connect(parts.superuser_url(name)) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_what_came_next_is_counted_for_every_length_of_what_came_before(program: Program) -> None:
    caller = await program.register()
    await log_session(program, caller, A, A, B, C, A)
    await learn(program)
    counted = await _followers(program, caller, A, B, C)
    assert counted == {(): {A: 2, B: 1, C: 1}, (C,): {A: 1}, (B, C): {A: 1}, (A, B, C): {A: 1}}


async def test_a_session_ends_after_a_gap_and_refused_calls_are_no_part_of_it(program: Program) -> None:
    caller, start = await program.register(), utc_now() - timedelta(hours=3)
    await log_session(program, caller, A, at=start)
    await log_session(program, caller, B, at=start + timedelta(minutes=29))
    await log_session(program, caller, D, at=start + timedelta(minutes=31), status=404)
    await log_session(program, caller, C, at=start + timedelta(minutes=60))
    await log_session(program, caller, D, at=start + timedelta(minutes=91))
    await learn(program)
    assert await _followers(program, caller, A) == {(): dict.fromkeys((A, B, C, D), 1), (A,): {B: 1}}
    assert (await _followers(program, caller, B))[(B,)] == {C: 1}
    assert (C,) not in await _followers(program, caller, C)


async def test_batches_and_repetition_change_nothing(
    program: Program, parts: Parts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, other = await program.register(), await program.register()
    await log_session(program, caller, A, B, A, C)
    await log_session(program, other, C, B)
    monkeypatch.setattr(usage_patterns, "CALLS_PER_BATCH", 1)
    await learn(program)
    one_by_one = _patterns(parts, settings)
    await learn(program)
    assert _patterns(parts, settings) == one_by_one
    async with program.engine.begin() as connection:
        await connection.execute(text("SELECT set_config('app.duty', 'patterns', true)"))
        await connection.execute(text("DELETE FROM usage_patterns"))
        await connection.execute(text("DELETE FROM usage_sessions"))
    monkeypatch.setattr(usage_patterns, "CALLS_PER_BATCH", 5_000)
    await learn(program)
    assert _patterns(parts, settings) == one_by_one


async def test_the_worker_leaves_calls_alone_that_others_may_still_precede(program: Program) -> None:
    caller = await program.register()
    await log_session(program, caller, A, at=utc_now())
    assert await learn_patterns(program.engine) == 0
    assert await _followers(program, caller) == {}
    await log_session(program, caller, B)
    assert await learn_patterns(program.engine) == 1
    assert await share_learnt(program.engine) == 0
    assert await _followers(program, caller) == {(): {B: 1}}


async def test_groups_count_for_themselves_and_for_those_above(program: Program) -> None:
    root = await program.register()
    north = (await root.make("/v1/groups", name="North"))["_id"]
    south = (await root.make("/v1/groups", name="South"))["_id"]
    northern, southern = await program.issue(root, group_id=north), await program.issue(root, group_id=south)
    await log_session(program, northern, A, B)
    await log_session(program, southern, A, C)
    await learn(program)
    assert (await _followers(program, root, A))[(A,)] == {B: 1, C: 1}
    actor = root.owner
    for group, expected in ((north, {B: 1}), (south, {C: 1})):
        within = type(actor)(actor.id, actor.org_id, decode_id(group)[1], actor.scopes)
        async with open_transaction(program.engine, within) as session:
            assert _by_context(await count_followers(session, within, (A,)))[(A,)] == expected


async def test_fewer_than_five_organisations_share_nothing(program: Program, parts: Parts, settings: Settings) -> None:
    many = [await program.register() for _ in range(ORGANISATIONS_MIN)]
    outsider = await program.register()
    for caller in many[1:]:
        for _ in range(3):
            await log_session(program, caller, A, B)
    # Another key and another group of the same organisation are no further organisation.
    await log_session(program, await program.issue(many[1]), A, B)
    await learn(program)
    assert await _followers(program, outsider, A) == {}
    await log_session(program, many[0], A, B, C, path="/v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c")
    await learn(program)
    expected = {(): {A: ORGANISATIONS_MIN, B: ORGANISATIONS_MIN}, (A,): {B: ORGANISATIONS_MIN}}
    assert await _followers(program, outsider, A) == expected
    nobody = anonymous_actor()
    async with open_transaction(program.engine, nobody) as session:
        assert _by_context(await count_followers(session, nobody, (A,))) == expected
    shared = [row for row in _patterns(parts, settings) if row[0] == PLATFORM_ORG_ID]
    assert {(group, times) for _, group, _, _, times in shared} == {(PLATFORM_ORG_ID, ORGANISATIONS_MIN)}
    assert {name for _, _, after, operation, _ in shared for name in (*after, operation)} == {A, B}


async def test_a_name_with_a_place_for_a_value_is_no_operation(program: Program) -> None:
    """Even if the log had one with the answer 200."""
    caller = await program.register()
    values = (
        "GET /v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c",
        "GET /v1/entities/7",
        "GET /v1/a@example.com",
        "GET /x",
    )
    await log_session(program, caller, *values)
    await learn(program)
    assert await _followers(program, caller) == {}


async def test_what_is_long_not_seen_is_forgotten_and_no_longer_shared(program: Program) -> None:
    many, old = [await program.register() for _ in range(ORGANISATIONS_MIN)], utc_now() - timedelta(days=20)
    for caller in many:
        await log_session(program, caller, A, B, at=old)
    await learn(program)
    assert (A,) in await _followers(program, await program.register(), A)
    await log_session(program, many[0], A, B)
    await learn(program, utc_now() + timedelta(days=KEPT_DAYS - 10))
    assert await _followers(program, await program.register(), A) == {}
    assert (await _followers(program, many[0], A))[(A,)] == {B: 2}
    assert await _followers(program, many[1], A) == {}


async def test_a_group_keeps_its_most_frequent_patterns(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = await program.register()
    for hours, operations in ((3, (A, B)), (2, (A, B)), (1, (C,))):
        await log_session(program, caller, *operations, at=utc_now() - timedelta(hours=hours))
    monkeypatch.setattr(usage_patterns, "PATTERNS_PER_GROUP_MAX", 3)
    await learn(program)
    assert await _followers(program, caller, A) == {(): {A: 2, B: 2}, (A,): {B: 2}}


async def test_only_the_duty_writes_patterns_and_none_else_reads_sessions(program: Program) -> None:
    caller = await program.register()
    await log_session(program, caller, A, B)
    await learn(program)
    async with open_transaction(program.engine, caller.owner) as session:
        changed = await run_sql(session, text("UPDATE usage_patterns SET times = 100"))
        sessions = (await run_sql(session, text("SELECT count(*) FROM usage_sessions"))).scalar_one()
    assert (changed.rowcount, sessions) == (0, 0)


async def test_what_is_shared_becomes_a_document_of_the_platform_until_it_is_not(
    program: Program, tmp_path: Path
) -> None:
    openapi = openapi_document("http://one.test")
    await ingest_platform(program.engine, tmp_path, (), openapi)
    many = [await program.register() for _ in range(ORGANISATIONS_MIN)]
    for caller in many:
        await log_session(program, caller, A, B, C, at=utc_now() - timedelta(days=20))
        await log_session(program, caller, A, B, C, D)
    await log_session(program, many[0], D, B, A, at=utc_now() + timedelta(seconds=1))
    await learn(program)
    assert await store_learnt_patterns(program.engine) == 1
    assert await store_learnt_patterns(program.engine) == 0
    assert await ingest_platform(program.engine, tmp_path, (), openapi) == 0
    found = await _find_learnt(program)
    assert [(row.external_id, row.kind, row.visibility) for row in found] == [
        ("learnt/createEntity,createConnection,getEntity,listEvents", "pattern", "public")
    ]
    assert found[0].title == "Create an entity, then create a connection, then get an entity, then list events"
    assert found[0].url == "/reference/createEntity" and B in found[0].text
    await learn(program, utc_now() + timedelta(days=KEPT_DAYS + 1))
    await store_learnt_patterns(program.engine)
    assert await _find_learnt(program) == []


async def _find_learnt(program: Program) -> list[KnowledgeItem]:
    """As anybody may read them."""
    nobody, item = anonymous_actor(), KnowledgeItem
    query = item.visible_to(nobody).where(col(item.kind) == "pattern", col(item.deleted_at).is_(None))
    async with open_transaction(program.engine, nobody) as session:
        return list((await session.exec(query)).all())
