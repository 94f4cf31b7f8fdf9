"""Things: created, merged, deleted with their connections, brought back, and counted exactly."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ontology.database import open_transaction, run_sql
from ontology.errors import QuotaExceeded
from ontology.plans import Plan, PlanLimits
from ontology.thing_rows import Thing
from ontology.things import ThingCreate, create_thing, merge_patch
from tests.program import Caller, Program, until_decided

PARALLEL = 50
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)

# RFC 7396, appendix A, as far as both sides are objects.
RFC_EXAMPLES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "merged"), RFC_EXAMPLES)
def test_a_patch_merges_as_the_standard_says(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


@given(OBJECTS, OBJECTS)
def test_a_patch_says_what_holds_afterwards_and_repeating_it_changes_nothing(target: Any, patch: Any) -> None:
    before = json.dumps(target)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert json.dumps(target) == before, "the target itself is left alone"
    assert merge_patch(target, {}) == target
    for name, value in patch.items():
        if value is None:
            assert name not in once
        elif not isinstance(value, dict):
            assert once[name] == value


async def test_a_new_thing_is_a_draft_in_the_keys_group_with_its_event(owner: Caller) -> None:
    made = await owner.make_thing("Botany", properties={"title": "Botany", "ours": 1})
    assert made["status"] == "draft"
    assert made["groupId"] == owner.group_id
    assert made["deletedAt"] is None
    assert made["createdAt"] == made["updatedAt"]
    assert (await owner.get(f"/v1/entities/{made['_id']}")).json() == made
    events = (await owner.get("/v1/events", params={"targetId": made["_id"]})).json()["data"]
    assert [event["type"] for event in events] == ["thing_created"]
    assert events[0]["metadata"] == {"thingType": "course", "entityName": "Botany", "status": "draft"}
    assert events[0]["actorId"] == made["createdBy"]


async def test_the_published_spelling_of_create_does_the_same(owner: Caller) -> None:
    body = {"type": "course", "name": "Botany", "status": "published"}
    plain, published = await owner.make("/v1/entities", **body), await owner.make("/v1/entities/create", **body)
    unlike = {"_id", "createdAt", "updatedAt"}
    assert {k: v for k, v in plain.items() if k not in unlike} == {
        k: v for k, v in published.items() if k not in unlike
    }


async def test_a_patch_changes_what_it_names_and_logs_which(owner: Caller) -> None:
    made = await owner.make_thing("Botany", properties={"title": "Botany", "price": 49, "ours": {"a": 1, "b": 2}})
    path = f"/v1/entities/{made['_id']}"
    patch = {"properties": {"price": None, "ours": {"b": 3}}, "status": "published"}
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = (await owner.call("PATCH", path, content=json.dumps(patch), headers=merge)).json()
    assert changed["properties"] == {"title": "Botany", "ours": {"a": 1, "b": 3}}
    assert (changed["name"], changed["status"]) == ("Botany", "published")
    assert changed["updatedAt"] >= made["updatedAt"]
    refused = await owner.call("PATCH", path, json={"properties": {"title": 7}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_properties")
    assert (await owner.get(path)).json() == changed
    events = (await owner.get("/v1/events", params={"targetId": made["_id"], "type": "thing_updated"})).json()["data"]
    assert [event["metadata"]["fields"] for event in events] == [["properties", "status"]]


async def test_patches_at_once_lose_nothing(owner: Caller) -> None:
    made = await owner.make_thing("Botany")
    path = f"/v1/entities/{made['_id']}"
    patches = [owner.call("PATCH", path, json={"properties": {f"field{number}": number}}) for number in range(8)]
    assert {answer.status_code for answer in await asyncio.gather(*patches)} == {200}
    assert (await owner.get(path)).json()["properties"] == {f"field{number}": number for number in range(8)}


async def test_deleting_takes_the_connections_along_and_restoring_brings_back_the_thing_alone(owner: Caller) -> None:
    course, lesson, other = [await owner.make_thing(name) for name in ("Course", "Lesson", "Other")]
    joins = {
        name: (await owner.make("/v1/connections", relationshipType="part_of", fromId=a["_id"], toId=b["_id"]))["_id"]
        for name, a, b in (("in", lesson, course), ("out", course, other), ("beside", lesson, other))
    }
    path = f"/v1/entities/{course['_id']}"
    gone = (await owner.delete(path)).json()
    assert gone["status"] == "archived" and gone["deletedAt"] is not None
    assert await live_joins(owner) == [joins["beside"]]
    assert course["_id"] not in {row["_id"] for row in await owner.all_rows("/v1/entities")}
    assert course["_id"] in {row["_id"] for row in await owner.all_rows("/v1/entities", includeDeleted="true")}
    assert (await owner.get(path)).json() == gone
    assert (await owner.delete(path)).json() == gone, "deleting twice is harmless"
    refused = await owner.call("PATCH", path, json={"name": "New"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    back = (await owner.post(f"{path}/restore", None)).json()
    assert (back["status"], back["deletedAt"]) == ("active", None)
    assert await live_joins(owner) == [joins["beside"]]
    assert (await owner.post(f"{path}/restore", None)).status_code == 409
    events = (await owner.get("/v1/events", params={"targetId": course["_id"]})).json()["data"]
    assert [event["type"] for event in events] == ["thing_updated", "thing_deleted", "thing_created"]
    assert events[0]["metadata"]["action"] == "restored"
    assert events[1]["metadata"]["connectionsDeleted"] == 2


@pytest.mark.parametrize("batch", [False, True])
async def test_a_connection_made_above_ends_with_a_thing_deleted_below_which_is_not_told_of_it(
    program: Program, owner: Caller, batch: bool
) -> None:
    below = await program.issue(owner, group_id=(await owner.make("/v1/groups", name="North"))["_id"])
    course, lesson = await below.make_thing("Course"), await below.make_thing("Lesson")
    await owner.make("/v1/connections", relationshipType="part_of", fromId=lesson["_id"], toId=course["_id"])
    if batch:
        await below.post("/v1/entities/batch", {"items": [{"operation": "delete", "_id": course["_id"]}]})
    else:
        await below.delete(f"/v1/entities/{course['_id']}")
    assert await live_joins(owner) == []
    (event,) = (await below.get("/v1/events", params={"type": "thing_deleted"})).json()["data"]
    assert event["metadata"]["connectionsDeleted"] == 0


async def live_joins(owner: Caller) -> list[str]:
    return [row["_id"] for row in await owner.all_rows("/v1/connections", relationshipType="part_of")]


async def test_archived_without_being_deleted_is_a_state_like_any_other(owner: Caller) -> None:
    made = await owner.make_thing("Botany", status="archived")
    assert [row["_id"] for row in await owner.all_rows("/v1/entities", status="archived")] == [made["_id"]]
    assert (await owner.post(f"/v1/entities/{made['_id']}/restore", None)).json()["status"] == "active"


async def test_lists_filter_by_type_status_group_and_words(program: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    things = {
        "course": await owner.make_thing("Introduction to Botany", properties={"description": "Ferns, mosses"}),
        "lesson": await owner.make_thing("Ferns", type="lesson", status="published"),
        "below": await owner.make_thing("Botany below", groupId=group["_id"]),
    }
    ids = {thing["_id"]: name for name, thing in things.items()}
    for query, names in [
        ({}, ["below", "lesson", "course"]),
        ({"type": "course"}, ["below", "course"]),
        ({"status": "published"}, ["lesson"]),
        ({"groupId": group["_id"]}, ["below"]),
        ({"q": "botany"}, ["below", "course"]),
        ({"q": "BOTANY intro"}, ["course"]),
        ({"q": "fern"}, ["lesson", "course"]),
        ({"q": "ferns", "type": "course"}, ["course"]),
        ({"q": "botanist"}, []),
        ({"q": "'); DROP TABLE things; --"}, []),
        ({"q": "&|!:*()"}, []),
    ]:
        assert [ids[row["_id"]] for row in await owner.all_rows("/v1/entities", **query)] == names, query
    below = await program.issue(owner, group_id=group["_id"])
    assert [ids[row["_id"]] for row in await below.all_rows("/v1/entities")] == ["below"]
    assert (await below.get("/v1/entities", params={"groupId": owner.group_id})).status_code == 404
    refused = await owner.get("/v1/entities", params={"type": "cuorse"})
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (422, "query.type")


async def test_managed_types_are_written_by_their_own_endpoints_only(owner: Caller) -> None:
    for kind in ("api_key", "api_quota", "service_account", "session"):
        answer = await owner.post("/v1/entities", {"type": kind, "name": "Mine"})
        assert (answer.status_code, answer.json()["code"]) == (403, "managed_type")
    path = f"/v1/entities/{owner.key_id}"
    for method, body in (("PATCH", {"name": "Mine", "properties": {"scopes": []}}), ("DELETE", None)):
        answer = await owner.call(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "managed_type")
    assert await owner.all_rows("/v1/entities") == []
    assert len(await owner.all_rows("/v1/entities", type="api_key")) == 1


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("api_key", "/v1/api-keys"),
        ("api_application", "/v1/applications"),
        ("api_quota", "/v1/quota"),
        ("service_account", "/v1/applications"),
        ("user", "/v1/invitations"),
    ],
)
async def test_the_refusal_of_a_managed_type_names_the_endpoint_to_use(owner: Caller, kind: str, path: str) -> None:
    (flaw,) = (await owner.post("/v1/entities", {"type": kind, "name": "Mine"})).json()["errors"]
    assert path in flaw["fix"]
    assert (await owner.get(path)).status_code == 200


@pytest.fixture
def room_for_ten(monkeypatch: pytest.MonkeyPatch) -> int:
    """A plan small enough to fill."""
    monkeypatch.setattr("ontology.things.PLAN_LIMITS", {Plan.STARTER: PlanLimits(60, 10_000, 10, 10, 30)})
    return 10


async def test_the_quota_of_things_is_exact_when_fifty_are_made_at_once(program: Program, room_for_ten: int) -> None:
    caller = await program.register(plan=Plan.STARTER)
    group = await caller.make("/v1/groups", name="North")

    async def create(number: int) -> Thing:
        new = ThingCreate.model_validate({"type": "course", "name": f"Course {number}", "groupId": group["_id"]})
        async with open_transaction(program.engine, caller.owner) as session:
            return await create_thing(session, caller.owner, new)

    # Less room than there are connections, so that those who count at the same moment would be too many.
    room = 3
    for number in range(room_for_ten - room):
        await create(-number)
    await program.open_whole_pool()
    found = await asyncio.gather(*(until_decided(lambda number=number: create(number)) for number in range(PARALLEL)))
    assert Counter(type(one) for one in found) == {Thing: room, QuotaExceeded: PARALLEL - room}
    # Of this group; another has room of its own, and what is deleted makes room that a restored thing takes again.
    assert (await caller.post("/v1/entities", {"type": "course", "name": "At the root"})).status_code == 201
    body = {"type": "course", "name": "Once more", "groupId": group["_id"]}
    answer = await caller.post("/v1/entities", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "quota_exceeded")
    rows = await caller.all_rows("/v1/entities", groupId=group["_id"])
    assert len(rows) == room_for_ten
    assert (await caller.delete(f"/v1/entities/{rows[0]['_id']}")).status_code == 200
    assert (await caller.post("/v1/entities", body)).status_code == 201
    restored = await caller.post(f"/v1/entities/{rows[0]['_id']}/restore", None)
    assert (restored.status_code, restored.json()["code"]) == (403, "quota_exceeded")
    statement = text("SELECT count(*) FROM events WHERE type = 'thing_created' AND metadata->>'thingType' = 'course'")
    async with open_transaction(program.engine, caller.owner) as session:
        assert (await run_sql(session, statement)).scalar_one() == room_for_ten + 2


async def test_keys_and_accounts_cost_no_room(program: Program, room_for_ten: int) -> None:
    caller = await program.register(plan=Plan.STARTER)
    for _ in range(room_for_ten):
        await program.issue(caller)
    assert (await caller.post("/v1/entities", {"type": "course", "name": "Botany"})).status_code == 201
