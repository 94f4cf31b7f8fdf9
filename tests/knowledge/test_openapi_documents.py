"""What is read from an OpenAPI document, and what becomes of one that is none."""

import itertools
import json
from time import process_time
from typing import Any

import pytest

from knowledge.endpoint_texts import endpoint_fields, endpoint_texts, endpoint_words
from knowledge.openapi_documents import (
    OpenApiInvalid,
    count_operations,
    parse_openapi,
    read_errors,
    read_operations,
)
from knowledge.openapi_parts import REFERENCE_CHARACTERS_MAX

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
                "responses": {"default": {"$ref": "#/components/responses/Missing"}},
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


def test_every_operation_has_an_entry_of_its_own() -> None:
    """Behind a reference, of any method, called by the API itself, under an id that another has, and without one."""
    hook = {"post": {"summary": "It changed"}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "paths": {
            "/a": {"get": {"operationId": "same"}, "head": {}, "trace": {}},
            "/b": {"$ref": "#/components/pathItems/B"},
            "/c": {"post": {"callbacks": {"one": {"{$url}": hook}, "two": {"{$url}": hook}}}},
        },
        "webhooks": {"freed": {"post": {"operationId": "bayFreed"}}},
        "components": {"pathItems": {"B": {"put": {"operationId": "same"}}}},
    }
    assert [(found.external_id, found.details["path"]) for found in read_operations(document)] == [
        ("same", "/a"),
        ("HEAD /a", "/a"),
        ("TRACE /a", "/a"),
        ("PUT /b", "/b"),
        ("POST /c", "/c"),
        ("POST {$url}", "{$url}"),
        ("POST {$url} (2)", "{$url}"),
        ("bayFreed", "freed"),
    ]
    assert count_operations(document) == 8


def test_an_endpoint_is_embedded_by_what_it_does_what_it_takes_and_its_name() -> None:
    update, _ = read_operations(PETS)
    does, twice, takes, short = endpoint_texts(update.title, update.details)
    assert does == twice == "Pets: update pet. pets by pet id. Change a pet."
    assert (takes, short) == ("update pet pet id, name, owner", "update pet")
    weights = dict(endpoint_fields(update.title, update.details))
    assert weights["updatePet"] > weights["Change a pet."] > weights["petId name owner"]


def test_an_endpoint_is_found_by_the_words_of_its_parameters_and_answers() -> None:
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "paths": {
            "/pets": {
                "get": {
                    "operationId": "listPets",
                    "tags": ["Animals"],
                    "parameters": [
                        {"name": "fur", "in": "query", "description": "Its colour", "schema": {"enum": ["tabby"]}},
                        {"name": "X-Trace", "in": "header", "description": "For the log"},
                    ],
                    "responses": {
                        "200": {
                            "description": "A page of pets",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pets"}}},
                        },
                        "404": {"description": "Missing"},
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "Pets": {"properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}},
                "Pet": {"properties": {"owner": {"description": "Who feeds it"}, "friend": {"$ref": "#/x"}}},
            }
        },
    }
    (listing,) = read_operations(document)
    assert listing.details["reference"] == "Animals Its colour tabby A page of pets Who feeds it"
    words = endpoint_words(listing.title, listing.details)
    assert words.startswith("list pets. pets") and words.endswith("Who feeds it")
    assert not any("colour" in text for text in endpoint_texts(listing.title, listing.details))


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


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"openapi": "3.1.0", "paths": }', "line 1, column 31"),
        ("openapi: 3.1.0\npaths: [\n", "line 3, column 1"),
        ("a: &x [1]\nb: *x\n", "line 2: aliases"),
        ("a: &a [x]\n" + "\n".join(f"{c}: &{c} [*a, *a]" for c in "bcdefgh"), "line 2: aliases"),
        ("{" * 200_000, "line 1, column 2"),
        ("a: " + "[" * 200_000, "maximum nesting depth"),
        ('{"openapi": "3.1.0", "x": ' + "[" * 90_000 + "]" * 90_000 + "}", "nested deeper"),
        ('{"openapi": "3.1.0", "x": ' + "[" * 150 + "]" * 150 + "}", "nested deeper"),
        ("openapi: 3.0", "`/openapi`"),
        ('{"openapi": "3.1.0", "paths": {"/a": 1}}', "`/paths/~1a`"),
        ('{"openapi": "3.1.0", "paths": {"/a": {"get": []}}}', "`/paths/~1a/get`"),
        ('{"openapi": "3.1.0", "x": "\\ud800"}', "surrogate"),
        ('{"openapi": "3.1.0", "\\u0000": 1}', "NUL"),
        ('{"openapi": "3.1.0", "x": ' + "9" * 5000 + "}", "number too long"),
        ("x:\n" + "".join(" " * n + "x:\n" for n in range(1, 200)), "line 101: is nested deeper"),
        ("x: 2020-99-99", "neither"),
        ("[1]", "not an object"),
    ],
    ids=itertools.count(),
)
def test_a_refusal_names_the_place(text: str, place: str) -> None:
    with pytest.raises(OpenApiInvalid) as refusal:
        parse_openapi(text)
    assert place in str(refusal.value)


def test_a_part_that_is_referred_to_from_everywhere_is_read_once() -> None:
    """What would be a thousand million fields, or a gigabyte of text, when each reference were followed."""
    large = {"allOf": [{"$ref": "#/components/schemas/Large"}] * 1000, "properties": {f"f{n}": {} for n in range(99)}}
    operation = {
        "description": "x" * 300_000,
        "parameters": [{"name": "q", "description": "y" * 300_000}],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Large"}}}},
        "responses": {"400": {"$ref": "#/components/responses/Bad"}},
    }
    examples = {f"e{n}": {"value": {"code": f"c{n}", "message": "m"}} for n in range(500)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "paths": {"/0": {"get": operation}} | {f"/{n}": {"$ref": "#/paths/~10"} for n in range(1, 2000)},
        "components": {
            "schemas": {"Large": large},
            "responses": {"Bad": {"content": {"application/json": {"examples": examples}}}},
        },
    }
    began = process_time()
    found = list(read_operations(document))
    assert len(found) == 2000 and sum(len(one.text) for one in found) < 12_000_000
    assert all(len(one.details["reference"]) <= REFERENCE_CHARACTERS_MAX for one in found)
    assert len(list(read_errors(document))) == 500
    assert process_time() - began < 20


def test_schemas_of_errors_become_errors() -> None:
    document = {
        "components": {
            "schemas": {
                "PaymentError": {
                    "description": "Paying failed.",
                    "properties": {"code": {"enum": ["card_declined", "no_funds"]}, "message": {}},
                },
                "RateLimitProblem": {"description": "Too many calls."},
                "Order": {"properties": {"code": {"enum": ["A", "B"]}}},
            }
        }
    }
    found = {error.external_id: error for error in read_errors(document)}
    assert set(found) == {"card_declined", "no_funds", "RateLimitProblem"}
    assert found["card_declined"].title == "Card declined"
    assert "Paying failed." in found["no_funds"].text
