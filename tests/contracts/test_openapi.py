"""The OpenAPI document is valid, complete and true: examples fit their schemas, and the program answers as it says."""

import re
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from itertools import combinations
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from jsonschema_rs import ValidationError

from api.field_descriptions import COMMON_FIELDS, FIELDS
from api.openapi_answers import list_errors
from api.operations import Operation, find_operations
from api.routes import operation_handlers
from ontology.connections import ENDPOINTS as CONNECTION_ENDPOINTS
from ontology.errors import PortalError, list_error_classes
from ontology.scopes import Scope
from ontology.things import ENDPOINTS as THING_ENDPOINTS
from portal.child_process import PROJECT_DIR
from tests.contracts.isolation_ground import LeakyIndex
from tests.contracts.isolation_requests import DOCUMENT, attempts, fill, operations, own_ids, stream_rows
from tests.parts import Parts
from tests.program import Caller, Program, running_program

OPERATIONS = {about.id: about for about in find_operations(operation_handlers)}
DESCRIBED = {about["operationId"]: about for _, _, about in operations()}
EVERY_OPERATION = pytest.mark.parametrize("name", sorted(DESCRIBED))
REFUSALS_OF_ALL = {"400", "401", "403", "414", "429", "500", "503"}
NUMBER, TEXT = r"\d+", r'"[a-z-]+"'


@pytest.fixture(scope="module")
async def program(
    parts: Parts, module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Program]:
    """With a search index that answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portal.app.KnowledgeClient", lambda _: LeakyIndex(parts.superuser_url(module_database)))
        settings = parts.settings(module_database, tmp_path_factory.mktemp("api"), PUBLIC_URL="http://one.test")
        async with running_program(settings) as program:
            yield program


@pytest.fixture(scope="module")
async def owner(program: Program) -> Caller:
    return await program.register()


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole | {"allOf": [schema]}, validate_formats=True)


def _media(about: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every content of an operation: of its request and of each answer."""
    for media_type, content in about.get("requestBody", {}).get("content", {}).items():
        yield f"request {media_type}", content
    for status, answer in about["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            yield f"{status} {media_type}", content


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(deepcopy(DOCUMENT)).validate()


def test_a_document_that_is_not_openapi_would_be_refused() -> None:
    broken = deepcopy(DOCUMENT)
    next(iter(broken["paths"].values()))["get"]["responses"] = ["not an object"]
    with pytest.raises(ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


async def test_the_program_serves_this_document(program: Program) -> None:
    answer = await program.client.get("/openapi.json")
    assert answer.json() == DOCUMENT


def test_every_operation_is_described_once() -> None:
    names = [about["operationId"] for _, _, about in operations()]
    assert len(names) == len(set(names))
    assert set(names) == set(OPERATIONS)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)


def test_every_reference_leads_somewhere() -> None:
    found = list(_references(DOCUMENT))
    assert found
    for reference in found:
        target: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_every_schema_and_field_is_described() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, about in schema.get("properties", {}).items():
            assert "$ref" in about or about.get("description"), f"{name}.{field}"
        for field in schema.get("required", []):
            assert field in schema["properties"], f"{name}.{field}"


def test_every_description_of_a_field_is_in_use() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    shown = {
        f"{name}.{field}": about.get("description")
        for name, schema in schemas.items()
        for field, about in schema.get("properties", {}).items()
    }
    assert {place: shown.get(place) for place in FIELDS} == FIELDS
    used = {(place.rpartition(".")[2], text) for place, text in shown.items()}
    assert set(COMMON_FIELDS.items()) <= used


def test_every_component_is_used() -> None:
    used = set(_references(DOCUMENT))
    for kind in ("headers", "schemas"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used


def test_the_document_says_whose_it_is_and_where() -> None:
    assert DOCUMENT["info"]["contact"]["url"] and DOCUMENT["info"]["license"]["identifier"]
    assert all(server["url"] and server["description"] for server in DOCUMENT["servers"])
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    for topic in ("Scope and cost", "Lists", "Refusals", "Versions"):
        assert topic in DOCUMENT["info"]["description"]


@EVERY_OPERATION
def test_every_operation_says_what_it_does_and_needs(name: str) -> None:
    about = DESCRIBED[name]
    assert about["summary"] and len(about["summary"]) < 80
    assert about["description"].endswith(".")
    assert about["tags"] and set(about["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert about["security"] == [{"apiKey": []}]
    assert about["x-cost"] >= 1
    assert about["x-required-scope"] is None or about["x-required-scope"] in set(Scope)
    for parameter in about.get("parameters", []):
        assert parameter["description"], parameter["name"]


@EVERY_OPERATION
def test_every_example_fits_its_schema(name: str) -> None:
    about = DESCRIBED[name]
    found = 0
    for place, content in _media(about):
        validator = _validator(content["schema"])
        if content["schema"].get("format") == "binary":  # bytes, which no JSON can show
            continue
        assert content["examples"], place
        for example in content["examples"].values():
            errors = [f"{place}: {error.message}" for error in validator.iter_errors(example["value"])]
            assert errors == []
            found += 1
    for parameter in about.get("parameters", []):
        if "example" in parameter:
            assert _validator(parameter["schema"]).is_valid(parameter["example"]), parameter["name"]
        for example in parameter["schema"].get("examples", []):
            assert _validator(parameter["schema"]).is_valid(example), parameter["name"]
    assert found > len(REFUSALS_OF_ALL)


@EVERY_OPERATION
def test_every_refusal_of_an_operation_is_documented_with_an_example(name: str) -> None:
    about = DESCRIBED[name]
    assert set(about["responses"]) >= REFUSALS_OF_ALL
    by_status: dict[str, set[str]] = {}
    for error in list_errors(OPERATIONS[name]):
        by_status.setdefault(str(error.status), set()).add(error.code)
    for status, codes in by_status.items():
        content = about["responses"][status]["content"]
        assert set(content) == {"application/problem+json"}
        assert set(content["application/problem+json"]["examples"]) == codes
        assert all(f"`{code}`" in about["responses"][status]["description"] for code in codes)
    assert ("Retry-After" in about["responses"]["429"]["headers"]) and (
        "Retry-After" in about["responses"]["503"]["headers"]
    )


def test_every_object_a_request_may_hold_is_closed() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if name.endswith(("Create", "Update")) or name in ("SearchRequest", "RateLimit"):
            assert schema["additionalProperties"] is False, name


@EVERY_OPERATION
async def test_the_example_of_a_request_succeeds_as_documented(owner: Caller, name: str) -> None:
    ids = await own_ids(owner, owner.group_id, name)
    answer = await fill(attempts()[name], ids).send(owner)
    status = str(OPERATIONS[name].status)
    assert str(answer.status_code) == status, answer.text
    described = DESCRIBED[name]["responses"][status]
    content = described["content"][answer.headers["content-type"].partition(";")[0]]
    value = answer.text if OPERATIONS[name].shape == "stream" else answer.json()
    assert [error.message for error in _validator(content["schema"]).iter_errors(value)] == []
    for header in described["headers"]:
        assert header in ("Idempotent-Replayed", "Dry-Run") or header in answer.headers


@EVERY_OPERATION
async def test_no_answer_shows_a_field_that_is_not_documented(owner: Caller, name: str) -> None:
    """Objects are compared with the properties their schema names, at every depth that has a schema of its own."""
    ids = await own_ids(owner, owner.group_id, name)
    answer = await fill(attempts()[name], ids).send(owner)
    status = str(OPERATIONS[name].status)
    if OPERATIONS[name].shape == "stream":
        for row in stream_rows(answer):
            assert list(_undocumented(row, {"$ref": "#/components/schemas/Event"})) == []
        return
    schema = DESCRIBED[name]["responses"][status]["content"]["application/json"]["schema"]
    assert list(_undocumented(answer.json(), schema)) == []


def _undocumented(value: Any, schema: dict[str, Any], place: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, dict) and "properties" in schema:
        for name, item in value.items():
            if name not in schema["properties"]:
                yield f"{place}.{name}"
            else:
                yield from _undocumented(item, schema["properties"][name], f"{place}.{name}")
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _undocumented(item, schema["items"], f"{place}[]")


@EVERY_OPERATION
async def test_every_operation_refuses_without_a_key_and_without_its_scope(
    program: Program, owner: Caller, name: str
) -> None:
    attempt = fill(attempts()[name], await own_ids(owner, owner.group_id, name))
    bare = await program.client.request(attempt.method, attempt.path, params=attempt.query, json=attempt.body)
    assert (bare.status_code, bare.json()["code"]) == (401, "missing_api_key")
    scope = OPERATIONS[name].scope
    if scope is None:
        return
    others = [other for other in Scope if other.value.split(":")[0] != scope.value.split(":")[0]]
    refused = await attempt.send(await program.issue(owner, *others))
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["errors"][0]["location"] == "header.Authorization"
    assert scope.value in refused.json()["detail"]
    for problem in (bare, refused):
        described = DESCRIBED[name]["responses"][str(problem.status_code)]
        content = described["content"]["application/problem+json"]
        assert [error.message for error in _validator(content["schema"]).iter_errors(problem.json())] == []


@EVERY_OPERATION
async def test_every_operation_is_allowed_with_its_scope_alone(program: Program, owner: Caller, name: str) -> None:
    operation: Operation = OPERATIONS[name]
    ids = await own_ids(owner, owner.group_id, name)
    caller = await program.issue(owner, operation.scope or Scope.QUOTA_VIEW)
    answer = await fill(attempts()[name], ids).send(caller)
    if name == "createApiKey":
        # It makes a key with the scopes of `read-only` that it has itself: none, which is no key at all.
        assert answer.status_code in (201, 403), answer.text
    elif name in (
        *("revokeApiKey", "updateApiKey", "rotateApiKey"),
        *("createInvitation", "cancelInvitation", "updatePerson", "removePerson"),
    ):
        # They touch a key or a role that may do more than this one scope.
        assert answer.json()["code"] == "privilege_escalation"
    else:
        assert answer.is_success, answer.text


@EVERY_OPERATION
async def test_an_id_of_another_kind_is_refused_before_any_query(owner: Caller, name: str) -> None:
    operation = OPERATIONS[name]
    for parameter, kind in operation.path_ids.items():
        wrong = ("group" if kind != "group" else "thing") + "_01jd8kq3v5e9ra7t2m4xw6yz0c"
        for value in (wrong, "x", f"{kind}_", f"{kind}_8" + "z" * 25, f"{kind}_" + "I" * 26):
            attempt = attempts()[name]
            path = attempt.path.replace(f"{{{parameter}}}", value)
            options = {"json": attempt.body} if attempt.body is not None else {}
            answer = await owner.call(attempt.method, path, **options)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id"), value
            assert answer.json()["errors"][0]["location"] == f"path.{parameter}"


def test_the_common_refusals_are_all_documented_classes() -> None:
    for name, operation in OPERATIONS.items():
        for error in list_errors(operation):
            assert issubclass(error, PortalError), name


def test_no_address_fits_two_paths() -> None:
    """Where each of two paths has a parameter in the other's fixed part, neither is the more exact one."""
    paths = [path.split("/") for path in DOCUMENT["paths"]]
    for one, other in combinations(paths, 2):
        pairs = [(a, b) for a, b in zip(one, other, strict=False) if a != b and len(one) == len(other)]
        meets = all(a.startswith("{") or b.startswith("{") for a, b in pairs)
        sides = {a.startswith("{") for a, b in pairs if a.startswith("{") != b.startswith("{")}
        assert not (pairs and meets and len(sides) == 2), f"{'/'.join(one)} and {'/'.join(other)}"


def test_every_operation_that_a_refusal_leads_to_exists() -> None:
    named = {name for error in list_error_classes() for name in error.leads_to}
    named |= {name for table in (THING_ENDPOINTS, CONNECTION_ENDPOINTS) for _, name in table.values()}
    for path in (PROJECT_DIR / "ontology").glob("*.py"):
        for given in re.findall(r"leads_to=\(([^)]*)\)", path.read_text(encoding="utf-8")):
            named |= set(re.findall(r'"(\w+)"', given))
    assert {"putDocument", "restoreEntity", "createApiKey", "createInvitation"} <= named
    assert named <= set(OPERATIONS)
