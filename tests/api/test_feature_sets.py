"""Feature sets: their types are there for who has switched them on, from the next call of every key on."""

import asyncio
from typing import Any

import httpx
import pytest

from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, FEATURE_SETS, THING_TYPES
from tests.program import Caller, Program

FEATURES = "/v1/ontology/features"
ORDER = {"type": "order", "name": "No. 1", "properties": {"orderNumber": "1", "status": "new"}}


async def switch(caller: Caller, **features: bool) -> httpx.Response:
    return await caller.call("PATCH", FEATURES, json={"features": features})


async def switch_all_on(caller: Caller) -> None:
    assert (await switch(caller, **dict.fromkeys(FEATURE_SETS, True))).status_code == 200


async def features_of(caller: Caller) -> dict[str, bool]:
    return (await caller.get(FEATURES)).json()["features"]


def is_refused(answer: httpx.Response, place: str, feature: str) -> bool:
    problem = answer.json()
    assert problem.get("code") == "feature_disabled", answer.text
    (flaw,) = problem["errors"]
    return (answer.status_code, flaw["location"]) == (403, place) and f"`{feature}`" in flaw["message"]


async def test_all_are_off_to_begin_with_and_stay_as_they_were_left(api: Program, owner: Caller) -> None:
    assert await features_of(owner) == dict.fromkeys(FEATURE_SETS, False)
    answer = await switch(owner, shop=True, blog=True)
    assert answer.status_code == 200
    assert answer.json() == {"features": dict.fromkeys(FEATURE_SETS, False) | {"shop": True, "blog": True}}
    assert (await switch(owner, blog=False)).json()["features"] == await features_of(owner)
    assert [name for name, on in (await features_of(owner)).items() if on] == ["shop"]
    assert not any((await features_of(await api.register())).values())


@pytest.mark.parametrize("query", ["", "?dryRun=false"], ids=["short way", "with a query"])
@pytest.mark.parametrize("key", [None, "attempt"], ids=["plain", "idempotent"])
async def test_an_entity_of_a_set_is_refused_until_it_is_on_and_again_when_it_is_off(
    owner: Caller, key: str | None, query: str
) -> None:
    async def create(attempt: int) -> httpx.Response:
        headers = {"Idempotency-Key": f"{key}-{attempt}"} if key else {}
        return await owner.post(f"/v1/entities{query}", ORDER, headers=headers)

    assert is_refused(await create(1), "body.type", "shop")
    await switch(owner, shop=True)
    assert (await create(2)).status_code == 201
    await switch(owner, shop=False)
    assert is_refused(await create(3), "body.type", "shop")


async def test_every_type_of_every_set_can_be_written_when_all_are_on(owner: Caller) -> None:
    await switch_all_on(owner)
    names = [kind.name for kind in THING_TYPES.values() if kind.feature]
    answer = await owner.post("/v1/entities/batch", {"items": [{"type": name, "name": name} for name in names]})
    assert [item["status"] for item in answer.json()["data"]] == [201] * len(names)
    events = [kind.name for kind in EVENT_TYPES.values() if kind.feature]
    made = await owner.post("/v1/events/batch", {"events": [{"type": name} for name in events]})
    assert [event["type"] for event in made.json()["data"]] == events


@pytest.mark.parametrize("name", [kind.name for kind in CONNECTION_TYPES.values() if kind.feature])
async def test_a_connection_of_a_set_joins_what_it_says(owner: Caller, name: str) -> None:
    await switch_all_on(owner)

    async def make_end(types: frozenset[str]) -> str:
        """Where it may be who signs in, also somebody whom the organisation stores."""
        return (await owner.make("/v1/entities", type=min(types), name="End"))["_id"]

    kind = CONNECTION_TYPES[name]
    ends = {"fromId": await make_end(kind.sources), "toId": await make_end(kind.targets)}
    made = await owner.make("/v1/connections", relationshipType=name, **ends)
    assert (made["relationshipType"], made["fromId"], made["toId"]) == (name, ends["fromId"], ends["toId"])


async def test_a_batch_refuses_just_the_items_of_a_set_that_is_off(owner: Caller) -> None:
    items = [ORDER, {"type": "course", "name": "Botany"}, {"type": "task", "name": "Water the plants"}]
    answer = (await owner.post("/v1/entities/batch", {"items": items})).json()
    assert [item["status"] for item in answer["data"]] == [403, 201, 403]
    assert [answer["data"][place]["problem"]["code"] for place in (0, 2)] == ["feature_disabled"] * 2
    refused = await owner.post("/v1/entities/batch", {"items": items, "atomic": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_disabled")
    assert [flaw["location"] for flaw in refused.json()["errors"]] == ["body.items[0].type", "body.items[2].type"]


async def test_connections_and_events_of_a_set_that_is_off_are_refused_with_their_place(owner: Caller) -> None:
    one, other = await owner.make_thing(), await owner.make_thing()
    ends = {"relationshipType": "depends_on", "fromId": one["_id"], "toId": other["_id"]}
    for method in ("POST", "PUT"):
        answer = await owner.call(method, "/v1/connections", json=ends)
        assert is_refused(answer, "body.relationshipType", "workflow"), method
    assert is_refused(await owner.post("/v1/events", {"type": "order_placed"}), "body.type", "shop")
    both = {"events": [{"type": "course_enrolled"}, {"type": "task_completed"}]}
    assert is_refused(await owner.post("/v1/events/batch", both), "body.events[1].type", "workflow")
    assert await owner.all_rows("/v1/events", type="course_enrolled") == []


async def test_what_there_is_can_be_read_changed_and_deleted_when_its_set_is_off(owner: Caller) -> None:
    await switch(owner, shop=True, workflow=True)
    order = await owner.make("/v1/entities", **ORDER)
    first, second = [await owner.make("/v1/entities", type="task", name=name) for name in ("Dig", "Sow")]
    ends = {"relationshipType": "depends_on", "fromId": second["_id"], "toId": first["_id"]}
    connection = await owner.make("/v1/connections", **ends)
    event = await owner.make("/v1/events", type="order_placed", targetId=order["_id"])
    await switch(owner, shop=False, workflow=False)

    path = f"/v1/entities/{order['_id']}"
    assert (await owner.get(path)).json() == order
    assert await owner.all_rows("/v1/entities", type="order") == [order]
    assert await owner.all_rows("/v1/connections", relationshipType="depends_on") == [connection]
    assert await owner.all_rows("/v1/events", type="order_placed") == [event]
    assert (await owner.call("PATCH", path, json={"name": "No. 2"})).json()["name"] == "No. 2"
    wrong = await owner.call("PATCH", path, json={"properties": {"items": "none"}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_properties")
    assert (await owner.call("PUT", path, json={"name": "No. 3"})).status_code == 200
    assert (await owner.delete(path)).status_code == 200
    assert (await owner.call("POST", f"{path}/restore")).status_code == 200
    assert (await owner.delete(f"/v1/connections/{connection['_id']}")).status_code == 200


async def test_the_registry_says_what_is_on_and_counts_rows(owner: Caller) -> None:
    before = (await owner.get("/v1/ontology")).json()
    await switch(owner, shop=True)
    await owner.make("/v1/entities", **ORDER)
    after = (await owner.get("/v1/ontology")).json()
    (shop,) = [found for found in after["featureSets"] if found["enabled"]]
    assert shop["name"] == "shop" and "order" in shop["thingTypes"]
    for name, count in after["counts"].items():
        enabled = {kind["name"] for kind in after[name] if kind["enabled"]}
        assert enabled - {kind["name"] for kind in before[name] if kind["enabled"]} == set(shop[name])
        assert count - before["counts"][name] == len(shop[name])
    types = (await owner.get("/v1/ontology/types", params={"counts": "true"})).json()["data"]
    found = {about["name"]: (about["feature"], about["enabled"], about["count"]) for about in types}
    assert found["order"] == ("shop", True, 1)
    assert found["task"] == ("workflow", False, 0)
    assert found["course"] == (None, True, 0)


async def test_a_switch_is_an_event_of_the_organisation_and_none_if_it_changes_nothing(owner: Caller) -> None:
    for _ in range(2):
        await switch(owner, tokens=True)
    events = await owner.all_rows("/v1/events", targetId=owner.group_id, type="thing_updated")
    (told,) = [event["metadata"] for event in events if "featureSets" in event["metadata"].get("changes", {})]
    assert told["changes"] == {"featureSets": ["tokens"]}
    assert told["previousValues"] == {"featureSets": []}


async def test_parallel_switches_lose_nothing(owner: Caller) -> None:
    answers = await asyncio.gather(*(switch(owner, **{name: True}) for name in FEATURE_SETS))
    assert {answer.status_code for answer in answers} == {200}
    assert all((await features_of(owner)).values())


async def test_only_who_administers_the_whole_organisation_switches(api: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    below = await api.issue(owner, group_id=group["_id"])
    assert (await switch(below, shop=True)).status_code == 404
    weak = await api.issue(owner, Scope.ENTITIES_WRITE, Scope.GROUPS_READ)
    refused = await switch(weak, shop=True)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert not any((await features_of(below)).values())
    await switch(owner, shop=True)
    assert (await features_of(below))["shop"] and (await features_of(weak))["shop"]
    assert (await below.post("/v1/entities", ORDER)).status_code == 201


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"features": {"shops": True}}, "body.features.shops"),
        ({"features": {"shop": "on"}}, "body.features.shop"),
        ({"features": {"shop": None}}, "body.features.shop"),
        ({"features": {}}, "body.features"),
        ({}, "body.features"),
        ({"shop": True}, "body.shop"),
    ],
)
async def test_a_wrong_switch_is_told_with_its_place(owner: Caller, body: Any, place: str) -> None:
    answer = await owner.call("PATCH", FEATURES, json=body)
    assert answer.status_code == 400
    assert place in [flaw["location"] for flaw in answer.json()["errors"]]
    assert not any((await features_of(owner)).values())
