"""The registry: every type has a schema that says what a write checks, and counts are those of the key's reach."""

from typing import Any

import jsonschema_rs
import pytest

from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES
from tests.program import Caller, Program

TYPES = "/v1/ontology/types"


async def _types(owner: Caller, **query: str) -> dict[str, dict[str, Any]]:
    answer = await owner.get(TYPES, params=query)
    assert answer.status_code == 200, answer.text
    return {about["name"]: about for about in answer.json()["data"]}


@pytest.mark.parametrize(
    ("dimension", "known"), [("things", THING_TYPES), ("connections", CONNECTION_TYPES), ("events", EVENT_TYPES)]
)
async def test_every_type_has_a_valid_schema_without_sensitive_names(
    owner: Caller, dimension: str, known: dict[str, Any]
) -> None:
    types = await _types(owner, dimension=dimension)
    assert list(types) == list(known)
    for name, about in types.items():
        jsonschema_rs.Draft202012Validator(about["schema"])
        assert about["count"] is None
        if dimension == "things":
            assert not set(about["schema"]["properties"]) & THING_TYPES[name].sensitive_names


@pytest.mark.parametrize(
    ("type", "properties"),
    [
        ("course", {"price": 5, "own": [1]}),
        ("course", {"price": "5"}),
        ("course", {"price": None, "title": "x"}),
        ("course", {"title": 1}),
        ("creator", {"niche": ["a"]}),
        ("creator", {"niche": [1]}),
        ("creator", {"niche": "a"}),
        ("creator", {"niche": [None]}),
        ("consultation", {"availableSlots": [{"startTime": 1}]}),
        ("consultation", {"availableSlots": [{"startTime": "9:00"}]}),
        ("consultation", {"availableSlots": ["monday"]}),
    ],
)
async def test_the_schema_and_the_program_agree(owner: Caller, type: str, properties: dict[str, Any]) -> None:
    schema = (await _types(owner, name=type))[type]["schema"]
    stored = await owner.post("/v1/entities", {"type": type, "name": "x", "properties": properties})
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(properties) == (stored.status_code == 201)


async def test_counts_are_of_live_rows_within_reach(api: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    await owner.make_thing(groupId=group["_id"])
    await owner.make_thing()
    gone = await owner.make_thing()
    await owner.delete(f"/v1/entities/{gone['_id']}")
    key = await api.issue(owner, group_id=group["_id"])
    for caller, count in ((owner, 2), (key, 1), (await api.register(), 0)):
        assert (await _types(caller, counts="true", name="course"))["course"]["count"] == count


async def test_counts_need_the_scope_to_read(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.EVENTS_READ)
    assert (await _types(key, dimension="events", counts="true"))["thing_created"]["count"] > 0
    refused = await key.get(TYPES, params={"counts": "true"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_keys_are_counted_for_who_manages_keys(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    for caller, count in ((owner, 2), (key, None)):
        assert (await _types(caller, counts="true", name="api_key"))["api_key"]["count"] == count


async def test_types_are_found_by_category_and_name(owner: Caller) -> None:
    found = await _types(owner, category=THING_TYPES["course"].category)
    assert "course" in found
    assert {about["category"] for about in found.values()} == {THING_TYPES["course"].category}
    wrong = await owner.get(TYPES, params={"name": "cours"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_type")
    assert "course" in wrong.json()["errors"][0]["fix"]


async def test_a_flaw_within_a_list_is_told_with_its_place(owner: Caller) -> None:
    slots = [{"startTime": 1}, {"startTime": "9:00"}, 3]
    body = {"type": "consultation", "name": "x", "properties": {"availableSlots": slots}}
    refused = await owner.post("/v1/entities", body)
    assert [flaw["location"] for flaw in refused.json()["errors"]] == [
        "body.properties.availableSlots[1].startTime",
        "body.properties.availableSlots[2]",
    ]
