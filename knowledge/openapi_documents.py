"""What an OpenAPI document (3.0 or 3.1) tells: one document per operation, one per error it describes.

The platform's own reference and the documents organisations upload are read by the same functions. References are
followed within the document only; nothing is fetched.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import yaml

from knowledge.source_document import SourceDocument
from knowledge.words import name_words, path_words

METHODS = ("get", "post", "put", "patch", "delete")
REFERENCE_DEPTH_MAX = 4
COMPOSED_SCHEMA_DEPTH_MAX = 3
OPERATIONS_MAX = 5_000
PARAMETERS_MAX = 60
_NOT_A_REQUEST_PARAMETER = ("header", "cookie")
_ERROR_CODE_FIELDS = ("code", "error_code", "errorCode", "type", "error", "status")
_ERROR_MESSAGE_FIELDS = ("message", "title", "detail", "error_description", "error_message", "description", "error")


class OpenApiInvalid(ValueError):
    """The text is no OpenAPI 3 document; the message says what is missing."""


def parse_openapi(text: str) -> dict[str, Any]:
    """Read JSON or YAML.

    Raises:
        OpenApiInvalid: neither, or without the version and the paths that make it an OpenAPI document.
    """
    try:
        found: object = json.loads(text) if text.lstrip().startswith("{") else _load_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise OpenApiInvalid("neither valid JSON nor valid YAML") from error
    if not isinstance(found, dict):
        raise OpenApiInvalid("the document is not an object")
    document = cast("dict[str, Any]", found)
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1")):
        raise OpenApiInvalid("`openapi` is not 3.0.x or 3.1.x")
    if not isinstance(document.get("paths", {}), dict):
        raise OpenApiInvalid("`paths` is not an object")
    return document


def read_operations(openapi: Mapping[str, Any], *, url_prefix: str = "/reference/") -> Iterator[SourceDocument]:
    """One document per operation: its path in words, name, description and parameters, in the document's order."""
    api = _text(_mapping(openapi.get("info")).get("title"))
    count = 0
    for path, entry in _mapping(openapi.get("paths")).items():
        item = _resolve(openapi, _mapping(entry))
        for method in METHODS:
            if isinstance(item.get(method), dict) and count < OPERATIONS_MAX:
                count += 1
                yield _from_operation(openapi, api, path, method, item, url_prefix)


def read_errors(openapi: Mapping[str, Any]) -> Iterator[SourceDocument]:
    """One document per distinct error in the examples of responses with a 4xx or 5xx status."""
    seen: dict[str, SourceDocument] = {}
    for status, response in _error_responses(openapi):
        for document in _from_response(openapi, status, response):
            seen.setdefault(document.external_id, document)
    yield from seen.values()


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which may make gigabytes of a small text; a document has no need of them."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # pyright: ignore[reportUnknownMemberType]
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


def _load_yaml(text: str) -> object:
    loader = _PlainLoader(text)
    try:
        return loader.get_single_data()  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType]


def _from_operation(
    openapi: Mapping[str, Any], api: str, path: str, method: str, item: Mapping[str, Any], url_prefix: str
) -> SourceDocument:
    operation = _mapping(item[method])
    route = f"{method.upper()} {path}"
    operation_id = _text(operation.get("operationId")) or route
    title = _text(operation.get("summary")) or operation_id
    description = _text(operation.get("description"))
    declared = [*_sequence(item.get("parameters")), *_sequence(operation.get("parameters"))]
    names = [*_parameter_names(openapi, declared), *_body_names(openapi, _mapping(operation.get("requestBody")))]
    parameters = list(dict.fromkeys(names))[:PARAMETERS_MAX]
    lines = [f"`{route}`: {path_words(path)}.", description]
    if parameters:
        lines.append(f"Parameters: {', '.join(parameters)}.")
    details: dict[str, Any] = {
        "api": api,
        "method": method.upper(),
        "path": path,
        "operationId": operation_id,
        "description": description,
        "parameters": parameters,
        "about": _about_tags(openapi, operation),
    }
    text = "\n\n".join(line for line in lines if line)
    return SourceDocument("endpoint", operation_id, title, text, f"{url_prefix}{operation_id}", details)


def _about_tags(openapi: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """What the document says of the operation's tags: words that its own text takes for granted."""
    own = _sequence(operation.get("tags"))
    tags = [_mapping(tag) for tag in _sequence(openapi.get("tags"))]
    return " ".join(_text(tag.get("description")) for tag in tags if tag.get("name") in own).strip()


def _parameter_names(openapi: Mapping[str, Any], parameters: Sequence[Any]) -> Iterator[str]:
    for parameter in parameters:
        resolved = _resolve(openapi, _mapping(parameter))
        if resolved.get("in") not in _NOT_A_REQUEST_PARAMETER and resolved.get("name"):
            yield str(resolved["name"])


def _body_names(openapi: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    for media in _mapping(_resolve(openapi, body).get("content")).values():
        yield from _property_names(openapi, _mapping(_mapping(media).get("schema")), COMPOSED_SCHEMA_DEPTH_MAX)


def _property_names(openapi: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    """The fields of an object, of the items of a list, and of everything a schema is composed of."""
    resolved = _resolve(openapi, schema)
    yield from _mapping(resolved.get("properties"))
    if depth > 0:
        parts = [
            *_sequence(resolved.get("allOf")),
            *_sequence(resolved.get("oneOf")),
            *_sequence(resolved.get("anyOf")),
        ]
        for part in [*parts, resolved.get("items")]:
            yield from _property_names(openapi, _mapping(part), depth - 1)


def _error_responses(openapi: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, response in _mapping(_mapping(openapi.get("components")).get("responses")).items():
        yield name, _mapping(response)
    for entry in _mapping(openapi.get("paths")).values():
        item = _mapping(entry)
        for method in METHODS:
            responses = _mapping(_mapping(item.get(method)).get("responses"))
            for status, response in responses.items():
                if str(status).startswith(("4", "5")):
                    yield str(status), _mapping(response)


def _from_response(openapi: Mapping[str, Any], status: str, response: Mapping[str, Any]) -> Iterator[SourceDocument]:
    resolved = _resolve(openapi, response)
    described = _text(resolved.get("description"))
    for media in _mapping(resolved.get("content")).values():
        for name, example in _examples(openapi, _mapping(media)):
            code, message = _code(example), _message(example)
            if code and message:
                title = message.split(". ")[0].rstrip(".")
                parts = [f"{name_words(name)}. {described}".strip(". "), message, f"`{code}`"]
                details: dict[str, Any] = {"message": message, "description": described}
                if status.isdigit():
                    details["status"] = int(status)
                yield SourceDocument("error", code, title, "\n\n".join(part for part in parts if part), "", details)


def _examples(openapi: Mapping[str, Any], media: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = _resolve(openapi, _mapping(media.get("schema")))
    for value in (media.get("example"), schema.get("example"), *_sequence(schema.get("examples"))):
        if isinstance(value, dict):
            yield "", cast("Mapping[str, Any]", value)
    for name, entry in _mapping(media.get("examples")).items():
        value = _resolve(openapi, _mapping(entry)).get("value")
        if isinstance(value, dict):
            yield str(name), cast("Mapping[str, Any]", value)


def _code(example: Mapping[str, Any]) -> str:
    inner = _mapping(example.get("error")) or example
    found = (inner.get(name) for name in _ERROR_CODE_FIELDS)
    return next((str(value) for value in found if isinstance(value, str | int) and str(value)), "")


def _message(example: Mapping[str, Any]) -> str:
    inner = _mapping(example.get("error")) or example
    texts = [value for name in _ERROR_MESSAGE_FIELDS if isinstance(value := inner.get(name), str) and value]
    return ". ".join(text.rstrip(".") for text in dict.fromkeys(texts[:2]))


def _resolve(openapi: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow ``$ref`` within the document; a reference that leads nowhere is an empty object."""
    for _ in range(REFERENCE_DEPTH_MAX):
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        target: Any = openapi
        for step in reference.removeprefix("#/").split("/"):
            target = _mapping(target).get(step.replace("~1", "/").replace("~0", "~"), {})
        value = _mapping(target)
    return value


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
