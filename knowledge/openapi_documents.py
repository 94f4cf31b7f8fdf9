"""What an OpenAPI document (3.0 or 3.1) tells: one document per operation, one per error it describes.

The platform's own reference and the documents organisations upload are read by the same functions.
"""

import json
import re
from collections.abc import Container, Iterator, Mapping
from itertools import chain, count, islice
from typing import Any, cast

import yaml

from knowledge.openapi_parts import (
    ITEM_METHODS,
    PARAMETERS_MAX,
    FoundOperation,
    as_mapping,
    as_sequence,
    as_text,
    describe_reference,
    list_operations,
    list_parameters,
    parameter_names,
    resolve,
)
from knowledge.source_document import SourceDocument
from knowledge.words import name_words, path_words

OPERATIONS_MAX = 5_000
# A bound on what a small text can ask for.
NESTING_MAX = 100
ERRORS_MAX = 2_000
TITLE_CHARACTERS_MAX, NAME_CHARACTERS_MAX, DESCRIPTION_CHARACTERS_MAX = 500, 200, 4_000
_ERROR_CODE_FIELDS = ("code", "error_code", "errorCode", "type", "error", "status")
_ERROR_MESSAGE_FIELDS = ("message", "title", "detail", "error_description", "error_message", "description", "error")
_ERROR_SCHEMA = re.compile(r"(error|problem|exception|fault|failure)", re.IGNORECASE)


class OpenApiInvalid(ValueError):
    """The text is no OpenAPI 3 document; the message says what is missing, and where."""


def parse_openapi(text: str) -> dict[str, Any]:
    """Read JSON or YAML.

    Raises:
        OpenApiInvalid: neither, too deeply nested, with aliases (which may make gigabytes of a small text), or without
            the version and the paths that make it an OpenAPI document.
    """
    found = _load_json(text) if text.lstrip().startswith("{") else _load_yaml(text)
    if not isinstance(found, dict):
        raise OpenApiInvalid("is not an object")
    document = cast("dict[str, Any]", found)
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1")):
        told = " (Swagger 2.0 has to be converted)" if "swagger" in document else ""
        raise OpenApiInvalid(f"at `/openapi`: is not 3.0.x or 3.1.x, as text{told}")
    if not isinstance(paths := document.get("paths", {}), dict):
        raise OpenApiInvalid("at `/paths`: is not an object")
    for path, item in cast("dict[object, object]", paths).items():
        if not isinstance(item, dict):
            raise OpenApiInvalid(f"at `/paths/{_pointer_step(str(path))}`: is not an object")
        for method in ITEM_METHODS:
            if not isinstance(cast("dict[object, object]", item).get(method, {}), dict):
                raise OpenApiInvalid(f"at `/paths/{_pointer_step(str(path))}/{method}`: is not an object")
    _check_values(document)
    return document


def read_operations(openapi: Mapping[str, Any], *, url_prefix: str = "/reference/") -> Iterator[SourceDocument]:
    """One document per operation: its path in words, name, description and parameters, in the document's order.

    Each has an external id of its own: the operation's id, or where it has none, or another's, its method and path.
    """
    api = as_text(as_mapping(openapi.get("info")).get("title"))
    taken: set[str] = set()
    for found in islice(list_operations(openapi), OPERATIONS_MAX):
        name = _choose_name(found, taken)
        taken.add(name)
        yield _from_operation(openapi, api, found, name, url_prefix)


def read_errors(openapi: Mapping[str, Any]) -> Iterator[SourceDocument]:
    """One document per distinct error: of the examples of refusals (4xx, 5xx), then of the schemas of errors."""
    seen: set[str] = set()
    for document in (*_errors_of_examples(openapi), *_errors_of_schemas(openapi)):
        if document.external_id not in seen and len(seen) < ERRORS_MAX:
            seen.add(document.external_id)
            yield document


def count_operations(openapi: Mapping[str, Any]) -> int:
    """How many operations there are."""
    return sum(1 for _ in list_operations(openapi))


def _load_json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise OpenApiInvalid(f"at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise OpenApiInvalid(f"is nested deeper than {NESTING_MAX} levels") from error
    except ValueError as error:
        raise OpenApiInvalid("holds a number too long to read") from error


def _load_yaml(text: str) -> object:
    """The events are looked through first: building what they describe could take all memory, or the whole stack."""
    depth = 0
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        for event in cast("Iterator[Any]", events):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent):
                raise OpenApiInvalid(f"at line {line}: aliases are not taken, write out what they stand for")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > NESTING_MAX:
                raise OpenApiInvalid(f"at line {line}: is nested deeper than {NESTING_MAX} levels")
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except OpenApiInvalid:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"at line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise OpenApiInvalid(f"{place}{error.problem or 'is not valid YAML'}") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise OpenApiInvalid("is neither valid JSON nor valid YAML") from error


def _check_values(document: dict[str, Any]) -> None:
    """Raises: OpenApiInvalid for nesting without end, and for characters that no text can hold."""
    waiting: list[tuple[object, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > NESTING_MAX:
            raise OpenApiInvalid(f"is nested deeper than {NESTING_MAX} levels")
        if isinstance(value, dict):
            entries = cast("dict[object, object]", value)
            waiting += [(name, depth) for name in entries if isinstance(name, str)]
            waiting += [(item, depth + 1) for item in entries.values()]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in cast("list[object]", value)]
        elif isinstance(value, str) and ("\x00" in value or not _is_unicode(value)):
            raise OpenApiInvalid("holds a NUL character or half a character (a lone surrogate)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pointer_step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")[:NAME_CHARACTERS_MAX]


def _choose_name(found: FoundOperation, taken: Container[str]) -> str:
    names = (as_text(found.about.get("operationId"))[:NAME_CHARACTERS_MAX], found.route[:NAME_CHARACTERS_MAX])
    numbered = (f"{names[1]} ({number})" for number in count(2))
    return next(name for name in chain(names, numbered) if name and name not in taken)


def _from_operation(
    openapi: Mapping[str, Any], api: str, found: FoundOperation, operation_id: str, url_prefix: str
) -> SourceDocument:
    operation, path, route = found.about, found.path, found.route
    title = (as_text(operation.get("summary")) or operation_id)[:TITLE_CHARACTERS_MAX]
    description = as_text(operation.get("description"))[:DESCRIPTION_CHARACTERS_MAX]
    declared = list_parameters(openapi, found.item, operation)
    names = parameter_names(openapi, declared, as_mapping(operation.get("requestBody")))
    parameters = [name[:NAME_CHARACTERS_MAX] for name in islice(names, PARAMETERS_MAX)]
    lines = [f"`{route}`: {path_words(path)}.", description]
    if parameters:
        lines.append(f"Parameters: {', '.join(parameters)}.")
    details: dict[str, Any] = {
        "api": api,
        "method": found.method.upper(),
        "path": path,
        "operationId": operation_id,
        "description": description,
        "parameters": parameters,
        "about": _about_tags(openapi, operation),
        "reference": describe_reference(openapi, declared, operation),
    }
    text = "\n\n".join(line for line in lines if line)
    return SourceDocument("endpoint", operation_id, title, text, f"{url_prefix}{operation_id}", details)


def _about_tags(openapi: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """What the document says of the operation's tags: words that its own text takes for granted."""
    own = as_sequence(operation.get("tags"))
    tags = [as_mapping(tag) for tag in as_sequence(openapi.get("tags"))]
    return " ".join(as_text(tag.get("description")) for tag in tags if tag.get("name") in own).strip()


def _errors_of_examples(openapi: Mapping[str, Any]) -> Iterator[SourceDocument]:
    """Each response once, however many operations refer to it."""
    seen: set[int] = set()
    for status, response in _error_responses(openapi):
        resolved = resolve(openapi, response)
        if id(resolved) not in seen:
            seen.add(id(resolved))
            yield from _from_response(openapi, status, resolved)


def _errors_of_schemas(openapi: Mapping[str, Any]) -> Iterator[SourceDocument]:
    """`components.schemas` that describe errors: one document per code they can have, or one for the schema itself."""
    for name, entry in as_mapping(as_mapping(openapi.get("components")).get("schemas")).items():
        schema = resolve(openapi, as_mapping(entry))
        if not _ERROR_SCHEMA.search(str(name)):
            continue
        described = as_text(schema.get("description"))[:DESCRIPTION_CHARACTERS_MAX]
        codes = _codes_of_schema(openapi, schema)
        for code in codes:
            details: dict[str, Any] = {"description": described}
            parts = [f"{name_words(code)}.", described, f"`{code}` ({name_words(str(name))})"]
            title = name_words(code).capitalize()[:TITLE_CHARACTERS_MAX]
            yield SourceDocument("error", code, title, "\n\n".join(part for part in parts if part), "", details)
        if not codes and described:
            title = name_words(str(name)).capitalize()[:TITLE_CHARACTERS_MAX]
            code = str(name)[:NAME_CHARACTERS_MAX]
            yield SourceDocument("error", code, title, described, "", {"description": described})


def _codes_of_schema(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """The values of an enumeration of codes, or of the field of an object that holds its code."""
    fields = as_mapping(schema.get("properties"))
    places = [schema, *(resolve(openapi, as_mapping(fields.get(name))) for name in _ERROR_CODE_FIELDS)]
    found = [value for place in places for value in (*as_sequence(place.get("enum")), place.get("const"))]
    texts = [value[:NAME_CHARACTERS_MAX] for value in found if isinstance(value, str) and value.strip()]
    return list(dict.fromkeys(texts))[:ERRORS_MAX]


def _error_responses(openapi: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, response in as_mapping(as_mapping(openapi.get("components")).get("responses")).items():
        yield str(name), as_mapping(response)
    for found in list_operations(openapi):
        for status, response in as_mapping(found.about.get("responses")).items():
            if str(status).startswith(("4", "5", "default")):
                yield str(status), as_mapping(response)


def _from_response(openapi: Mapping[str, Any], status: str, response: Mapping[str, Any]) -> Iterator[SourceDocument]:
    described = as_text(response.get("description"))[:DESCRIPTION_CHARACTERS_MAX]
    for media in as_mapping(response.get("content")).values():
        for name, example in _examples(openapi, as_mapping(media)):
            code = _code(example)[:NAME_CHARACTERS_MAX]
            message = _message(example)[:DESCRIPTION_CHARACTERS_MAX]
            if code and message:
                title = message.split(". ")[0].rstrip(".")[:TITLE_CHARACTERS_MAX]
                parts = [f"{name_words(name)}. {described}".strip(". "), message, f"`{code}`"]
                details: dict[str, Any] = {"message": message, "description": described}
                if status.isdigit():
                    details["status"] = int(status)
                yield SourceDocument("error", code, title, "\n\n".join(part for part in parts if part), "", details)


def _examples(openapi: Mapping[str, Any], media: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = resolve(openapi, as_mapping(media.get("schema")))
    for value in (media.get("example"), schema.get("example"), *as_sequence(schema.get("examples"))):
        if isinstance(value, dict):
            yield "", cast("Mapping[str, Any]", value)
    for name, entry in as_mapping(media.get("examples")).items():
        value = resolve(openapi, as_mapping(entry)).get("value")
        if isinstance(value, dict):
            yield str(name), cast("Mapping[str, Any]", value)


def _code(example: Mapping[str, Any]) -> str:
    inner = as_mapping(example.get("error")) or example
    found = (inner.get(name) for name in _ERROR_CODE_FIELDS)
    return next((str(value) for value in found if isinstance(value, str | int) and str(value)), "")


def _message(example: Mapping[str, Any]) -> str:
    inner = as_mapping(example.get("error")) or example
    texts = [value for name in _ERROR_MESSAGE_FIELDS if isinstance(value := inner.get(name), str) and value]
    return ". ".join(text.rstrip(".") for text in dict.fromkeys(texts[:2]))
