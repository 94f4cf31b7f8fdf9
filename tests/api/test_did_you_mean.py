"""A refusal of a name or value that is not known says which known ones were probably meant."""

import time
from typing import Any

import pytest

from api.flaws import ASKED_ITEMS_MAX, ASKED_MAX
from tests.program import Caller


async def flaws_of(answer: Any) -> dict[str, list[str] | None]:
    """What each place of a refusal offers; None where it offers nothing."""
    assert answer.status_code in (400, 422), answer.text
    return {flaw["location"]: flaw.get("did_you_mean") for flaw in answer.json()["errors"]}


async def test_an_unknown_field_is_asked_for_by_the_names_of_its_object(owner: Caller) -> None:
    body = {"tpye": "course", "name": "Botany", "group_id": owner.group_id, "zzz": 1}
    found = await flaws_of(await owner.post("/v1/entities", body))
    assert found == {
        "body.type": None,
        "body.tpye": ["type"],
        "body.group_id": ["groupId"],
        "body.zzz": None,
    }


async def test_a_field_within_a_field_is_asked_for_by_the_names_there(owner: Caller) -> None:
    body = {"name": "Shop", "preset": "read-only", "rateLimit": {"per_minute": 5}}
    found = await flaws_of(await owner.post("/v1/api-keys", body))
    assert found["body.rateLimit.per_minute"] == ["requestsPerMinute"]


@pytest.mark.parametrize(
    ("path", "place", "meant"),
    [
        ("/v1/entities?limt=5", "query.limt", "limit"),
        ("/v1/entities?include_deleted=true", "query.include_deleted", "includeDeleted"),
        ("/v1/entities?order=descending", "query.order", "desc"),
        ("/v1/entities?sort=updated_at", "query.sort", "updatedAt"),
        ("/v1/entities?type=corse", "query.type", "course"),
        ("/v1/entities?type=Customer", "query.type", "audience_member"),
        ("/v1/connections?relationshipType=enroled_in", "query.relationshipType", "enrolled_in"),
        ("/v1/events?type=thing_craeted", "query.type", "thing_created"),
        ("/v1/ontology/types?dimension=thngs", "query.dimension", "things"),
        ("/v1/ontology/types?name=corse", "query.name", "course"),
    ],
)
async def test_a_query_is_asked_for_what_was_meant(owner: Caller, path: str, place: str, meant: str) -> None:
    answer = await owner.get(path)
    found = await flaws_of(answer)
    assert (found[place] or [])[:1] == [meant], answer.text
    assert f"`{meant}`" in answer.json()["errors"][0]["fix"]


async def test_scopes_and_types_of_a_body_are_asked_for(owner: Caller) -> None:
    body = {"name": "Shop", "scopes": ["entities:raed", "quota:view", "entity:write"]}
    found = await flaws_of(await owner.post("/v1/api-keys", body))
    assert {place: (near or [])[:1] for place, near in found.items()} == {
        "body.scopes[0]": ["entities:read"],
        "body.scopes[2]": ["entities:write"],
    }
    thing = await owner.make_thing()
    body = {"fromId": thing["_id"], "toId": thing["_id"], "relationshipType": "membr_of"}
    assert (await flaws_of(await owner.post("/v1/connections", body)))["body.relationshipType"] == ["member_of"]
    body = {"type": "thing_craeted"}
    assert ((await flaws_of(await owner.post("/v1/events", body)))["body.type"] or [])[0] == "thing_created"
    body = {"name": "North", "type": "comunity"}
    assert (await flaws_of(await owner.post("/v1/groups", body)))["body.type"] == ["community"]


async def test_a_property_of_a_closed_list_is_asked_for(owner: Caller) -> None:
    body = {"type": "strategy_agent", "name": "Ada", "properties": {"agentType": "Enginering"}}
    found = await flaws_of(await owner.post("/v1/entities", body))
    assert (found["body.properties.agentType"] or [])[0] == "engineering"


async def test_items_of_a_batch_are_asked_for_each_by_its_own_kind(owner: Caller) -> None:
    items = [
        {"type": "corse", "name": "Botany"},
        {"naem": "Botany", "type": "course"},
        {"operation": "update", "_id": owner.group_id, "propertis": {}},
    ]
    data = (await owner.post("/v1/entities/batch", {"items": items})).json()["data"]
    found = [{flaw["location"]: flaw.get("did_you_mean") for flaw in result["problem"]["errors"]} for result in data]
    assert found[0] == {"body.type": ["course"]}
    assert found[1]["body.naem"] == ["name"]
    assert (found[2]["body.propertis"] or [])[0] == "properties"
    refused = await owner.post("/v1/entities/batch", {"items": items[:1], "atomic": True})
    assert await flaws_of(refused) == {"body.items[0].type": ["course"]}


async def test_a_body_of_unknown_names_is_refused_without_delay(owner: Caller) -> None:
    """Every flaw is named, and of the first few what was meant: asking is quadratic in nothing the caller decides."""
    unknown = {f"name{number}": 1 for number in range(20_000)}
    started = time.process_time()
    answer = await owner.post("/v1/entities", {"type": "course", "name": "Botany"} | unknown)
    seconds = time.process_time() - started
    flaws = answer.json()["errors"]
    assert len(flaws) == len(unknown)
    assert sum("did_you_mean" in flaw for flaw in flaws) == ASKED_MAX
    items = [{f"nam{number}{inner}": 1 for inner in range(20)} for number in range(1000)]
    data = (await owner.post("/v1/entities/batch", {"items": items})).json()["data"]
    asked = [any("did_you_mean" in flaw for flaw in result["problem"]["errors"]) for result in data]
    assert sum(asked) == ASKED_ITEMS_MAX
    assert seconds < 5
