"""The reference as a site: every operation of the OpenAPI document as its page shows it. Made once per process."""

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

from api.routes import openapi_document

Schema = dict[str, Any]
JSON = "application/json"
# What the samples call a file that is sent as it is.
FILE_NAMES = {"application/zip": "docs.zip"}
# Objects within objects are described this deep; further in, the example says enough.
FIELD_DEPTH_MAX = 3
_ID_PATTERN = re.compile(r"\^\(?([a-z]+(?:\|[a-z]+)*)\)?_\[0-7\]")
_TIME_FORMAT, _BOUND_MAX = "int64", 10**7


@dataclass(frozen=True, slots=True)
class OperationLink:
    id: str
    method: str
    path: str
    summary: str
    url: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class OperationGroup:
    name: str
    anchor: str
    description: str
    operations: tuple[OperationLink, ...]
    current: bool


@dataclass(frozen=True, slots=True)
class ParameterView:
    name: str
    place: str
    required: bool
    description: str
    type: str
    default: str
    example: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldView:
    """A field of a body or of an answer; `fields` are those of the object it holds."""

    name: str
    type: str
    required: bool
    description: str
    choices: tuple[str, ...] = ()
    fields: tuple["FieldView", ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The answer when all is well; `example` is None when it has no body, or one that is no JSON."""

    status: int
    media_type: str
    example: str | None
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, slots=True)
class ErrorView:
    status: int
    code: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as its page shows it; `body_file` names the file that is its body, where it is one."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scope: str | None
    sunset: str | None
    parameters: tuple[ParameterView, ...]
    body_type: str
    body_fields: tuple[FieldView, ...]
    body_example: str | None
    body_file: str | None
    answer: AnswerView
    errors: tuple[ErrorView, ...]
    curl: str
    previous: OperationLink | None
    next: OperationLink | None


def list_groups(public_url: str, current: str) -> tuple[OperationGroup, ...]:
    """The operations by tag, in the document's order; `current` is the id of the one being looked at."""
    document = openapi_document(public_url)
    found: dict[str, list[OperationLink]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            name = entry["operationId"]
            link = OperationLink(name, method.upper(), path, entry["summary"], f"/reference/{name}", name == current)
            found.setdefault(entry["tags"][0], []).append(link)
    about = {tag["name"]: tag["description"] for tag in document["tags"]}
    return tuple(
        OperationGroup(name, _anchor(name), about.get(name, ""), tuple(links), any(link.current for link in links))
        for name, links in found.items()
    )


@cache
def find_operation(public_url: str, operation_id: str) -> OperationView | None:
    """The operation of that id, or None."""
    document = openapi_document(public_url)
    ordered = [link for group in list_groups(public_url, "") for link in group.operations]
    place = next((index for index, link in enumerate(ordered) if link.id == operation_id), None)
    if place is None:
        return None
    link = ordered[place]
    entry: Schema = document["paths"][link.path][link.method.lower()]
    schemas: Schema = document["components"]["schemas"]
    parameters = tuple(_parameter(parameter) for parameter in entry.get("parameters", []))
    body_type, body_fields, body = _body(entry, schemas)
    return OperationView(
        id=link.id,
        method=link.method,
        path=link.path,
        summary=link.summary,
        description=entry["description"] if entry["description"] != f"{link.summary}." else "",
        scope=entry["x-required-scope"],
        sunset=entry.get("x-sunset"),
        parameters=parameters,
        body_type=body_type,
        body_fields=body_fields,
        body_example=body,
        body_file=FILE_NAMES.get(body_type),
        answer=_answer(entry, schemas),
        errors=_errors(entry),
        curl=_curl(public_url, link, parameters, body_type, body),
        previous=ordered[place - 1] if place else None,
        next=ordered[place + 1] if place + 1 < len(ordered) else None,
    )


def _parameter(parameter: Schema) -> ParameterView:
    schema: Schema = parameter["schema"]
    examples = schema.get("examples") or [""]
    example = parameter.get("example", examples[0] if parameter["in"] == "path" else "")
    default = schema.get("default")
    return ParameterView(
        name=parameter["name"],
        place=parameter["in"],
        required=parameter.get("required", False),
        description=parameter.get("description", ""),
        type=_type_name(schema, {}),
        default="" if default is None else json.dumps(default).strip('"'),
        example=str(example),
        choices=_choices(schema, {}),
    )


def _body(entry: Schema, schemas: Schema) -> tuple[str, tuple[FieldView, ...], str | None]:
    """Media type, fields and example of the body; an operation without one, or whose body is a file, has no example."""
    contents: Schema = entry.get("requestBody", {}).get("content", {})
    if not contents:
        return "", (), None
    media_type = JSON if JSON in contents else next(iter(contents))
    if media_type in FILE_NAMES:
        return media_type, (), None
    example = _example(contents[media_type])
    text = example if isinstance(example, str) else _pretty({} if example is None else example)
    return media_type, _fields(contents[media_type].get("schema", {}), schemas), text


def _answer(entry: Schema, schemas: Schema) -> AnswerView:
    status, answer = next((int(code), answer) for code, answer in entry["responses"].items() if code.startswith("2"))
    contents: Schema = answer.get("content", {})
    if not contents:
        return AnswerView(status, "", None, ())
    media_type = JSON if JSON in contents else next(iter(contents))
    example = _example(contents[media_type])
    text = example if isinstance(example, str) or example is None else _pretty(example)
    return AnswerView(status, media_type, text, _fields(contents[media_type].get("schema", {}), schemas))


def _example(content: Schema) -> Any:
    named = content.get("examples", {})
    return next(iter(named.values()))["value"] if named else content.get("example")


def _errors(entry: Schema) -> tuple[ErrorView, ...]:
    return tuple(
        ErrorView(int(status), code, example["value"]["title"], f"/docs/errors/{code}")
        for status, answer in entry["responses"].items()
        if int(status) >= 400
        for content in answer["content"].values()
        for code, example in content["examples"].items()
    )


def _fields(schema: Schema, schemas: Schema, depth: int = 0) -> tuple[FieldView, ...]:
    """The fields of an object, of the rows of a list, or of whichever object may stand here."""
    schema = _resolve(schema, schemas)
    if "anyOf" in schema:
        return next((fields for option in schema["anyOf"] if (fields := _fields(option, schemas, depth))), ())
    if schema.get("type") == "array":
        return _fields(schema.get("items", {}), schemas, depth)
    if depth >= FIELD_DEPTH_MAX:
        return ()
    required = schema.get("required", [])
    return tuple(
        FieldView(
            name=name,
            type=_type_name(field, schemas),
            required=name in required,
            description=field.get("description", ""),
            choices=_choices(field, schemas),
            fields=_fields(field, schemas, depth + 1),
        )
        for name, field in schema.get("properties", {}).items()
    )


def _resolve(schema: Schema, schemas: Schema) -> Schema:
    return schemas.get(schema["$ref"].rsplit("/", 1)[1], {}) if "$ref" in schema else schema


def _choices(schema: Schema, schemas: Schema) -> tuple[str, ...]:
    schema = _resolve(schema, schemas)
    if "anyOf" in schema:
        return tuple(choice for option in schema["anyOf"] for choice in _choices(option, schemas))
    if schema.get("type") == "array":
        return _choices(schema.get("items", {}), schemas)
    return tuple(str(choice) for choice in schema.get("enum", []))


def _type_name(schema: Schema, schemas: Schema) -> str:
    """A type in a few words: `thing id`, `time in ms`, `integer 1–1000`, `list of string`."""
    schema = _resolve(schema, schemas)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_name(option, schemas) for option in schema["anyOf"]))
    given = schema.get("type", "any")
    name = " or ".join(given) if isinstance(given, list) else str(given)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if name == "array":
        return f"list of {_type_name(schema.get('items', {}), schemas)}"
    if kinds := _ID_PATTERN.match(schema.get("pattern", "")):
        return f"{kinds[1].replace('|', ' or ')} id"
    if name == "integer" and schema.get("format") == _TIME_FORMAT:
        return "time in ms"
    if "minimum" in schema and "maximum" in schema and schema["maximum"] < _BOUND_MAX:
        return f"{name} {schema['minimum']}–{schema['maximum']}"
    return name


def _curl(
    public_url: str, link: OperationLink, parameters: tuple[ParameterView, ...], body_type: str, body: str | None
) -> str:
    path = link.path
    for parameter in parameters:
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", parameter.example)
    start = "curl" if link.method == "GET" else f"curl -X {link.method}"
    lines = [f"{start} {public_url}{path}", '  -H "Authorization: Bearer $ONE_API_KEY"']
    if body is not None:
        lines += [f"  -H 'Content-Type: {body_type}'", f"  -d {shlex.quote(body).replace(chr(10), chr(10) + '  ')}"]
    elif body_type in FILE_NAMES:
        lines += [f"  -H 'Content-Type: {body_type}'", f"  --data-binary @{FILE_NAMES[body_type]}"]
    return " \\\n".join(lines)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
