"""`/reference`: every operation, made from the OpenAPI document, with Try it."""

import json
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

from litestar import Request, Response, get, post

from api.routes import openapi_document
from api.services import Services
from ontology.database import open_transaction
from ontology.errors import NotFound
from ontology.keys import mint_explorer_key
from ontology.records import to_epoch_ms, utc_now
from portal.rendering import render
from portal.sessions import check_origin, read_visitor

Schema = dict[str, Any]


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
    description: str
    operations: tuple[OperationLink, ...]


@dataclass(frozen=True, slots=True)
class ParameterView:
    name: str
    place: str
    required: bool
    description: str
    type: str
    example: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldView:
    name: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class ErrorView:
    status: int
    code: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as its page shows it."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scope: str | None
    sunset: str | None
    parameters: tuple[ParameterView, ...]
    body_fields: tuple[FieldView, ...]
    body_example: str | None
    answer_status: int
    answer_example: str
    errors: tuple[ErrorView, ...]
    curl: str
    previous: OperationLink | None
    next: OperationLink | None


@dataclass(frozen=True, slots=True)
class ReferencePage:
    groups: tuple[OperationGroup, ...]
    operation: OperationView | None


@get("/reference", opt={"public": True})
async def reference(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    groups = _groups(visitor.services.settings.public_url, "")
    return render("reference.html", visitor.site, ReferencePage(groups, None))


@get("/reference/{operation_id:str}", opt={"public": True})
async def reference_operation(request: Request[Any, Any, Any]) -> Response[str]:
    operation_id: str = request.path_params["operation_id"]
    visitor = await read_visitor(request)
    public_url = visitor.services.settings.public_url
    view = _view(public_url, operation_id)
    if view is None:
        raise NotFound("There is no such operation.")
    return render("reference.html", visitor.site, ReferencePage(_groups(public_url, operation_id), view))


@post("/explorer-key", opt={"public": True}, status_code=201)
async def explorer_key(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """A short-lived key for who is signed in; the page keeps it in memory only."""
    visitor = await read_visitor(request)
    check_origin(request, visitor)
    services: Services = visitor.services
    actor = visitor.member().actor
    now = utc_now()
    async with open_transaction(services.engine, actor) as session:
        key = await mint_explorer_key(session, actor, pepper=services.settings.key_pepper, now=now)
    expires = to_epoch_ms(key.expires_at) if key.expires_at else None
    return Response({"key": key.key, "expiresAt": expires}, headers={"cache-control": "no-store"})


def _links(public_url: str, current: str) -> list[tuple[str, OperationLink]]:
    """Every operation with its tag, in the document's order."""
    found: list[tuple[str, OperationLink]] = []
    for path, methods in openapi_document(public_url)["paths"].items():
        for method, entry in methods.items():
            name = entry["operationId"]
            link = OperationLink(name, method.upper(), path, entry["summary"], f"/reference/{name}", name == current)
            found.append((entry["tags"][0], link))
    return found


def _groups(public_url: str, current: str) -> tuple[OperationGroup, ...]:
    links = _links(public_url, current)
    tags = openapi_document(public_url)["tags"]
    return tuple(
        OperationGroup(tag["name"], tag["description"], tuple(link for name, link in links if name == tag["name"]))
        for tag in tags
    )


@cache
def _view(public_url: str, operation_id: str) -> OperationView | None:
    document = openapi_document(public_url)
    ordered = [link for group in _groups(public_url, "") for link in group.operations]
    place = next((index for index, link in enumerate(ordered) if link.id == operation_id), None)
    if place is None:
        return None
    link = ordered[place]
    entry: Schema = document["paths"][link.path][link.method.lower()]
    status, answer = next((int(code), answer) for code, answer in entry["responses"].items() if code.startswith("2"))
    body, body_fields = _body(document, entry)
    parameters = tuple(_parameter(parameter) for parameter in entry.get("parameters", []))
    return OperationView(
        id=link.id,
        method=link.method,
        path=link.path,
        summary=entry["summary"],
        description=entry["description"],
        scope=entry["x-required-scope"],
        sunset=entry.get("x-sunset"),
        parameters=parameters,
        body_fields=body_fields,
        body_example=body,
        answer_status=status,
        answer_example=_example_of(answer),
        errors=_errors(entry),
        curl=_curl(public_url, link, parameters, body),
        previous=ordered[place - 1] if place else None,
        next=ordered[place + 1] if place + 1 < len(ordered) else None,
    )


def _example_of(answer: Schema) -> str:
    """A document, or the first piece of an answer that is none."""
    (content,) = answer["content"].values()
    value = content["examples"]["default"]["value"]
    return value if isinstance(value, str) else _pretty(value)


def _parameter(parameter: Schema) -> ParameterView:
    schema: Schema = parameter["schema"]
    examples = schema.get("examples") or [""]
    example = parameter.get("example", examples[0] if parameter["in"] == "path" else "")
    return ParameterView(
        name=parameter["name"],
        place=parameter["in"],
        required=parameter.get("required", False),
        description=parameter.get("description", ""),
        type=_type_name(schema),
        example=str(example),
        choices=tuple(str(choice) for choice in schema.get("enum", [])),
    )


def _body(document: Schema, entry: Schema) -> tuple[str | None, tuple[FieldView, ...]]:
    if "requestBody" not in entry:
        return None, ()
    content: Schema = entry["requestBody"]["content"]["application/json"]
    schemas: Schema = document["components"]["schemas"]
    schema: Schema = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", [])
    fields = tuple(
        FieldView(name, _type_name(field, schemas), name in required, field.get("description", ""))
        for name, field in schema["properties"].items()
    )
    return _pretty(content["examples"]["default"]["value"]), fields


def _type_name(schema: Schema, schemas: Schema | None = None) -> str:
    """A type in a few words: `string`, `integer 1–1000`, `list of string`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _type_name((schemas or {}).get(name, {"type": "object"}), schemas)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_name(option, schemas) for option in schema["anyOf"]))
    name = str(schema.get("type", "any"))
    if name == "array":
        return f"list of {_type_name(schema.get('items', {}), schemas)}"
    if "minimum" in schema and "maximum" in schema and schema["maximum"] < 10**7:
        return f"{name} {schema['minimum']}–{schema['maximum']}"
    return name


def _errors(entry: Schema) -> tuple[ErrorView, ...]:
    found: list[ErrorView] = []
    for status, answer in entry["responses"].items():
        for content in answer["content"].values():
            for code, example in content["examples"].items():
                if int(status) >= 400:
                    found.append(ErrorView(int(status), code, example["value"]["title"], f"/docs/errors/{code}"))
    return tuple(found)


def _curl(public_url: str, link: OperationLink, parameters: tuple[ParameterView, ...], body: str | None) -> str:
    path = link.path
    for parameter in parameters:
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", parameter.example)
    lines = [f"curl -X {link.method} {public_url}{path}", '  -H "Authorization: Bearer $ONE_API_KEY"']
    if body is not None:
        lines += ["  -H 'Content-Type: application/json'", f"  -d {shlex.quote(json.dumps(json.loads(body)))}"]
    return " \\\n".join(lines)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


handlers = [reference, reference_operation, explorer_key]
