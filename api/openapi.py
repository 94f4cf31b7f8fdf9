"""The OpenAPI 3.1 document, made from the operations themselves, so that it cannot say what they do not do."""

from collections.abc import Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from api.openapi_answers import ANSWER_HEADERS, build_answers, build_refusals
from api.operations import Operation
from api.preconditions import HEADER_LENGTH_MAX, TAGS_PATTERN
from api.schemas import build_schemas, refer_to
from api.versions import POLICY_PATH, VERSIONS, Deprecation
from ontology.pagination import LIMIT_DEFAULT, LIMIT_MAX

VERSION = "1.0.0"
_TAGS = {
    "Organisation": "Whose key it is, what is left of its limits, and the vocabulary.",
    "Groups": "Who owns: the tree below an organisation, such as its customers, tenants, teams and communities.",
    "People": "Who may: members of groups, their roles, and invitations for users and colleagues.",
    "Entities": "What exists: things of every type, such as courses, articles, posts, products and customers.",
    "Connections": "How things, people and groups relate: who enrolled, bought, wrote, likes or joined what.",
    "Events": "What happened: the history and audit log, every API call included.",
    "Knowledge": "What things mean: search by meaning, and an organisation's own documents.",
    "API keys": "Keys (tokens, secrets, credentials) that are shown once and dead when revoked.",
    "Usage": "How many calls were made: by key, day, operation and class of status.",
    "Applications": "The programs that keys belong to, each with its service account.",
}


def build_document(operations: Sequence[Operation], *, public_url: str) -> dict[str, Any]:
    """The whole document as plain data."""
    schemas = build_schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for about in operations:
        paths.setdefault(about.path, {})[about.method.lower()] = _build_operation(about, public_url)
    used = {about.tag for about in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ONE API",
            "version": VERSION,
            "summary": "A backend in six dimensions, walled off per organisation and searchable by meaning.",
            "description": _describe_api(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "contact": {"name": "ONE", "url": public_url},
        },
        "servers": [{"url": public_url, "description": "This installation."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items() if name in used],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `org_<handle>_key_<secret>`.",
                }
            },
            "headers": {name: about for name, about in ANSWER_HEADERS.items() if name in _list_used_headers(paths)},
            "schemas": schemas,
        },
    }


def _describe_api() -> str:
    """What holds for every operation, so that none has to repeat it."""
    return "\n\n".join(
        (
            "Groups, people, things, connections, events and knowledge. Every request needs an API key.",
            "**Scope and cost.** `x-required-scope` is the scope a key needs for an operation; null means any key. "
            "`x-cost` is how many requests a call counts as in the rate limits.",
            f"**Lists.** A list answers `data` and `pagination`, with `limit` rows ({LIMIT_DEFAULT} unless said, "
            f"{LIMIT_MAX} at most). Send `nextCursor` as `cursor`, with the same filters, until `hasMore` is false. "
            "Rows that are created meanwhile neither repeat nor hide any.",
            "**HEAD** is answered wherever GET is: the same status and headers, without a body.",
            "**Refusals** are problem documents (RFC 9457) with a `code`; each operation lists all of its codes.",
            f"**Versions.** Send `API-Version: {VERSIONS[0]}` to keep today's behaviour; the policy: {POLICY_PATH}.",
        )
    )


_TAGS_SCHEMA = {"type": "string", "maxLength": HEADER_LENGTH_MAX, "pattern": TAGS_PATTERN}
_CONDITIONS: list[dict[str, Any]] = [
    {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "Only while the resource is in one of these states (`ETag`s); 412 otherwise.",
        "schema": _TAGS_SCHEMA,
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "Only if the resource is in none of these states; 304 for a read, 412 for a write otherwise.",
        "schema": _TAGS_SCHEMA,
    },
]


def _build_operation(about: Operation, public_url: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": about.id,
        "tags": [about.tag],
        "summary": about.summary,
        "description": about.description or f"{about.summary}.",
        "x-required-scope": about.scope,
        "x-cost": 1,
        "security": [{"apiKey": []}],
    }
    if about.deprecated is not None:
        entry |= {"deprecated": True, "x-sunset": about.deprecated.sunset.isoformat()}
        entry["description"] += f" {_describe_deprecation(about.deprecated)}"
    if parameters := _build_parameters(about):
        entry["parameters"] = parameters
    if about.body is not None:
        content: dict[str, Any] = {
            "schema": refer_to(about.body),
            "examples": {"default": {"value": about.body_example}},
        }
        media_type = "application/merge-patch+json" if about.method == "PATCH" else "application/json"
        entry["requestBody"] = {"required": True, "content": {"application/json": content, media_type: content}}
    if about.raw_body is not None:
        content = {"schema": {"type": "string", "format": "binary"}}
        entry["requestBody"] = {"required": True, "content": {about.raw_body.media_type: content}}
    entry["responses"] = build_answers(about) | build_refusals(about, public_url)
    return entry


def _describe_deprecation(about: Deprecation) -> str:
    instead = f" Use `{about.successor}` instead." if about.successor else ""
    return f"Deprecated since {about.since.isoformat()}; it may be gone from {about.sunset.isoformat()} on.{instead}"


def _build_parameters(about: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"A `{kind}_…` id.",
            "schema": {"type": "string", "pattern": rf"^{kind}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"},
            "example": _example_id(about, name, kind),
        }
        for name, kind in about.path_ids.items()
    ]
    if about.query is not None:
        schema = about.query.model_json_schema(by_alias=True, mode="validation")
        definitions: dict[str, Any] = schema.get("$defs", {})
        described = {info.alias or name: _find_description(info) for name, info in about.query.model_fields.items()}
        for name, field in schema.get("properties", {}).items():
            parameter = _build_query_parameter(name, described[name], _flatten(field, definitions))
            if name == "seconds" and about.shape == "stream":
                parameter["example"] = 5  # who tries it out does not want to wait for an hour
            parameters.append(parameter)
    if about.method == "POST":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Makes the request safe to repeat for 24 hours.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!-~]+$"},
            }
        )
    if about.conditional:
        parameters.extend(_CONDITIONS)
    return parameters


def _flatten(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be absent is not one that may be null."""
    options = [option for option in field.get("anyOf", []) if option.get("type") != "null"]
    flat = {key: value for key, value in field.items() if key not in ("anyOf", "title")}
    if len(options) == 1:
        flat = {**options[0], **flat}
    if "$ref" in flat:
        flat = {**definitions[flat.pop("$ref").rsplit("/", 1)[1]], **flat}
    if flat.get("default", ...) is None:
        flat.pop("default")
    for name, proper in (("ge", "minimum"), ("le", "maximum")):
        if name in flat:
            flat[proper] = flat.pop(name)
    return {key: value for key, value in flat.items() if key != "title"}


def _find_description(field: FieldInfo) -> str | None:
    """What the field says, or its value where that is not null; pydantic's schemas lose the latter for some types."""
    options: list[Any] = [note for option in get_args(field.annotation) for note in getattr(option, "__metadata__", ())]
    texts = [note.description for note in (field, *options) if isinstance(note, FieldInfo)]
    return next((text for text in texts if text), None)


def _build_query_parameter(name: str, text: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    description = text or schema.pop("description", f"Only rows with this {name}.")
    schema.pop("description", None)
    if name in ("type", "relationshipType"):
        schema.pop("examples", None)
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _example_id(about: Operation, name: str, kind: str) -> str:
    example: Any = about.answer_example
    found = example.get("_id") if isinstance(example, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, str) and found.startswith(kind) else f"{kind}_01jd8kq3v5e9ra7t2m4xw6yz0c"


def _list_used_headers(paths: dict[str, dict[str, Any]]) -> set[str]:
    answers = [
        answer for methods in paths.values() for about in methods.values() for answer in about["responses"].values()
    ]
    return {name for answer in answers for name in answer.get("headers", {})}
