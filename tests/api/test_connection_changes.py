"""Connections change in place: patches merge, PUT makes exactly one, and validity decides what holds when."""

import asyncio
from typing import Any

import pytest

from tests.program import Caller


async def _ends(owner: Caller) -> dict[str, str]:
    first, second = [await owner.make_thing(name) for name in ("a", "b")]
    return {"fromId": first["_id"], "toId": second["_id"]}


async def _make(owner: Caller, **more: Any) -> dict[str, Any]:
    return await owner.make("/v1/connections", relationshipType="part_of", **(await _ends(owner)), **more)


async def test_a_patch_merges_and_null_takes_away(owner: Caller) -> None:
    made = await _make(owner, metadata={"order": 1, "note": "x"}, strength=0.5, validFrom=1_000_000_000_000)
    path = f"/v1/connections/{made['_id']}"
    first = (await owner.call("PATCH", path, json={"metadata": {"order": 2, "note": None}, "strength": 1})).json()
    assert (first["metadata"], first["strength"], first["validFrom"]) == ({"order": 2}, 1, 1_000_000_000_000)
    second = (
        await owner.call("PATCH", path, json={"strength": None, "validFrom": None, "validTo": "2030-01-01"})
    ).json()
    assert (second["strength"], second["validFrom"], second["metadata"]) == (None, None, {"order": 2})
    assert second["validTo"] == 1_893_456_000_000
    assert (await owner.get(path)).json() == second
    events = await owner.all_rows("/v1/events", targetId=made["_id"], type="thing_updated")
    assert [e["metadata"]["thingType"] for e in events] == ["connection"] * 2


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        ({"strength": 1.1}, 400, "body.strength"),
        ({"strength": -0.1}, 400, "body.strength"),
        ({"metadata": None}, 400, "body.metadata"),
        ({"fromId": "x"}, 400, "body.fromId"),
        ({"validFrom": 1_200_000_000_000}, 400, "body.validTo"),
    ],
)
async def test_a_patch_that_does_not_fit_changes_nothing(
    owner: Caller, body: dict[str, Any], status: int, place: str
) -> None:
    made = await _make(owner, validTo=1_100_000_000_000)
    refused = await owner.call("PATCH", f"/v1/connections/{made['_id']}", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (status, place)
    assert (await owner.get(f"/v1/connections/{made['_id']}")).json() == made


async def test_a_deleted_connection_cannot_be_patched(owner: Caller) -> None:
    made = await _make(owner)
    await owner.delete(f"/v1/connections/{made['_id']}")
    assert (await owner.call("PATCH", f"/v1/connections/{made['_id']}", json={})).json()["code"] == "conflict"


async def test_parallel_puts_make_one_connection(owner: Caller) -> None:
    body = {"relationshipType": "part_of"} | await _ends(owner)
    calls = [owner.call("PUT", "/v1/connections", json=body | {"metadata": {"order": n}}) for n in range(8)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    (row,) = await owner.all_rows("/v1/connections", relationshipType="part_of")
    assert {answer.json()["_id"] for answer in answers} == {row["_id"]}
    replaced = (await owner.call("PUT", "/v1/connections", json=body | {"strength": 0.5})).json()
    assert (replaced["_id"], replaced["metadata"], replaced["strength"]) == (row["_id"], {}, 0.5)


async def test_a_put_after_a_deletion_connects_anew(owner: Caller) -> None:
    made = await _make(owner)
    await owner.delete(f"/v1/connections/{made['_id']}")
    body = {name: made[name] for name in ("relationshipType", "fromId", "toId")}
    again = await owner.call("PUT", "/v1/connections", json=body)
    assert (again.status_code, again.json()["_id"] != made["_id"]) == (200, True)


async def test_a_type_that_repeats_is_not_put(owner: Caller) -> None:
    buyer = await owner.make("/v1/entities", type="audience_member", name="Ada")
    body = {"relationshipType": "purchased", "fromId": buyer["_id"], "toId": (await owner.make_thing())["_id"]}
    for _ in range(2):
        await owner.make("/v1/connections", **body)
    assert len(await owner.all_rows("/v1/connections", relationshipType="purchased")) == 2
    refused = await owner.call("PUT", "/v1/connections", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_connection")


async def test_lists_tell_what_holds_when(owner: Caller) -> None:
    past, future = {"validTo": 1_000_000_000_000}, {"validFrom": 4_000_000_000_000}
    always, gone, coming = [(await _make(owner, **more))["_id"] for more in ({}, past, future)]
    for query, expected in (
        ({"validity": "active"}, {always}),
        ({"validity": "expired"}, {gone}),
        ({"validity": "future"}, {coming}),
        ({"activeAt": "999999999999"}, {always, gone}),
        ({"activeAt": "1000000000000"}, {always}),
        ({"activeAt": "4000000000000"}, {always, coming}),
        ({}, {always, gone, coming}),
    ):
        rows = await owner.all_rows("/v1/connections", relationshipType="part_of", **query)
        assert {row["_id"] for row in rows} == expected, query


async def test_a_list_by_either_end_finds_both_directions(owner: Caller) -> None:
    made = await _make(owner)
    third = await owner.make_thing("c")
    other = await owner.make("/v1/connections", relationshipType="part_of", fromId=made["toId"], toId=third["_id"])
    for end, expected in ((made["fromId"], {made["_id"]}), (made["toId"], {made["_id"], other["_id"]})):
        assert {row["_id"] for row in await owner.all_rows("/v1/connections", endId=end)} == expected
