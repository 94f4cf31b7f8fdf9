"""What a group's keys call again and again is found by that group, and is nothing that anybody else sees or keeps."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from api.routes import openapi_document
from knowledge import learnt_patterns
from knowledge.client import KnowledgeClient
from knowledge.ingestion import ingest_platform
from knowledge.learnt_patterns import store_learnt_patterns
from ontology.database import open_duty, run_sql
from ontology.knowledge_items import KnowledgeItem
from ontology.pattern_changes import TIMES_MIN
from ontology.records import utc_now
from ontology.usage_patterns import DUTY, KEPT_DAYS, ORGANISATIONS_MIN
from tests.api.test_asking import Knowing, knowing_program
from tests.logged_calls import learn, log_session
from tests.parts import Parts
from tests.program import Caller
from worker.patterns import tell_own

CREATE, CONNECT, READ, EVENTS = (
    "POST /v1/entities",
    "POST /v1/connections",
    "GET /v1/entities/{entityId}",
    "GET /v1/events",
)
TITLE = "Create an entity, then create a connection, then get an entity"
QUESTION = "store a thing and then link it to another one"


@pytest.fixture(scope="module")
async def programs(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Knowing]:
    """With the four operations that are called here."""
    openapi, directory = openapi_document("http://one.test"), tmp_path_factory.mktemp("patterns")
    paths: dict[str, dict[str, Any]] = {}
    for method, path in (operation.split(" ") for operation in (CREATE, CONNECT, READ, EVENTS)):
        paths.setdefault(path, {})[method.lower()] = openapi["paths"][path][method.lower()]
    with parts.new_database() as database:
        async with knowing_program(parts, database, directory, ()) as made:
            await ingest_platform(made.program.engine, directory / "none", (), openapi | {"paths": paths})
            yield made


@pytest.fixture
async def knowing(programs: Knowing) -> Knowing:
    """Nothing is learnt yet, and the log is read from its beginning."""
    async with open_duty(programs.program.engine, DUTY) as session:
        for table in ("usage_patterns", "usage_sessions", "pattern_changes"):
            await run_sql(session, text(f"DELETE FROM {table}"))
    return programs


async def repeat(knowing: Knowing, caller: Caller, *operations: str, times: int = TIMES_MIN, days: int = 2) -> None:
    """The same calls several times, over some days; each time is a session of its own."""
    noon = utc_now().replace(hour=12, minute=0) - timedelta(days=1)
    for number in range(times):
        at = noon - timedelta(days=number % days, minutes=40 * (number // days))
        await log_session(
            knowing.program, await knowing.program.issue(caller, group_id=caller.group_id), *operations, at=at
        )


async def tell(knowing: Knowing) -> None:
    """What the worker does: learn, tell, index."""
    await learn(knowing.program)
    await tell_own(knowing.program.engine)
    await knowing.index()


async def find(caller: Caller, **more: Any) -> list[dict[str, Any]]:
    answer = await caller.post("/v1/knowledge/search", {"query": QUESTION, "kinds": ["pattern"]} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def stored(knowing: Knowing, caller: Caller) -> dict[str, tuple[int, int]]:
    """An organisation's patterns that are stored, with the version of each and of what is indexed."""
    query = select(KnowledgeItem).where(
        col(KnowledgeItem.knowledge_type) == "pattern", col(KnowledgeItem.org_id) == caller.org_id
    )
    async with open_duty(knowing.program.engine, "indexing") as session:
        rows = (await session.exec(query)).all()
    return {str(row.external_id): (row.version, row.indexed_version) for row in rows}


async def in_group(knowing: Knowing, owner: Caller, name: str, parent: Caller | None = None) -> Caller:
    """A key of a new group."""
    group = await (parent or owner).make("/v1/groups", name=name)
    return await knowing.program.issue(owner, group_id=group["_id"])


async def test_a_group_finds_its_own_pattern_and_nobody_else_does(knowing: Knowing) -> None:
    owner, stranger = await knowing.program.register("Acme"), await knowing.program.register("Rival")
    parent, other = await in_group(knowing, owner, "Parent"), await in_group(knowing, owner, "Other")
    child = await in_group(knowing, owner, "Child", parent)
    sibling, below = await in_group(knowing, owner, "Sibling", parent), await in_group(knowing, owner, "Below", child)
    await repeat(knowing, child, CREATE, CONNECT, READ)
    await tell(knowing)

    (hit,) = await find(child)
    assert (hit["kind"], hit["title"], hit["url"]) == ("pattern", TITLE, "/reference/createEntity")
    assert hit["text"].startswith("Learned from your calls: you make these one after the other.")
    assert all(operation in hit["text"] for operation in (CREATE, CONNECT, READ))
    for nobody in (sibling, below, other, stranger):
        assert await find(nobody) == []
    page = await knowing.program.client.get("/search", params={"q": QUESTION})
    assert page.status_code == 200 and TITLE not in page.text

    # The groups above read it, and find it where they name the group: what many groups do hides nothing from them.
    path = f"/v1/knowledge/documents/{hit['documentId']}"
    for above in (parent, owner):
        assert await find(above) == []
        assert await find(above, groupId=child.group_id) == [hit]
        assert (await above.get(path)).json()["text"].count("](/reference/") == 3
    for nobody in (sibling, below, other, stranger):
        assert (await nobody.get(path)).status_code == 404

    moved = await owner.call("PUT", f"/v1/groups/{child.group_id}/parent", json={"parentGroupId": other.group_id})
    assert moved.is_success, moved.text
    await knowing.index()
    assert await find(other, groupId=child.group_id) == [hit] and await find(child) == [hit]
    assert (await parent.get(path)).status_code == 404


async def test_a_pattern_is_no_document_that_the_group_keeps(knowing: Knowing) -> None:
    owner = await knowing.program.register()
    await repeat(knowing, owner, CREATE, CONNECT, READ)
    await tell(knowing)
    (hit,) = await find(owner)
    path = f"/v1/knowledge/documents/{hit['documentId']}"
    assert (await owner.get("/v1/knowledge/documents", params={"kind": "pattern"})).json()["data"] == []
    statistics = (await owner.get(f"/v1/groups/{owner.group_id}/statistics")).json()
    assert statistics["knowledge"] == 0
    made = await owner.all_rows("/v1/events", type="thing_created")
    assert [event for event in made if event["metadata"].get("thingType") == "knowledge"] == []
    assert (await owner.delete(path)).status_code == 404

    body = {"externalId": hit["externalId"], "title": "Of my own", "text": "Something else.", "kind": "pattern"}
    put = await owner.call("PUT", "/v1/knowledge/documents", json=body)
    assert put.status_code == 200 and put.json()["_id"] != hit["documentId"]
    assert (await owner.get(path)).json()["title"] == TITLE
    async with open_duty(knowing.program.engine, DUTY) as session:
        writable = text("UPDATE knowledge_items SET version = version RETURNING knowledge_type")
        assert set((await run_sql(session, writable)).scalars()) == {"pattern"}


async def test_only_what_is_common_is_told_once_and_until_it_no_longer_is(
    knowing: Knowing, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, stats = await knowing.program.register(), KnowledgeClient(Path(knowing.program.settings.knowledge_socket))
    monkeypatch.setattr(learnt_patterns, "OWN_MAX", 1)
    await repeat(knowing, owner, CREATE, CONNECT, READ, times=TIMES_MIN - 1)
    await repeat(knowing, owner, READ, CONNECT, EVENTS, days=1)
    await repeat(knowing, owner, EVENTS, CONNECT, times=3 * TIMES_MIN)
    await tell(knowing)
    assert await stored(knowing, owner) == {}

    start = utc_now() + timedelta(hours=2)
    await log_session(knowing.program, owner, CREATE, CONNECT, READ, at=start)
    await learn(knowing.program, start + timedelta(hours=1))
    await tell_own(knowing.program.engine)
    await knowing.index()
    first = await stored(knowing, owner)
    assert first == {"learnt/createEntity,createConnection,getEntity": (1, 1)}
    embedded = (await stats.stats()).embedded_texts
    await log_session(knowing.program, owner, CREATE, CONNECT, READ, at=start + timedelta(hours=2))
    await learn(knowing.program, start + timedelta(hours=3))
    await tell_own(knowing.program.engine)
    await knowing.index()
    assert (await stored(knowing, owner), (await stats.stats()).embedded_texts) == (first, embedded)

    for number in range(4 * TIMES_MIN):
        at = start + timedelta(days=1 + number % 2, minutes=40 * number)
        await log_session(knowing.program, owner, CREATE, READ, CREATE, at=at)
    await learn(knowing.program, start + timedelta(days=4))
    await tell_own(knowing.program.engine)
    await knowing.index()
    assert await stored(knowing, owner) == {"learnt/createEntity,getEntity,createEntity": (1, 1)}

    await learn(knowing.program, start + timedelta(days=KEPT_DAYS + 5))
    await tell_own(knowing.program.engine)
    assert await find(owner) == []
    await knowing.index()
    assert await stored(knowing, owner) == {}
    await stats.close()


async def test_what_others_do_too_is_told_once(knowing: Knowing) -> None:
    many = [await knowing.program.register() for _ in range(ORGANISATIONS_MIN)]
    nobody = await knowing.program.register()
    for caller in many:
        await log_session(knowing.program, caller, CREATE, CONNECT, READ, at=utc_now() - timedelta(days=3))
    await repeat(knowing, many[0], CREATE, CONNECT, READ)
    await learn(knowing.program)
    await store_learnt_patterns(knowing.program.engine)
    await tell(knowing)
    (own,), (shared,) = await find(many[0]), await find(nobody)
    assert (own["title"], shared["title"]) == (TITLE, TITLE)
    assert own["text"].startswith("Learned from your calls") and shared["text"].startswith("Several organisations")
