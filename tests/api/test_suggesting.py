"""Suggestions: what came next for oneself and for enough others, within reach, and never with anybody else's values."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.routes import openapi_document
from knowledge.ingestion import ingest_platform
from ontology.scopes import Scope
from ontology.usage_patterns import ORGANISATIONS_MIN
from tests.logged_calls import drain, learn, log_session
from tests.parts import Parts
from tests.program import Caller, Program, running_program

PATH = "/v1/knowledge/suggest"
CREATE, CONNECT, READ, EVENTS = (
    "POST /v1/entities",
    "POST /v1/connections",
    "GET /v1/entities/{entityId}",
    "GET /v1/events",
)


@pytest.fixture
async def program(parts: Parts, database: str, tmp_path: Path) -> AsyncIterator[Program]:
    """With the platform's operations, and without a search."""
    async with running_program(parts.settings(database, tmp_path)) as program:
        await ingest_platform(program.engine, tmp_path, (), openapi_document("http://one.test"))
        yield program


@pytest.fixture
async def owner(program: Program) -> Caller:
    return await program.register()


async def _suggest(caller: Caller, **body: Any) -> dict[str, Any]:
    answer = await caller.post(PATH, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _reasons(found: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(hit["operationId"], hit["source"], hit["after"]) for hit in found["data"]]


async def test_the_longest_context_decides_and_shorter_ones_fill_up(program: Program, owner: Caller) -> None:
    for operations in ((CREATE, CONNECT, READ), (CREATE, CONNECT, READ), (EVENTS, CONNECT, EVENTS)):
        await log_session(program, await program.issue(owner), *operations)
    await learn(program)
    found = await _suggest(owner, context=["createEntity", "createConnection"], limit=3)
    assert found["context"] == ["createEntity", "createConnection"]
    assert _reasons(found) == [
        ("getEntity", "own", ["createEntity", "createConnection"]),
        ("listEvents", "own", ["createConnection"]),
        ("createEntity", "own", []),
    ]
    first = found["data"][0]
    assert (first["kind"], first["method"], first["path"]) == ("endpoint", "GET", "/v1/entities/{entityId}")
    assert first["url"] == "/reference/getEntity" and first["title"] and first["documentId"].startswith("knowledge_")


async def test_the_keys_own_last_calls_are_the_context_where_none_is_given(program: Program, owner: Caller) -> None:
    await log_session(program, await program.issue(owner), CREATE, CONNECT)
    await learn(program)
    thing = await owner.make_thing()
    assert (await owner.get(f"/v1/entities/{thing['_id']}")).is_success
    assert (await owner.post("/v1/entities", {"type": "corse", "name": "x"})).status_code == 422
    assert (await owner.post("/v1/entities", {"type": "course", "name": "x"})).is_success
    await drain(program)
    found = await _suggest(owner)
    assert found["context"] == ["createEntity", "getEntity", "createEntity"]
    assert _reasons(found)[0] == ("createConnection", "own", ["createEntity"])
    other = await _suggest(await program.issue(owner))
    assert other["context"] == [] and _reasons(other)[0][2] == []


async def test_nothing_of_fewer_than_five_organisations_reaches_another(program: Program, owner: Caller) -> None:
    """Neither a pattern nor a value: names, ids, properties and query values of those who made the calls."""
    many = [await program.register(f"Canary {number}") for number in range(ORGANISATIONS_MIN)]
    values: list[str] = []

    async def use(caller: Caller) -> None:
        made = await caller.make_thing("Canary thing", properties={"canaryField": "canary value"})
        other = await caller.make_thing("Canary end")
        ends = {"fromId": made["_id"], "toId": other["_id"], "metadata": {"canary": "note"}}
        made_connection = await caller.make("/v1/connections", relationshipType="part_of", **ends)
        assert (await caller.get("/v1/entities", params={"q": "canary"})).is_success
        values.extend([made["_id"], other["_id"], made_connection["_id"], caller.key_id, caller.group_id])
        await drain(program)

    for caller in many[1:]:
        await use(caller)
    await learn(program)
    refused = await owner.post(PATH, {"context": ["createEntity"]})
    assert refused.json()["code"] == "search_unavailable"
    own = await _suggest(many[1], context=["createEntity"])
    assert ("createConnection", "own", ["createEntity"]) in _reasons(own)

    await use(many[0])
    await learn(program)
    answer = await owner.post(PATH, {"context": ["createEntity"]})
    assert ("createConnection", "others", ["createEntity"]) in _reasons(answer.json())
    assert "anary" not in answer.text
    assert not [value for value in values if value in answer.text]


async def test_what_another_group_does_is_seen_from_above_only(program: Program, owner: Caller) -> None:
    north = (await owner.make("/v1/groups", name="North"))["_id"]
    south = (await owner.make("/v1/groups", name="South"))["_id"]
    northern, southern = await program.issue(owner, group_id=north), await program.issue(owner, group_id=south)
    await log_session(program, northern, CREATE, EVENTS)
    await learn(program)
    for caller in (owner, northern):
        assert _reasons(await _suggest(caller, context=["createEntity"]))[0][0] == "listEvents"
    assert (await southern.post(PATH, {"context": ["createEntity"]})).json()["code"] == "search_unavailable"


async def test_parameters_come_with_values_and_the_callers_own_ids(program: Program, owner: Caller) -> None:
    stranger = await program.register()
    await stranger.make_thing("Not yours")
    older, newer = await owner.make_thing("Older"), await owner.make_thing("Newer")
    await log_session(program, await program.issue(owner), CREATE, READ, CREATE, "GET /v1/entities", CREATE, CONNECT)
    await learn(program)
    found = await _suggest(owner, context=["createEntity"])
    by_operation = {hit["operationId"]: {each["name"]: each for each in hit["parameters"]} for hit in found["data"]}
    entity = by_operation["getEntity"]["entityId"]
    assert (entity["place"], entity["required"], entity["type"]) == ("path", True, "thing id")
    assert entity["recent"] == [
        {"id": newer["_id"], "label": "Newer"},
        {"id": older["_id"], "label": "Older"},
    ]
    assert "published" in by_operation["listEntities"]["status"]["choices"]
    assert "Idempotency-Key" not in by_operation["listEntities"]
    blind = await program.issue(owner, Scope.KNOWLEDGE_READ, Scope.CONNECTIONS_WRITE)
    seen = await _suggest(blind, context=["createEntity"])
    assert "fromId" in by_operation["createConnection"] and seen["data"][0]["operationId"] == "createConnection"
    assert "thing_" not in str([each["recent"] for hit in seen["data"] for each in hit["parameters"]])


async def test_only_operations_that_the_key_may_call_come_next(program: Program, owner: Caller) -> None:
    await log_session(program, await program.issue(owner), CREATE, CONNECT, CREATE, EVENTS)
    await learn(program)
    reader = await program.issue(owner, Scope.KNOWLEDGE_READ, Scope.EVENTS_READ)
    assert [name for name, *_ in _reasons(await _suggest(reader, context=["createEntity"]))] == ["listEvents"]


async def test_a_context_is_given_by_name_by_route_or_as_it_was_sent(program: Program, owner: Caller) -> None:
    await log_session(program, await program.issue(owner), READ, EVENTS)
    await learn(program)
    sent = "GET /v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c?expand=connections"
    for name in ("getEntity", READ, sent):
        assert _reasons(await _suggest(owner, context=[name]))[0] == ("listEvents", "own", ["getEntity"])


async def test_what_is_no_operation_is_refused_with_its_place(owner: Caller) -> None:
    answer = await owner.post(PATH, {"context": ["createEntity", "creatConnection", "GET /nowhere"]})
    assert answer.status_code == 400
    flaws = {flaw["location"]: flaw.get("did_you_mean") for flaw in answer.json()["errors"]}
    assert flaws["body.context[1]"][0] == "createConnection"
    assert "body.context[2]" in flaws and "body.context[0]" not in flaws
    both = await owner.post(PATH, {"context": ["createEntity"], "task": "list entities"})
    assert both.status_code == 400
    lost = await owner.post(PATH, {"task": "x", "specificationId": "knowledge_01jd8kq3v5e9ra7t2m4xw6yz0c"})
    assert lost.json()["code"] == "not_found"


async def test_asking_what_comes_next_is_not_learnt(program: Program, owner: Caller) -> None:
    await log_session(program, await program.issue(owner), CREATE, CONNECT)
    await learn(program)
    await owner.make_thing()
    await _suggest(owner, context=["createEntity"])
    await drain(program)
    await learn(program)
    found = await _suggest(owner)
    assert found["context"] == ["createEntity"]
    assert "suggestOperations" not in str(found)


async def test_a_call_of_no_operation_is_nothing_to_go_on_from(program: Program, owner: Caller) -> None:
    """What a browser asks before its call, and an address there is nothing at, stand in the log too."""
    await log_session(program, await program.issue(owner), CREATE, CONNECT)
    await learn(program)
    assert (await owner.call("OPTIONS", "/v1/connections/traverse")).status_code == 204
    assert (await owner.get("/v1/nothing")).status_code == 404
    assert (await owner.post("/v1/entities", {"type": "course", "name": "x"})).is_success
    await drain(program)
    assert _reasons(await _suggest(owner, limit=1)) == [("createConnection", "own", ["createEntity"])]
    assert (await owner.call("OPTIONS", "/v1/connections/traverse")).status_code == 204
    await drain(program)
    assert (await owner.post(PATH, {})).status_code in (200, 503)
