"""Walks along connections: bounded, cycle-safe, honest about what they leave out, and never past the walls."""

from itertools import pairwise
from typing import Any

import pytest

from ontology.ids import encode_id, new_id
from ontology.scopes import Scope
from tests.program import Caller, Program


async def _join(owner: Caller, first: dict[str, Any], second: dict[str, Any], **more: Any) -> dict[str, Any]:
    ends = {"fromId": first["_id"], "toId": second["_id"]}
    return await owner.make("/v1/connections", **({"relationshipType": "part_of"} | ends | more))


async def _walk(owner: Caller, start: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await owner.post("/v1/connections/traverse", {"startId": start["_id"]} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _depths(graph: dict[str, Any]) -> dict[str, int]:
    return {node["name"]: node["depth"] for node in graph["nodes"]}


async def _chain(owner: Caller, *names: str) -> list[dict[str, Any]]:
    things = [await owner.make_thing(name) for name in names]
    for first, second in pairwise(things):
        await _join(owner, first, second)
    return things


async def test_a_walk_reaches_as_far_as_it_says(owner: Caller) -> None:
    things = await _chain(owner, "a", "b", "c", "d", "e", "f", "g")
    for depth in (1, 3, 5):
        expected = {name: number for number, name in enumerate("abcdefg") if number <= depth}
        assert _depths(await _walk(owner, things[0], direction="out", depth=depth)) == expected
    assert _depths(await _walk(owner, things[2], direction="in", depth=5)) == {"c": 0, "b": 1, "a": 2}
    assert _depths(await _walk(owner, things[2], depth=1)) == {"c": 0, "b": 1, "d": 1}


async def test_a_cycle_is_walked_once(owner: Caller) -> None:
    things = await _chain(owner, "a", "b", "c")
    await _join(owner, things[2], things[0])
    graph = await _walk(owner, things[0], depth=5)
    assert _depths(graph) == {"a": 0, "b": 1, "c": 1}
    assert len(graph["edges"]) == len({edge["_id"] for edge in graph["edges"]}) == 3


async def test_the_limit_bounds_a_walk_and_the_answer_says_so(owner: Caller) -> None:
    hub, *leaves = [await owner.make_thing(str(number)) for number in range(6)]
    for leaf in leaves:
        await _join(owner, hub, leaf)
    for limit, truncated in ((4, True), (5, False), (10_000, False)):
        graph = await _walk(owner, hub, limit=limit, depth=5)
        assert (len(graph["edges"]), graph["truncated"]) == (min(limit, 5), truncated)
    near = (await owner.get(f"/v1/entities/{hub['_id']}/neighbours", params={"limit": "2"})).json()
    assert (len(near["edges"]), len(near["nodes"]), near["truncated"]) == (2, 3, True)


async def test_a_walk_follows_only_what_was_asked_for(owner: Caller) -> None:
    a, b, c, d = [await owner.make_thing(name) for name in "abcd"]
    await _join(owner, a, b)
    await _join(owner, a, c, relationshipType="references", validFrom=1_000_000_000_000, validTo=1_100_000_000_000)
    gone = await _join(owner, a, d)
    await owner.delete(f"/v1/connections/{gone['_id']}")
    assert set(_depths(await _walk(owner, a))) == {"a", "b", "c"}
    assert set(_depths(await _walk(owner, a, relationshipTypes=["references"]))) == {"a", "c"}
    assert set(_depths(await _walk(owner, a, activeAt=1_050_000_000_000))) == {"a", "b", "c"}
    assert set(_depths(await _walk(owner, a, activeAt=1_100_000_000_000))) == {"a", "b"}
    path = f"/v1/entities/{a['_id']}/neighbours"
    for query, names in (
        ({"relationshipType": "references"}, {"a", "c"}),
        ({"direction": "in"}, {"a"}),
        ({"activeAt": "2020-01-01"}, {"a", "b"}),
    ):
        assert set(_depths((await owner.get(path, params=query)).json())) == names


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"depth": 6}, 400),
        ({"depth": 0}, 400),
        ({"limit": 10_001}, 400),
        ({"direction": "up"}, 400),
        ({"relationshipTypes": ["part-of"]}, 422),
        ({"startId": encode_id("thing", new_id())}, 404),
        ({"startId": encode_id("group", new_id())}, 404),
        ({"startId": encode_id("event", new_id())}, 400),
    ],
)
async def test_a_walk_that_cannot_be_is_refused(owner: Caller, body: dict[str, Any], status: int) -> None:
    start = await owner.make_thing()
    assert (await owner.post("/v1/connections/traverse", {"startId": start["_id"]} | body)).status_code == status


async def test_a_walk_begins_at_groups_and_people_too(owner: Caller) -> None:
    graph = await _walk(owner, {"_id": owner.group_id}, relationshipTypes=["member_of"])
    assert [(node["kind"], node["depth"]) for node in graph["nodes"]] == [("group", 0), ("person", 1)]
    member = graph["nodes"][1]
    graph = await _walk(owner, member, relationshipTypes=["member_of"])
    assert [(node["kind"], node["depth"]) for node in graph["nodes"]] == [("person", 0), ("group", 1)]


async def test_names_are_told_only_to_keys_that_may_read_them(api: Program, owner: Caller) -> None:
    things = await _chain(owner, "a", "b")
    key = await api.issue(owner, Scope.CONNECTIONS_READ)
    graph = await _walk(key, things[0])
    assert [(node["type"], node["name"]) for node in graph["nodes"]] == [(None, None)] * 2
    assert [node["_id"] for node in graph["nodes"]] == [thing["_id"] for thing in things]


async def test_the_names_of_keys_are_told_only_to_who_manages_keys(api: Program, owner: Caller) -> None:
    (person,) = await owner.all_rows("/v1/people")
    narrow = await api.issue(owner, Scope.CONNECTIONS_READ, Scope.ENTITIES_READ)
    for caller, names in ((owner, {"Further key"}), (narrow, {None})):
        graph = await _walk(caller, person, relationshipTypes=["owns_api_key"], direction="out")
        assert {node["name"] for node in graph["nodes"] if node["_id"] == narrow.key_id} == names


async def test_a_walk_ends_at_the_edge_of_reach(api: Program, owner: Caller) -> None:
    """Within reach: here. Beyond it: sibling, and by way of it something that is within reach again."""
    north, south = [await owner.make("/v1/groups", name=name) for name in ("North", "South")]
    here, there = [await owner.make_thing(name, groupId=north["_id"]) for name in ("here", "there")]
    secret = await owner.make_thing("secret", groupId=south["_id"])
    await _join(owner, here, secret, groupId=north["_id"])
    await _join(owner, secret, there, groupId=south["_id"])
    key = await api.issue(owner, group_id=north["_id"])
    assert set(_depths(await _walk(owner, here, depth=3))) == {"here", "secret", "there"}
    graph = await _walk(key, here, depth=3)
    assert (set(_depths(graph)), graph["edges"], graph["truncated"]) == ({"here"}, [], False)
    assert secret["_id"] not in str(graph)
    assert (await key.post("/v1/connections/traverse", {"startId": secret["_id"]})).status_code == 404
    assert (await key.get(f"/v1/entities/{secret['_id']}/neighbours")).status_code == 404
