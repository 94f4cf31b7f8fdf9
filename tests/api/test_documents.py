"""Documents: put, batched, listed and refused one by one; what is equal already is left alone."""

import json
from typing import Any

import pytest

from ontology.ids import encode_id, new_id
from ontology.scopes import Scope
from tests.program import Caller, Program

DOCUMENTS = "/v1/knowledge/documents"


def _page(name: str = "refunds.md", **more: Any) -> dict[str, Any]:
    return {"title": "Refunds", "text": "# Refunds\n\nWithin 14 days.", "externalId": name} | more


async def _put(owner: Caller, **more: Any) -> dict[str, Any]:
    answer = await owner.call("PUT", DOCUMENTS, json=_page(**more))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _events(owner: Caller) -> list[str]:
    found = await owner.all_rows("/v1/events")
    return [event["type"] for event in found if event["metadata"].get("thingType") == "knowledge"]


async def test_a_document_is_created_replaced_and_left_alone_under_its_name(owner: Caller) -> None:
    first = await _put(owner)
    assert (first["version"], first["status"], first["specificationId"]) == (1, "pending", None)
    assert await _put(owner) == first
    second = await _put(owner, text="Within 30 days.", labels=["topic:money"])
    assert (second["_id"], second["version"], second["labels"]) == (first["_id"], 2, ["topic:money"])
    assert second["updatedAt"] >= first["updatedAt"]
    assert await _events(owner) == ["thing_updated", "thing_created"]
    read = (await owner.get(f"{DOCUMENTS}/{first['_id']}")).json()
    assert read == second | {"text": "Within 30 days."}
    assert (await owner.post(DOCUMENTS, _page())).status_code == 409
    deleted = await owner.delete(f"{DOCUMENTS}/{first['_id']}")
    assert deleted.json()["deletedAt"] is not None
    assert (await _put(owner))["_id"] != first["_id"]


async def test_names_are_of_one_group(owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="Below")
    here, below = await _put(owner), await _put(owner, groupId=group["_id"])
    assert here["_id"] != below["_id"]
    foreign = await owner.call("PUT", DOCUMENTS, json=_page(groupId=encode_id("group", new_id())))
    assert foreign.status_code == 404


async def test_each_document_of_a_batch_is_answered_on_its_own(api: Program, owner: Caller) -> None:
    stranger = await api.register()
    await _put(owner, name="same")
    await _put(owner, name="old")
    items: list[Any] = [
        _page("new"),
        _page("same"),
        _page("old", text="changed"),
        _page("bad", format="openapi", text='{"openapi": "3.1.0", "paths": []}'),
        _page("odd", colour="red"),
        "not an object",
        _page("foreign", groupId=stranger.group_id),
        {"title": "Nameless", "text": "x"},
        _page("new", text="twice in one batch"),
    ]
    answer = await owner.post(f"{DOCUMENTS}/batch", {"items": items})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [entry["index"] for entry in data] == list(range(9))
    assert [(entry["status"], entry.get("change")) for entry in data] == [
        (201, "created"),
        (200, "unchanged"),
        (200, "replaced"),
        (422, None),
        (400, None),
        (400, None),
        (404, None),
        (201, "created"),
        (200, "replaced"),
    ]
    assert answer.json()["summary"] == {"total": 9, "success": 5, "failed": 4}
    places = [data[index]["problem"]["errors"][0]["location"] for index in (3, 4)]
    assert places == ["body.text", "body.colour"]
    stored = {row["externalId"]: row["version"] for row in await owner.all_rows(DOCUMENTS)}
    assert stored == {"new": 2, "same": 1, "old": 2, None: 1}
    assert await stranger.all_rows(DOCUMENTS) == []


async def test_a_thousand_documents_fit_a_batch_and_one_more_does_not(owner: Caller) -> None:
    items = [{"title": f"Page {n}", "text": f"Text {n}", "externalId": f"{n}"} for n in range(1001)]
    answer = await owner.post(f"{DOCUMENTS}/batch", {"items": items[:1000]})
    assert answer.json()["summary"] == {"total": 1000, "success": 1000, "failed": 0}
    again = await owner.post(f"{DOCUMENTS}/batch", {"items": items[:1000]})
    assert {entry["change"] for entry in again.json()["data"]} == {"unchanged"}
    assert (await owner.post(f"{DOCUMENTS}/batch", {"items": items})).status_code == 400


async def test_lists_are_filtered(owner: Caller) -> None:
    page = await _put(owner, name="page", labels=["a", "b"])
    error = await _put(owner, name="error", kind="error", labels=["b"], format="html", text="<p>x</p>")
    for query, expected in (
        ({"label": "b"}, [error, page]),
        ({"label": "a"}, [page]),
        ({"kind": "error"}, [error]),
        ({"format": "markdown"}, [page]),
        ({"status": "pending"}, [error, page]),
        ({"status": "indexed"}, []),
        ({"externalId": "page"}, [page]),
        ({"specificationId": page["_id"]}, []),
    ):
        assert await owner.all_rows(DOCUMENTS, **query) == expected, query
    first = await owner.get(DOCUMENTS, params={"limit": "1"})
    rest = {"limit": "1", "cursor": first.json()["pagination"]["nextCursor"]}
    assert (await owner.get(DOCUMENTS, params=rest)).json()["data"] == [page]
    assert (await owner.get(DOCUMENTS, params=rest | {"label": "b"})).json()["code"] == "invalid_cursor"
    unknown = await owner.get(DOCUMENTS, params={"specificationId": encode_id("knowledge", new_id())})
    assert unknown.status_code == 404


BOMB = "a: &a [x]\n" + "\n".join(f"{after}: &{after} [{f'*{before}, ' * 9}]" for before, after in ("ab", "bc", "cd"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openapi: 3.1.0\npaths: [", "at line 3, column 1"),
        (BOMB, "at line 2: aliases"),
        ("[" * 100_000, "maximum nesting depth"),
        ('{"openapi": "3.1.0", "paths": {"/a": {"get": 1}}}', "`/paths/~1a/get`"),
        (json.dumps({"openapi": "3.1.0", "paths": {f"/{n}": {"get": {}} for n in range(2001)}}), "2001 operations"),
    ],
    ids=["unfinished", "aliases", "nesting", "shape", "operations"],
)
async def test_an_openapi_document_that_cannot_be_read_is_refused_with_its_place(
    owner: Caller, text: str, told: str
) -> None:
    answer = await owner.call("PUT", DOCUMENTS, json=_page(format="openapi", text=text))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_document")
    (flaw,) = answer.json()["errors"]
    assert flaw["location"] == "body.text" and told in flaw["message"]


async def test_documents_have_a_length(owner: Caller) -> None:
    for more in ({"text": "x" * 400_001}, {"text": "<p>" * 133_334, "format": "html"}):
        answer = await owner.call("PUT", DOCUMENTS, json=_page(**more))
        assert answer.json()["code"] == "invalid_document"
    large = {"openapi": "3.1.0", "info": {"description": "x" * 500_000}, "paths": {}}
    assert (await _put(owner, format="openapi", text=json.dumps(large)))["version"] == 1


async def test_writing_documents_takes_the_scope(api: Program, owner: Caller) -> None:
    reader = await api.issue(owner, Scope.KNOWLEDGE_READ)
    assert (await reader.call("PUT", DOCUMENTS, json=_page())).status_code == 403
    assert (await reader.post(f"{DOCUMENTS}/batch", {"items": [_page()]})).status_code == 403
