"""What is read from an OpenAPI document, and what becomes of one that is none."""

import json
from typing import Any

import pytest

from knowledge.endpoint_texts import endpoint_fields, endpoint_texts
from knowledge.openapi_documents import OpenApiInvalid, parse_openapi, read_errors, read_operations

PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets"},
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"name": "petId", "in": "path"}],
            "patch": {
                "operationId": "updatePet",
                "description": "Change a pet.",
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object"}]}
                        }
                    }
                },
                "responses": {"404": {"$ref": "#/components/responses/Missing"}},
            },
        },
        "/pets": {"get": {"summary": "All pets"}},
    },
    "components": {
        "schemas": {"Pet": {"properties": {"name": {}, "owner": {}}}},
        "responses": {
            "Missing": {
                "description": "No such pet",
                "content": {
                    "application/json": {"example": {"code": "pet_missing", "message": "There is no such pet."}}
                },
            }
        },
    },
}


def test_an_operation_carries_its_parameters_through_references_and_compositions() -> None:
    update, listing = read_operations(PETS)
    assert update.details["parameters"] == ["petId", "name", "owner"]
    assert (update.details["api"], update.details["method"], update.details["path"]) == (
        "Pets",
        "PATCH",
        "/pets/{petId}",
    )
    assert listing.external_id == "GET /pets" and listing.title == "All pets"


def test_an_endpoint_is_embedded_by_what_it_does_what_it_takes_and_its_name() -> None:
    update, _ = read_operations(PETS)
    does, twice, takes, short = endpoint_texts(update.title, update.details)
    assert does == twice == "Pets: update pet. pets by pet id. Change a pet."
    assert (takes, short) == ("update pet pet id, name, owner", "update pet")
    weights = dict(endpoint_fields(update.title, update.details))
    assert weights["updatePet"] > weights["Change a pet."] > weights["petId name owner"]


def test_an_error_in_an_example_becomes_a_document_once() -> None:
    (missing,) = read_errors(PETS)
    assert (missing.kind, missing.external_id) == ("error", "pet_missing")
    assert missing.details["message"] == "There is no such pet"


def test_json_and_yaml_are_read_alike() -> None:
    assert parse_openapi(json.dumps(PETS)) == PETS
    assert parse_openapi("openapi: 3.0.3\ninfo: {title: T}\npaths: {}")["info"] == {"title": "T"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "swagger: '2.0'",
        "openapi: 2.0",
        '{"openapi": "3.1.0", "paths": []}',
        "a: &a [1]\nb: *a",
        "!!python/x y",
    ],
)
def test_what_is_no_openapi_document_is_refused(text: str) -> None:
    with pytest.raises(OpenApiInvalid):
        parse_openapi(text)


@pytest.mark.parametrize("broken", [None, 3, [], "x", {"get": 3}, {"get": {"parameters": 3, "requestBody": []}}])
def test_a_broken_part_spoils_no_other(broken: Any) -> None:
    document = {**PETS, "paths": {"/broken": broken, **PETS["paths"]}}
    assert {"updatePet", "GET /pets"} <= {source.external_id for source in read_operations(document)}
    assert list(read_errors(document))


def test_a_circular_reference_ends() -> None:
    document = {**PETS, "components": {"schemas": {"Pet": {"$ref": "#/components/schemas/Pet"}}}}
    assert len(list(read_operations(document))) == 2
