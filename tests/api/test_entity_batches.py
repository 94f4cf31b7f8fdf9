"""Batches of entities: an answer for every item, all or nothing when asked, quotas exact, nothing past the walls."""

import asyncio
from typing import Any

import pytest

from ontology.ids import encode_id, new_id
from ontology.plans import Plan
from ontology.scopes import Scope
from tests.program import Caller, Program

BATCH = "/v1/entities/batch"


def _new(name: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "lesson", "name": name} | more


async def _send(owner: Caller, items: list[Any], **more: Any) -> dict[str, Any]:
    answer = await owner.post(BATCH, {"items": items} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _changes(owner: Caller) -> list[dict[str, Any]]:
    return [e for e in await owner.all_rows("/v1/events") if e["type"].startswith("thing_")]


async def test_items_are_applied_in_order_and_answered_one_by_one(owner: Caller) -> None:
    old, other = await owner.make_thing(properties={"a": 1, "b": 2}), await owner.make_thing()
    ends = {"fromId": old["_id"], "toId": other["_id"]}
    connection = await owner.make("/v1/connections", relationshipType="part_of", **ends)
    before = len(await _changes(owner))
    answer = await _send(
        owner,
        [
            _new("first"),
            {"operation": "update", "_id": old["_id"], "properties": {"a": None, "c": 3}},
            {"operation": "update", "_id": old["_id"], "name": "again"},
            {"operation": "delete", "_id": other["_id"]},
            {"operation": "update", "_id": other["_id"], "name": "too late"},
        ],
    )
    assert [item["status"] for item in answer["data"]] == [201, 200, 200, 200, 409]
    assert answer["summary"] == {"total": 5, "success": 4, "failed": 1}
    assert [item["index"] for item in answer["data"]] == [0, 1, 2, 3, 4]
    assert answer["data"][4]["problem"]["code"] == "conflict"
    stored = (await owner.get(f"/v1/entities/{old['_id']}")).json()
    assert (stored["name"], stored["properties"]) == ("again", {"b": 2, "c": 3})
    assert answer["data"][0]["entity"] == (await owner.get(f"/v1/entities/{answer['data'][0]['entity']['_id']}")).json()
    assert (await owner.get(f"/v1/connections/{connection['_id']}")).json()["deletedAt"]
    events = (await _changes(owner))[: -before or None]
    assert [e["type"] for e in events].count("thing_created") == 1
    (summary,) = [e for e in events if e["metadata"].get("action") == "batch"]
    assert {k: summary["metadata"][k] for k in ("total", "success", "failed", "atomic")} == {
        "total": 5,
        "success": 4,
        "failed": 1,
        "atomic": False,
    }
    (deleted,) = [e for e in events if e["type"] == "thing_deleted"]
    assert deleted["metadata"]["connectionsDeleted"] == 1
    assert len(events) == 5


BAD: list[tuple[dict[str, Any], int, str, str]] = [
    ({"type": "lessn", "name": "x"}, 422, "unknown_type", "body.type"),
    ({"type": "lesson"}, 400, "invalid_request", "body.name"),
    ({"type": "lesson", "name": "x", "extra": 1}, 400, "invalid_request", "body.extra"),
    ({"operation": "merge"}, 400, "invalid_request", "body"),
    ({"type": "course", "name": "x", "properties": {"price": "x"}}, 422, "invalid_properties", "body.properties.price"),
    ({"type": "api_key", "name": "x"}, 403, "managed_type", "body.type"),
    ({"operation": "update", "_id": encode_id("thing", new_id())}, 404, "not_found", ""),
    ({"type": "lesson", "name": "x", "groupId": encode_id("group", new_id())}, 404, "not_found", ""),
    ({"operation": "delete", "_id": "nonsense"}, 400, "invalid_request", "body._id"),
]


@pytest.mark.parametrize(("bad", "status", "code", "place"), BAD, ids=lambda value: str(value)[:30])
async def test_a_bad_item_fails_alone_or_refuses_all(
    owner: Caller, bad: dict[str, Any], status: int, code: str, place: str
) -> None:
    answer = await _send(owner, [_new("good"), bad, _new("better")])
    assert [item["status"] for item in answer["data"]] == [201, status, 201]
    problem = answer["data"][1]["problem"]
    assert (problem["status"], problem["code"]) == (status, code)
    assert [flaw["location"] for flaw in problem["errors"]] == ([place] if place else [])
    before = await owner.all_rows("/v1/entities")
    refused = await owner.post(BATCH, {"items": [_new("no"), bad, bad], "atomic": True})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    places = [flaw["location"] for flaw in refused.json()["errors"]]
    assert places == [f"body.items[{n}]{place.removeprefix('body')}" for n in (1, 2)]
    assert await owner.all_rows("/v1/entities") == before


@pytest.mark.parametrize("items", [[], [_new()] * 1001, "x", [None, 1]])
async def test_a_batch_has_one_to_a_thousand_items(owner: Caller, items: Any) -> None:
    answer = await owner.post(BATCH, {"items": items})
    if items == [None, 1]:
        assert [item["status"] for item in answer.json()["data"]] == [400, 400]
    else:
        assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body.items")


async def test_a_thousand_items_are_stored_with_their_events(owner: Caller) -> None:
    answer = await _send(owner, [_new(str(number)) for number in range(1_000)], atomic=True)
    assert answer["summary"] == {"total": 1_000, "success": 1_000, "failed": 0}
    rows = await owner.all_rows("/v1/entities", limit="1000")
    assert {row["name"] for row in rows} == {str(number) for number in range(1_000)}
    assert len({item["entity"]["_id"] for item in answer["data"]}) == 1_000
    created = await owner.all_rows("/v1/events", type="thing_created", limit="1000")
    assert len([e for e in created if e["metadata"]["thingType"] == "lesson"]) == 1_000


async def test_the_quota_is_exact_under_parallel_batches(api: Program) -> None:
    """Five batches of 20 for the last 50 of the thousand places of a starter's group."""
    owner = await api.register(plan=Plan.STARTER)
    await _send(owner, [_new()] * 950)
    answers = await asyncio.gather(*(_send(owner, [_new()] * 20) for _ in range(5)))
    statuses = [item["status"] for answer in answers for item in answer["data"]]
    assert (statuses.count(201), statuses.count(403)) == (50, 50)
    refused = await owner.post(BATCH, {"items": [_new()], "atomic": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
    (one, *_) = (item["entity"]["_id"] for answer in answers for item in answer["data"] if "entity" in item)
    freed = await _send(owner, [{"operation": "delete", "_id": one}, _new(), _new()])
    assert [item["status"] for item in freed["data"]] == [200, 201, 403]
    told = await owner.all_rows("/v1/events", type="quota_exceeded")
    assert sum(event["metadata"]["attempted"] for event in told) == 52


async def test_a_tried_batch_answers_what_would_be_and_stores_nothing(owner: Caller) -> None:
    made = await owner.make_thing()
    before = await _changes(owner)
    items = [_new(), {"operation": "delete", "_id": made["_id"]}, {"type": "no"}]
    tried = await owner.post(BATCH, {"items": items}, params={"dryRun": "true"})
    assert (tried.status_code, tried.headers["dry-run"]) == (200, "true")
    assert [item["status"] for item in tried.json()["data"]] == [201, 200, 400]
    assert await owner.all_rows("/v1/entities") == [made]
    assert await _changes(owner) == before


async def test_a_repeated_batch_has_one_effect(owner: Caller) -> None:
    first, second = [await owner.post(BATCH, {"items": [_new()]}, headers={"Idempotency-Key": "b"}) for _ in range(2)]
    assert first.content == second.content
    assert len(await owner.all_rows("/v1/entities")) == 1


async def test_deleting_needs_its_own_scope(api: Program, owner: Caller) -> None:
    made = await owner.make_thing()
    writer = await api.issue(owner, Scope.ENTITIES_WRITE)
    answer = await _send(writer, [{"operation": "delete", "_id": made["_id"]}, _new()])
    assert [item["status"] for item in answer["data"]] == [403, 201]
    assert answer["data"][0]["problem"]["code"] == "insufficient_scope"


async def test_items_out_of_reach_are_as_if_they_had_never_existed(api: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    sibling = await owner.make("/v1/groups", name="South")
    theirs = await owner.make_thing("secret", groupId=sibling["_id"])
    above = await owner.make_thing("secret")
    foreign = await (await api.register()).make_thing("secret")
    key = await api.issue(owner, group_id=group["_id"])
    nobody = encode_id("thing", new_id())
    ids = [theirs["_id"], above["_id"], foreign["_id"], nobody]
    for operation in ("update", "delete"):
        answer = await _send(key, [{"operation": operation, "_id": value} for value in ids])
        problems = [item["problem"] | {"requestId": ""} for item in answer["data"]]
        assert all(problem == problems[-1] for problem in problems)
        assert problems[-1]["status"] == 404
    groups = [sibling["_id"], owner.group_id, encode_id("group", new_id())]
    answer = await _send(key, [_new(groupId=value) for value in groups])
    assert [item["status"] for item in answer["data"]] == [404, 404, 404]
    assert (await owner.get(f"/v1/entities/{theirs['_id']}")).json() == theirs
