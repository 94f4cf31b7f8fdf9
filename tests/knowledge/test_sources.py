"""What the platform knows about itself is read from where it is defined."""

from pathlib import Path
from typing import Any

import pytest

from knowledge.markdown import PageInvalid
from knowledge.openapi_documents import read_operations
from knowledge.sources import read_platform
from ontology.errors import ExpiredApiKey, NotFound

OPENAPI: dict[str, Any] = {
    "paths": {
        "/v1/groups/{groupId}/children": {
            "get": {
                "operationId": "listGroupChildren",
                "summary": "List sub-groups",
                "description": "The groups directly below one.",
                "parameters": [
                    {"name": "groupId", "in": "path"},
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "X-Request-Id", "in": "header"},
                ],
            }
        },
        "/v1/groups": {
            "post": {
                "operationId": "createGroup",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}}},
            }
        },
    },
    "components": {
        "parameters": {"Limit": {"name": "limit", "in": "query"}},
        "schemas": {"New": {"properties": {"name": {}, "parentGroupId": {}}}},
    },
}


def write(directory: Path, name: str, matter: str, text: str = "Some text.") -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{matter}\n---\n{text}\n")


def test_operations_become_documents_with_path_words_and_parameters() -> None:
    children, create = read_operations(OPENAPI)
    assert (children.kind, children.external_id, children.url) == (
        "endpoint",
        "listGroupChildren",
        "/reference/listGroupChildren",
    )
    assert "groups by group id children" in children.text
    assert "Parameters: groupId, limit." in children.text
    assert create.title == "createGroup" and "Parameters: name, parentGroupId." in create.text
    assert create.details["method"] == "POST"


def test_pages_errors_and_operations_are_read_once_each(tmp_path: Path) -> None:
    write(tmp_path, "index.md", "title: Start")
    write(tmp_path, "guides/index.md", "title: Guides")
    write(tmp_path, "guides/keys.md", "title: Keys\naliases: [rotate]")
    write(tmp_path, "errors/expired_api_key.md", "title: Expired\nkind: error")
    documents = read_platform(tmp_path, [ExpiredApiKey, NotFound], OPENAPI)
    by_id = {document.external_id: document for document in documents}
    assert len(by_id) == len(documents) == 7
    assert (by_id["index"].url, by_id["guides"].url) == ("/docs", "/docs/guides")
    assert by_id["guides/keys"].details["aliases"] == ["rotate"]
    assert by_id["expired_api_key"].details["message"].startswith(ExpiredApiKey.title)
    assert by_id["not_found"].kind == "error" and NotFound.advice in by_id["not_found"].text


def test_a_page_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "guides/broken.md", "title: 3")
    with pytest.raises(PageInvalid, match=r"guides/broken\.md"):
        read_platform(tmp_path, [], {})
