"""No caller stores, or asks for at once, more than the program can hold for it."""

from typing import Any

import pytest

from ontology import pagination
from tests.program import Caller

LONG = {"x": "x" * 64_000}


async def test_patches_add_up_to_no_more_than_one_body_holds(owner: Caller) -> None:
    path = f"/v1/entities/{(await owner.make_thing())['_id']}"
    first, second = [await owner.call("PATCH", path, json={"properties": {name: "x" * 600_000}}) for name in "ab"]
    assert (first.status_code, second.status_code) == (200, 400)
    assert second.json()["errors"][0]["location"] == "body.properties"
    assert set((await owner.get(path)).json()["properties"]) == {"a"}


async def test_metadata_is_short(owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North", metadata={"a": "x" * 40_000})
    ends = {"fromId": (await owner.make_thing())["_id"], "toId": (await owner.make_thing())["_id"]}
    calls: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/v1/connections", {"relationshipType": "part_of", "metadata": LONG} | ends, "body.metadata"),
        ("POST", "/v1/events", {"type": "content_event", "metadata": LONG}, "body.metadata"),
        ("POST", "/v1/groups", {"name": "South", "settings": LONG}, "body.settings"),
        ("PATCH", f"/v1/groups/{group['_id']}", {"metadata": {"b": "x" * 40_000}}, "body.metadata"),
    ]
    for method, path, body, place in calls:
        refused = await owner.call(method, path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["location"]) == (400, place), path


@pytest.mark.parametrize("query", ["limit=1000", "limit=1000&sort=name", "limit=101&order=asc"])
async def test_a_long_page_ends_before_it_is_too_large(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(pagination, "PAGE_BYTES_MAX", 2_500)
    items = [
        {"type": "note", "name": f"n{size}", "properties": {"text": "x" * size}} for size in (1_000, 9_000, 900, 1)
    ]
    answer = (await owner.post("/v1/entities/batch", {"items": items})).json()
    made = {item["entity"]["_id"] for item in answer["data"]}
    rows, pages, cursor = list[str](), list[int](), ""
    while cursor is not None:
        page = (await owner.get(f"/v1/entities?{query}{cursor and f'&cursor={cursor}'}")).json()
        rows += [row["_id"] for row in page["data"]]
        pages.append(len(page["data"]))
        cursor = page["pagination"]["nextCursor"]
    assert (set(rows), len(rows)) == (made, 4)
    assert 1 < max(pages) < 4
