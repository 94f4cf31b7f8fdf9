"""The parts of an OpenAPI document: values of the form they should have, references, and what schemas say.

Whatever is not of its form is empty. References are followed within the document only; nothing is fetched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

METHODS = ("get", "post", "put", "patch", "delete")
ITEM_METHODS = (*METHODS, "head", "options", "trace")
REFERENCE_DEPTH_MAX = 4
SCHEMA_DEPTH_MAX = 3
ALTERNATIVES_DEPTH_MAX = 4
PARAMETERS_MAX = 60
# A large part may be referred to from thousands of places.
SCHEMAS_PER_OPERATION_MAX = 200
REFERENCE_CHARACTERS_MAX = 4_000
_NOT_A_REQUEST_PARAMETER = ("header", "cookie")
_COMPOSED = ("allOf", "oneOf", "anyOf")


@dataclass(frozen=True, slots=True)
class FoundOperation:
    """An operation with the path item it stands in. The path of one that the API itself calls begins with no slash."""

    path: str
    item: Mapping[str, Any]
    method: str

    @property
    def about(self) -> Mapping[str, Any]:
        return as_mapping(self.item[self.method])

    @property
    def route(self) -> str:
        return f"{self.method.upper()} {self.path}"


def list_operations(openapi: Mapping[str, Any]) -> Iterator[FoundOperation]:
    """Every operation of the paths and of the webhooks, each followed by its callbacks, of which none is told twice."""
    told: set[int] = set()
    for name in ("paths", "webhooks"):
        for found in _read_items(openapi, as_mapping(openapi.get(name))):
            yield found
            for entry in as_mapping(found.about.get("callbacks")).values():
                callback = resolve(openapi, as_mapping(entry))
                if id(callback) not in told:
                    told.add(id(callback))
                    yield from _read_items(openapi, callback)


def _read_items(openapi: Mapping[str, Any], items: Mapping[str, Any]) -> Iterator[FoundOperation]:
    for path, entry in items.items():
        item = resolve(openapi, as_mapping(entry))
        for method in ITEM_METHODS:
            if isinstance(item.get(method), dict):
                yield FoundOperation(str(path), item, method)


def resolve(openapi: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow ``$ref`` within the document; a reference that leads nowhere is an empty object."""
    for _ in range(REFERENCE_DEPTH_MAX):
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        target: Any = openapi
        for step in reference.removeprefix("#/").split("/"):
            target = as_mapping(target).get(step.replace("~1", "/").replace("~0", "~"), {})
        value = as_mapping(target)
    return value


def list_alternatives(
    openapi: Mapping[str, Any], schema: Mapping[str, Any], depth: int = ALTERNATIVES_DEPTH_MAX
) -> Iterator[Mapping[str, Any]]:
    """The schema itself with its references followed, and every schema that it may or must be besides."""
    schema = resolve(openapi, schema)
    yield schema
    if depth:
        for keyword in _COMPOSED:
            for one in as_sequence(schema.get(keyword)):
                yield from list_alternatives(openapi, as_mapping(one), depth - 1)


def as_mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_sequence(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def list_parameters(
    openapi: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Those of the path and of the operation that a caller thinks of: neither headers nor cookies."""
    declared = (*as_sequence(item.get("parameters")), *as_sequence(operation.get("parameters")))
    resolved = (resolve(openapi, as_mapping(parameter)) for parameter in declared)
    return [parameter for parameter in resolved if parameter.get("in") not in _NOT_A_REQUEST_PARAMETER]


def parameter_names(
    openapi: Mapping[str, Any], parameters: list[Mapping[str, Any]], body: Mapping[str, Any]
) -> Iterator[str]:
    """Every name once: of the parameters, then of the fields of the body."""
    seen: set[int] = set()
    names = [str(parameter["name"]) for parameter in parameters if parameter.get("name")]
    for schema in _schemas(openapi, body):
        names.extend(_property_names(openapi, schema, SCHEMA_DEPTH_MAX, seen))
    yield from dict.fromkeys(names)


def describe_reference(
    openapi: Mapping[str, Any], parameters: list[Mapping[str, Any]], operation: Mapping[str, Any]
) -> str:
    """All that is said of what an operation takes and answers, each text once: descriptions, values, tags."""
    said = dict.fromkeys(text for text in _reference(openapi, parameters, operation) if text)
    return " ".join(islice(said, SCHEMAS_PER_OPERATION_MAX))[:REFERENCE_CHARACTERS_MAX]


def _reference(
    openapi: Mapping[str, Any], parameters: list[Mapping[str, Any]], operation: Mapping[str, Any]
) -> Iterator[str]:
    yield from map(as_text, as_sequence(operation.get("tags")))
    for parameter in parameters:
        yield as_text(parameter.get("description"))
        yield from _values(resolve(openapi, as_mapping(parameter.get("schema"))))
    seen: set[int] = set()
    for schema in _schemas(openapi, as_mapping(operation.get("requestBody"))):
        yield from _descriptions(openapi, schema, SCHEMA_DEPTH_MAX, seen)
    for status, response in as_mapping(operation.get("responses")).items():
        if str(status).startswith("2"):
            yield as_text(resolve(openapi, as_mapping(response)).get("description"))
            for schema in _schemas(openapi, as_mapping(response)):
                yield from _descriptions(openapi, schema, SCHEMA_DEPTH_MAX, seen)


def _schemas(openapi: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of a request's body or a response, one for each media type."""
    for media in as_mapping(resolve(openapi, body).get("content")).values():
        yield as_mapping(as_mapping(media).get("schema"))


def _property_names(openapi: Mapping[str, Any], schema: Mapping[str, Any], depth: int, seen: set[int]) -> Iterator[str]:
    """The fields of an object, of the items of a list, and of everything a schema is composed of, each schema once."""
    resolved = resolve(openapi, schema)
    if id(resolved) in seen or len(seen) >= SCHEMAS_PER_OPERATION_MAX:
        return
    seen.add(id(resolved))
    yield from islice(map(str, as_mapping(resolved.get("properties"))), PARAMETERS_MAX)
    if depth > 0:
        for part in _parts(resolved):
            yield from _property_names(openapi, part, depth - 1, seen)


def _descriptions(openapi: Mapping[str, Any], schema: Mapping[str, Any], depth: int, seen: set[int]) -> Iterator[str]:
    """What a schema says of its fields and of theirs, with the values they can have, each schema once."""
    resolved = resolve(openapi, schema)
    if id(resolved) in seen or len(seen) >= SCHEMAS_PER_OPERATION_MAX:
        return
    seen.add(id(resolved))
    fields = [
        resolve(openapi, as_mapping(field))
        for field in islice(as_mapping(resolved.get("properties")).values(), PARAMETERS_MAX)
    ]
    for field in fields:
        yield as_text(field.get("description"))
        yield from _values(field)
    if depth > 0:
        for part in (*fields, *_parts(resolved)):
            yield from _descriptions(openapi, part, depth - 1, seen)


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _COMPOSED:
        yield from map(as_mapping, as_sequence(schema.get(name))[:SCHEMAS_PER_OPERATION_MAX])
    yield as_mapping(schema.get("items"))


def _values(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from map(as_text, as_sequence(schema.get("enum"))[:PARAMETERS_MAX])
