"""Searching through the API: every field of a hit, and every way to narrow the search."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.test_asking import Knowing, knowing_program
from tests.parts import Parts
from tests.program import Caller

FIELDS = {
    *("kind", "documentId", "externalId", "title", "headingPath", "url", "text", "highlights", "score"),
    *("method", "path", "operationId"),
}
# Long enough for a passage of each section.
GUIDE = "\n\n".join(
    [
        "# Refunds",
        "## Courses\n\nA course is refunded within 14 days. "
        + " ".join(f"Whoever has seen lesson {number} of it gets the rest back." for number in range(40)),
        "## Vouchers\n\nA voucher is refunded within a year. "
        + " ".join(f"Shipping in zone {number} is not, since it was used when it came." for number in range(40)),
    ]
)
SHOP = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/refunds/{orderId}": {
            "post": {
                "operationId": "refundOrder",
                "summary": "Refund an order",
                "parameters": [{"name": "orderId", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "The refund."}},
            }
        }
    },
}


@pytest.fixture(scope="module")
async def knowing(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Knowing]:
    with parts.new_database() as database:
        async with knowing_program(parts, database, tmp_path_factory.mktemp("search")) as made:
            yield made


@pytest.fixture
async def owner(knowing: Knowing) -> Caller:
    """With a guide, a note on one kind of refund, an error and an OpenAPI document of its own."""
    caller = await knowing.program.register()
    for made in (
        {"title": "Refunds", "text": GUIDE, "externalId": "guides/refunds", "labels": ["shop", "2026"]},
        {"title": "Refunds of old orders", "text": "Orders of 2019 are refunded by post.", "labels": ["2019", "shop"]},
        {"title": "refund_refused", "text": "The refund was refused.", "kind": "error", "externalId": "refund_refused"},
        {"title": "Shop", "text": json.dumps(SHOP), "format": "openapi", "labels": ["shop"]},
    ):
        await caller.make("/v1/knowledge/documents", url="/help/refunds", **made)
    await knowing.index()
    return caller


async def search(caller: Caller, query: str, **more: Any) -> list[dict[str, Any]]:
    answer = await caller.post("/v1/knowledge/search", {"query": query} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_hit_has_every_field(owner: Caller) -> None:
    (hit,) = await search(owner, "when is a voucher refunded", labels=["2026"])
    assert hit.keys() == FIELDS
    assert (hit["kind"], hit["externalId"], hit["title"]) == ("page", "guides/refunds", "Refunds")
    assert hit["headingPath"][-1] == "Vouchers"
    assert hit["url"].startswith("/help/refunds") and "within a year" in hit["text"]
    assert hit["documentId"].startswith("knowledge_") and 0 < hit["score"] <= 1.5
    assert any("voucher" in part.lower() for part in hit["highlights"])
    assert (hit["method"], hit["path"], hit["operationId"]) == (None, None, None)
    (endpoint,) = await search(owner, "refund an order", kinds=["endpoint"], labels=["shop"])
    assert endpoint.keys() == FIELDS
    assert (endpoint["method"], endpoint["path"]) == ("POST", "/refunds/{orderId}")
    assert endpoint["operationId"] == "refundOrder"


async def test_labels_narrow_to_documents_that_carry_each_of_them(owner: Caller) -> None:
    assert {hit["title"] for hit in await search(owner, "refunds", labels=["shop", "2019"])} == {
        "Refunds of old orders"
    }
    assert await search(owner, "refunds", labels=["shop", "nothing"]) == []
    kinds = {hit["kind"] for hit in await search(owner, "refunds", labels=["shop"])}
    assert kinds == {"page", "endpoint"}
    assert (await owner.post("/v1/knowledge/search", {"query": "x", "labels": ["a"] * 21})).status_code == 400


async def test_labels_that_change_are_searched_by_at_once(knowing: Knowing, owner: Caller) -> None:
    made = {"title": "Refunds", "text": GUIDE, "externalId": "guides/refunds", "labels": ["2027"]}
    assert (await owner.call("PUT", "/v1/knowledge/documents", json=made)).status_code == 200
    await knowing.index()
    assert [hit["title"] for hit in await search(owner, "refunds", labels=["2027"])] == ["Refunds"]
    assert await search(owner, "refunds", labels=["2026"]) == []


async def test_passages_are_hits_of_their_own_where_asked_for(owner: Caller) -> None:
    documents = await search(owner, "refunded within", labels=["2026"])
    passages = await search(owner, "refunded within", labels=["2026"], groupBy="passage")
    assert len(documents) == 1
    assert len(passages) > 1
    assert {hit["documentId"] for hit in passages} == {documents[0]["documentId"]}
    assert len({hit["text"] for hit in passages}) == len(passages)
    scores = [hit["score"] for hit in passages]
    assert scores == sorted(scores, reverse=True)
    vouchers = await search(owner, "when is a voucher refunded", labels=["2026"], groupBy="passage")
    assert vouchers[0]["headingPath"][-1] == "Vouchers"
    everything = await search(owner, "refunds", groupBy="passage", limit=50)
    assert len(everything) > len(await search(owner, "refunds", limit=50)) > 1
    named = await search(owner, "refund_refused", groupBy="passage")
    assert named[0]["externalId"] == "refund_refused"


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_no_more_hits_than_asked_for(owner: Caller, limit: int) -> None:
    for way in ("document", "passage"):
        assert 0 < len(await search(owner, "how do I refund or rotate", limit=limit, groupBy=way)) <= limit


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"limit": 51}, "body.limit"),
        ({"limit": 0}, "body.limit"),
        ({"groupBy": "page"}, "body.groupBy"),
        ({"kinds": ["pages"]}, "body.kinds[0]"),
        ({"labels": [" "]}, "body.labels[0]"),
        ({"query": " "}, "body.query"),
    ],
)
async def test_what_cannot_be_searched_by_is_named(owner: Caller, wrong: dict[str, Any], place: str) -> None:
    refused = await owner.post("/v1/knowledge/search", {"query": "refunds"} | wrong)
    assert refused.status_code == 400
    assert [flaw["location"] for flaw in refused.json()["errors"]] == [place]


async def test_a_group_narrows_to_its_documents_and_those_below(knowing: Knowing, owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    made = await owner.make("/v1/knowledge/documents", title="Refunds", text=GUIDE, groupId=north["_id"])
    await knowing.index()
    assert [hit["documentId"] for hit in await search(owner, "refunds", groupId=north["_id"])] == [made["_id"]]
    stranger = await knowing.program.register()
    foreign = await stranger.post("/v1/knowledge/search", {"query": "refunds", "groupId": north["_id"]})
    assert foreign.status_code == 404
    assert all(hit["externalId"] != "guides/refunds" for hit in await search(stranger, "refunds", labels=["shop"]))
