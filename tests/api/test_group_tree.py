"""The tree of groups over HTTP: changing, moving, archiving, restoring and counting parts of it."""

import asyncio
from typing import Any

import pytest

from ontology.groups import DEPTH_MAX
from ontology.ids import encode_id, new_id
from ontology.plans import PLAN_LIMITS, Plan
from ontology.scopes import Scope
from tests.program import Caller, Program, without_request_id


async def _make_group(owner: Caller, parent: str | None = None, **more: Any) -> str:
    made = await owner.make("/v1/groups", name="Group", **({"parentGroupId": parent} if parent else {}), **more)
    return made["_id"]


async def _make_chain(owner: Caller, length: int, parent: str | None = None) -> list[str]:
    chain: list[str] = []
    for _ in range(length):
        chain.append(await _make_group(owner, chain[-1] if chain else parent))
    return chain


async def _ids(caller: Caller, path: str) -> list[str]:
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    return [row["_id"] for row in answer.json()["data"]]


async def _move(caller: Caller, group: str, parent: str) -> Any:
    return await caller.call("PUT", f"/v1/groups/{group}/parent", json={"parentGroupId": parent})


async def _archive(caller: Caller, group: str) -> None:
    answer = await caller.delete(f"/v1/groups/{group}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "archived"
    assert answer.json()["archivedAt"]


async def test_groups_nest_ten_deep_and_no_deeper(owner: Caller) -> None:
    chain = await _make_chain(owner, DEPTH_MAX)
    answer = await owner.post("/v1/groups", {"name": "Too deep", "parentGroupId": chain[-1]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"][0]["location"] == "body.parentGroupId"
    assert "10 deep" in answer.json()["errors"][0]["message"]


async def test_patch_merges_and_leaves_the_rest(owner: Caller) -> None:
    made = await owner.make("/v1/groups", name="North", description="old", metadata={"a": 1, "b": {"c": 2, "d": 3}})
    change = {"name": "South", "description": None, "metadata": {"a": None, "b": {"c": 5}}, "settings": {"theme": "x"}}
    answer = await owner.call("PATCH", f"/v1/groups/{made['_id']}", json=change)
    assert answer.status_code == 200, answer.text
    assert answer.json() == made | {
        "name": "South",
        "description": None,
        "metadata": {"b": {"c": 5, "d": 3}},
        "settings": made["settings"] | {"theme": "x"},
        "updatedAt": answer.json()["updatedAt"],
    }
    assert (await owner.get(f"/v1/groups/{made['_id']}")).json() == answer.json()
    event = (await owner.get("/v1/events", params={"targetId": made["_id"], "type": "thing_updated"})).json()["data"][0]
    assert event["metadata"]["thingType"] == "group"
    assert event["metadata"]["fields"] == ["description", "metadata", "name", "settings"]


@pytest.mark.parametrize("field", ["slug", "type", "parentGroupId", "status"])
async def test_patch_refuses_what_never_changes(owner: Caller, field: str) -> None:
    group = await _make_group(owner)
    answer = await owner.call("PATCH", f"/v1/groups/{group}", json={field: "community"})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, f"body.{field}")


@pytest.mark.parametrize("field", ["name", "metadata", "settings"])
async def test_patch_takes_away_nothing_that_every_group_has(owner: Caller, field: str) -> None:
    group = await _make_group(owner)
    answer = await owner.call("PATCH", f"/v1/groups/{group}", json={field: None})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, f"body.{field}")


async def test_settings_with_closed_values_refuse_others(owner: Caller) -> None:
    group = await _make_group(owner)
    for method, path in (("POST", "/v1/groups"), ("PATCH", f"/v1/groups/{group}")):
        for name, value in (("visibility", "secret"), ("leakedKeys", "shortn")):
            answer = await owner.call(method, path, json={"name": "G", "settings": {name: value}})
            assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, f"body.settings.{name}")


async def test_parallel_patches_lose_nothing(owner: Caller) -> None:
    group = await _make_group(owner)
    bodies = [{"metadata": {f"field{number}": number}} for number in range(8)]
    await asyncio.gather(*(owner.call("PATCH", f"/v1/groups/{group}", json=body) for body in bodies))
    assert (await owner.get(f"/v1/groups/{group}")).json()["metadata"] == {f"field{n}": n for n in range(8)}


async def test_ancestors_and_path_end_where_the_key_reaches(api: Program, owner: Caller) -> None:
    top, middle, low = await _make_chain(owner, 3)
    assert await _ids(owner, f"/v1/groups/{low}/ancestors") == [middle, top, owner.group_id]
    assert await _ids(owner, f"/v1/groups/{low}/path") == [owner.group_id, top, middle, low]
    inner = await api.issue(owner, group_id=middle)
    assert await _ids(inner, f"/v1/groups/{low}/ancestors") == [middle]
    assert await _ids(inner, f"/v1/groups/{low}/path") == [middle, low]
    assert await _ids(inner, f"/v1/groups/{middle}/ancestors") == []


async def test_moved_group_takes_its_subtree_and_leaves_its_old_holder(api: Program, owner: Caller) -> None:
    old, new = await _make_group(owner), await _make_group(owner)
    moved, below = await _make_chain(owner, 2, old)
    old_holder, new_holder = await api.issue(owner, group_id=old), await api.issue(owner, group_id=new)
    inside = await api.issue(owner, group_id=below)
    thing = await owner.make_thing(groupId=below)
    for holder, status in ((old_holder, 200), (new_holder, 404), (inside, 200)):
        assert (await holder.get(f"/v1/entities/{thing['_id']}")).status_code == status
    answer = await _move(owner, moved, new)
    assert (answer.status_code, answer.json()["parentGroupId"]) == (200, new)
    for holder, status in ((old_holder, 404), (new_holder, 200), (inside, 200)):
        assert (await holder.get(f"/v1/entities/{thing['_id']}")).status_code == status
    nobody = await old_holder.get(f"/v1/groups/{encode_id('group', new_id())}")
    gone = await old_holder.get(f"/v1/groups/{below}")
    assert without_request_id(gone) == without_request_id(nobody)
    assert await _ids(owner, f"/v1/groups/{below}/path") == [owner.group_id, new, moved, below]
    assert await _ids(old_holder, "/v1/groups") == [old]
    event = (await owner.get("/v1/events", params={"targetId": moved, "type": "thing_updated"})).json()["data"][0]
    assert event["metadata"]["action"] == "moved"
    assert event["metadata"]["changes"] == {"parentGroupId": new}
    assert event["metadata"]["previousValues"] == {"parentGroupId": old}


async def test_moved_documents_are_indexed_for_their_new_ancestors(owner: Caller) -> None:
    old, new = await _make_group(owner), await _make_group(owner)
    moved, below = await _make_chain(owner, 2, old)
    document = await owner.make("/v1/knowledge/documents", title="Page", text="text", groupId=below)
    assert (await _move(owner, moved, new)).status_code == 200
    after = (await owner.get(f"/v1/knowledge/documents/{document['_id']}")).json()
    assert (after["version"], after["status"]) == (document["version"] + 1, "pending")


async def test_no_group_moves_below_itself(owner: Caller) -> None:
    top, middle, low = await _make_chain(owner, 3)
    for group, parent in ((top, top), (top, low), (middle, low), (owner.group_id, top)):
        answer = await _move(owner, group, parent)
        assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body.parentGroupId")
    assert await _ids(owner, f"/v1/groups/{low}/path") == [owner.group_id, top, middle, low]


async def test_moves_that_would_close_a_ring_together_do_not_both_happen(owner: Caller) -> None:
    for _ in range(5):
        left, right = await _make_group(owner), await _make_group(owner)
        answers = await asyncio.gather(_move(owner, left, right), _move(owner, right, left))
        assert sorted(answer.status_code for answer in answers) == [200, 400]


async def test_a_group_never_moves_deeper_than_ten_levels_with_what_lies_below_it(owner: Caller) -> None:
    deep = await _make_chain(owner, DEPTH_MAX - 2)
    group, _ = await _make_chain(owner, 2)
    answer = await _move(owner, group, deep[-1])
    assert answer.status_code == 200, answer.text
    third, _, _ = await _make_chain(owner, 3)
    answer = await _move(owner, third, deep[-1])
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body.parentGroupId")


async def test_a_key_moves_only_within_its_reach(api: Program, owner: Caller) -> None:
    mine, other = await _make_group(owner), await _make_group(owner)
    low, side = await _make_group(owner, mine), await _make_group(owner, mine)
    holder = await api.issue(owner, group_id=mine)
    for group, parent in ((low, other), (other, low), (low, owner.group_id)):
        assert (await _move(holder, group, parent)).json()["code"] == "not_found"
    assert (await _move(holder, low, side)).status_code == 200


async def test_archiving_takes_the_subtree_and_its_keys_on_the_next_request(api: Program, owner: Caller) -> None:
    top, middle, low = await _make_chain(owner, 3)
    beside = await _make_group(owner)
    keys = [await api.issue(owner, group_id=group) for group in (top, middle, low)]
    outside = await api.issue(owner, group_id=beside)
    for key in (*keys, outside):
        assert (await key.get("/v1/whoami")).status_code == 200
    await _archive(owner, top)
    for key in keys:
        answer = await key.get("/v1/whoami")
        assert (answer.status_code, answer.json()["code"]) == (403, "group_archived")
    assert (await outside.get("/v1/whoami")).status_code == 200
    assert {row["_id"] for row in await owner.all_rows("/v1/groups", status="archived")} == {top, middle, low}
    for group in (top, middle, low):
        (event,) = (await owner.get("/v1/events", params={"targetId": group, "type": "thing_deleted"})).json()["data"]
        assert (event["metadata"]["action"], event["metadata"]["deletionType"]) == ("archived", "soft")
    for method, path, body in (
        ("POST", "/v1/entities", {"type": "course", "name": "Late", "groupId": low}),
        ("POST", "/v1/groups", {"name": "Late", "parentGroupId": middle}),
        ("PATCH", f"/v1/groups/{low}", {"name": "Late"}),
        ("PUT", f"/v1/groups/{beside}/parent", {"parentGroupId": low}),
        ("PUT", f"/v1/groups/{low}/parent", {"parentGroupId": beside}),
    ):
        assert (await owner.call(method, path, json=body)).json()["code"] == "group_archived", path


async def test_archiving_twice_is_one_change(owner: Caller) -> None:
    group = await _make_group(owner)
    await _archive(owner, group)
    await _archive(owner, group)
    events = (await owner.get("/v1/events", params={"targetId": group, "type": "thing_deleted"})).json()["data"]
    assert len(events) == 1


async def test_restoring_brings_back_one_group_below_an_active_parent(api: Program, owner: Caller) -> None:
    top, low = await _make_chain(owner, 2)
    top_key, low_key = await api.issue(owner, group_id=top), await api.issue(owner, group_id=low)
    await _archive(owner, top)
    refused = await owner.post(f"/v1/groups/{low}/restore", None)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert top in refused.json()["errors"][0]["fix"]
    assert (await top_key.get("/v1/whoami")).status_code == 403
    restored = await owner.post(f"/v1/groups/{top}/restore", None)
    assert (restored.json()["status"], restored.json()["archivedAt"]) == ("active", None)
    assert (await top_key.get("/v1/whoami")).status_code == 200
    assert (await low_key.get("/v1/whoami")).status_code == 403
    assert (await owner.post(f"/v1/groups/{low}/restore", None)).status_code == 200
    assert (await low_key.get("/v1/whoami")).status_code == 200
    again = await owner.post(f"/v1/groups/{low}/restore", None)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_the_organisation_itself_stays(owner: Caller) -> None:
    answer = await owner.delete(f"/v1/groups/{owner.group_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await owner.get("/v1/whoami")).status_code == 200


async def test_only_live_sub_groups_count_and_moving_costs_none(api: Program) -> None:
    owner = await api.register(plan=Plan.STARTER)
    maximum = PLAN_LIMITS[Plan.STARTER].sub_groups_max or 0
    groups = [await _make_group(owner) for _ in range(maximum)]
    assert (await owner.post("/v1/groups", {"name": "One more"})).json()["code"] == "quota_exceeded"
    (event,) = (await owner.get("/v1/events", params={"type": "quota_exceeded"})).json()["data"]
    assert event["metadata"] == {"keyId": owner.key_id, "limitType": "groups", "attempted": 1}
    assert (await _move(owner, groups[0], groups[1])).status_code == 200
    await _archive(owner, groups[1])
    for _ in range(2):
        await _make_group(owner)
    refused = await owner.post(f"/v1/groups/{groups[1]}/restore", None)
    assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")


async def test_quota_of_sub_groups_is_exact_under_fifty_parallel_creates(api: Program) -> None:
    owner = await api.register(plan=Plan.STARTER)
    maximum = PLAN_LIMITS[Plan.STARTER].sub_groups_max
    answers = await asyncio.gather(*(owner.post("/v1/groups", {"name": f"Group {n}"}) for n in range(50)))
    codes = [answer.status_code for answer in answers]
    assert codes.count(201) == maximum
    assert codes.count(403) == 50 - codes.count(201)
    assert len(await owner.all_rows("/v1/groups", limit="100")) == (maximum or 0) + 1


async def test_statistics_of_a_group_and_of_its_subtree(api: Program, owner: Caller) -> None:
    top, low = await _make_chain(owner, 2)
    first, second = await owner.make_thing(groupId=top), await owner.make_thing(groupId=top)
    gone = await owner.make_thing(groupId=low)
    await owner.make_thing(groupId=low)
    await owner.delete(f"/v1/entities/{gone['_id']}")
    ends = {"fromId": first["_id"], "toId": second["_id"]}
    await owner.make("/v1/connections", relationshipType="part_of", groupId=top, **ends)
    await owner.make("/v1/knowledge/documents", title="Page", text="text", groupId=low)
    await api.issue(owner, group_id=top)  # a managed thing, which does not count
    holder = await api.issue(owner, group_id=top)

    async def count(caller: Caller, group: str, **query: str) -> dict[str, Any]:
        answer = await caller.get(f"/v1/groups/{group}/statistics", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    alone = await count(holder, top)
    names = ("members", "entities", "connections", "knowledge", "subGroups")
    assert [alone[name] for name in names] == [0, 2, 1, 0, 1]
    whole = await count(holder, top, subtree="true")
    assert [whole[name] for name in names] == [0, 3, 1, 1, 1]
    listed = await owner.all_rows("/v1/events", groupId=top)
    assert alone["events"] == len([event for event in listed if event["type"] != "api_request_made"])
    assert whole["events"] > alone["events"]
    root = await count(owner, owner.group_id, subtree="true")
    assert (root["members"], root["subGroups"]) == (1, 2)
    await _archive(owner, low)
    assert (await count(owner, top))["subGroups"] == 0


async def test_groups_are_found_by_part_of_name_or_slug_type_and_status(owner: Caller) -> None:
    north = await _make_group(owner, slug="north-branch", type="business")
    other = (await owner.make("/v1/groups", name="100% NORTHERN", type="community"))["_id"]
    await _make_group(owner)
    assert set(await _ids(owner, "/v1/groups?q=north")) == {north, other}
    assert await _ids(owner, "/v1/groups?q=NORTH&type=business") == [north]
    assert await _ids(owner, "/v1/groups?q=0%25") == [other]
    assert await _ids(owner, "/v1/groups?q=_") == []
    assert (await owner.get("/v1/groups?type=bussiness")).json()["code"] == "unknown_type"
    await _archive(owner, north)
    assert await _ids(owner, "/v1/groups?q=north&status=active") == [other]


async def test_archiving_needs_its_own_scope(api: Program, owner: Caller) -> None:
    group = await _make_group(owner)
    writer = await api.issue(owner, Scope.GROUPS_WRITE)
    assert (await writer.delete(f"/v1/groups/{group}")).json()["code"] == "insufficient_scope"
