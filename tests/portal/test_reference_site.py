"""The reference is made for operations of every kind, those to come included."""

from typing import Any

import pytest

from portal import reference_site
from portal.reference_site import FIELD_DEPTH_MAX, find_operation, list_groups

URL = "http://reference.test"
DEEP: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Deep"}}}


def _operation(name: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"operationId": name, "tags": ["Odd"], "summary": name, "description": f"{name}.", "x-required-scope": None}
    return about | {"responses": answer} | more


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document with answers without a body, streams, lists as bodies, and a tag nobody described."""
    ndjson = {"content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": '{"a": 1}\n{"a": 2}'}}}
    batch = {
        "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}}}
    }
    paths = {
        "/v1/odd": {
            "delete": _operation("dropAll", {"204": {"description": "Done."}}),
            "get": _operation("exportAll", {"200": ndjson}),
            "post": _operation("makeMany", {"201": batch}, requestBody=batch),
        }
    }
    row = {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"anyOf": [{"enum": ["a", "b"], "type": "string"}, {"type": "null"}]},
            "at": {"type": "integer", "format": "int64"},
            "ownerId": {"type": "string", "pattern": "^(thing|person)_[0-7][0-9a-z]{25}$"},
            "deep": {"$ref": "#/components/schemas/Deep"},
        },
    }
    document = {"tags": [], "paths": paths, "components": {"schemas": {"Row": row, "Deep": DEEP}}}
    monkeypatch.setattr(reference_site, "openapi_document", lambda _: document)
    find_operation.cache_clear()


@pytest.mark.usefixtures("odd")
def test_answers_without_json_are_shown_as_they_are() -> None:
    dropped, exported = find_operation(URL, "dropAll"), find_operation(URL, "exportAll")
    assert dropped is not None
    assert (dropped.answer.status, dropped.answer.example) == (204, None)
    assert exported is not None
    assert exported.answer.media_type == "application/x-ndjson"
    assert exported.answer.example == '{"a": 1}\n{"a": 2}'


@pytest.mark.usefixtures("odd")
def test_fields_of_rows_in_a_list_are_described_and_circles_end() -> None:
    made = find_operation(URL, "makeMany")
    assert made is not None
    kind, at, owner, deep = made.body_fields
    assert (kind.choices, kind.required) == (("a", "b"), True)
    assert (at.type, owner.type) == ("time in ms", "thing or person id")
    depth = 0
    while deep.fields:
        deep, depth = deep.fields[0], depth + 1
    assert depth == FIELD_DEPTH_MAX - 1


@pytest.mark.usefixtures("odd")
def test_only_the_group_being_read_is_open() -> None:
    (group,) = list_groups(URL, "exportAll")
    assert (group.name, group.anchor, group.current) == ("Odd", "odd", True)
    assert [link.id for link in group.operations if link.current] == ["exportAll"]
    assert not list_groups(URL, "")[0].current
