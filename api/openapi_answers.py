"""The answers of an operation in the OpenAPI document: what it gives, in which form, and every refusal."""

import json
from typing import Any

from api.examples import REQUEST
from api.negotiation import EVENT_STREAM
from api.operations import Operation
from api.problems import MEDIA_TYPE, describe_problem
from api.schemas import name_schema, refer_to
from api.versions import VERSIONS
from ontology.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    GroupArchived,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InsufficientScope,
    InternalError,
    InvalidApiKey,
    InvalidCursor,
    InvalidId,
    InvalidJson,
    InvalidRequest,
    MissingApiKey,
    NotAcceptable,
    NotFound,
    OriginNotAllowed,
    PayloadTooLarge,
    PortalError,
    PreconditionFailed,
    RateLimitExceeded,
    ServiceUnavailable,
    UnsupportedMediaType,
    UriTooLong,
)

# Every operation can give these.
_COMMON = (
    InvalidRequest,
    MissingApiKey,
    InvalidApiKey,
    ExpiredApiKey,
    GroupArchived,
    AddressNotAllowed,
    OriginNotAllowed,
    NotAcceptable,
    UriTooLong,
    RateLimitExceeded,
    InternalError,
    ServiceUnavailable,
)
ANSWER_HEADERS: dict[str, Any] = {
    "X-Request-Id": {"description": "The id of this call, also in its event.", "schema": {"type": "string"}},
    "API-Version": {
        "description": "The version that made this answer. Send it to keep its behaviour.",
        "schema": {"type": "string", "format": "date", "enum": list(VERSIONS)},
    },
    "Deprecation": {
        "description": "Since when the operation should no longer be used (RFC 9745).",
        "schema": {"type": "string", "pattern": "^@[0-9]+$"},
    },
    "Sunset": {
        "description": "From when on the operation may be gone (RFC 8594).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "Every limit that applies.", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of each limit, the tightest first.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "ETag": {
        "description": "The state this answer shows; send it as `If-Match` to change just that state.",
        "schema": {"type": "string", "pattern": r'^"[!#-~]+"$'},
    },
    "Dry-Run": {
        "description": "`true`: nothing was changed.",
        "schema": {"type": "string", "const": "true"},
    },
    "Idempotent-Replayed": {
        "description": "`true` when the answer is that of an earlier request with the same key.",
        "schema": {"type": "string"},
    },
}


def list_errors(about: Operation) -> list[type[PortalError]]:
    """Every refusal an operation can give, its own and those its parts bring."""
    found: set[type[PortalError]] = {*_COMMON, *about.errors}
    if about.scope is not None:
        found.add(InsufficientScope)
    if about.path_ids:
        found |= {InvalidId, NotFound}
    if about.shape == "page":
        found.add(InvalidCursor)
    if about.body is not None:
        found.add(InvalidJson)
    if about.body is not None or about.raw_body is not None:
        found |= {PayloadTooLarge, UnsupportedMediaType}
    if about.conditional:
        found.add(PreconditionFailed)
    if about.method == "POST":
        found |= {IdempotencyInFlight, IdempotencyKeyReused}
    return sorted(found, key=lambda error: (error.status, error.code))


def build_answers(about: Operation) -> dict[str, Any]:
    """By status, what an operation answers when it does what was asked."""
    answers = {str(about.status): _build_answer(about)}
    if about.can_run_dry:
        done = answers.pop("200", None)
        tried = _build_answer(about)
        tried["headers"]["Dry-Run"] = {"$ref": "#/components/headers/Dry-Run"}
        tried["headers"].pop("ETag", None)
        tried["description"] = "With `dryRun=true`: what would be; nothing was changed."
        answers["200"] = tried
        if done is not None:
            answers["200"]["description"] = "Done, or with `dryRun=true` what would be."
            answers["200"]["headers"] |= done["headers"]
    if about.conditional and about.method == "GET":
        headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "ETag")}
        answers["304"] = {"description": "Not changed: `If-None-Match` names the present state.", "headers": headers}
    return answers


def _build_answer(about: Operation) -> dict[str, Any]:
    schema = refer_to(about.answer) if about.answer is not None else {"type": "object"}
    example = about.answer_example
    if about.shape == "stream":
        return _build_stream(about)
    if about.shape != "row":
        properties: dict[str, Any] = {"data": {"type": "array", "items": schema}}
        example = {"data": [example]}
        if about.shape == "page":
            properties["pagination"] = {"$ref": "#/components/schemas/Pagination"}
            example |= {"pagination": {"nextCursor": None, "hasMore": False}}
        schema = {"type": "object", "required": list(properties), "properties": properties}
    headers = _list_headers(about)
    return {
        "description": "Created." if about.status == 201 else "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": schema, "examples": {"default": {"value": example}}}}
        | (_build_event_stream(about) if about.streams else {}),
    }


def _list_headers(about: Operation) -> list[str]:
    headers = ["X-Request-Id", "API-Version", "RateLimit-Policy", "RateLimit"]
    if about.tagged:
        headers.append("ETag")
    if about.method == "POST":
        headers.append("Idempotent-Replayed")
    return headers + (["Deprecation", "Sunset"] if about.deprecated is not None else [])


def _build_event_stream(about: Operation) -> dict[str, Any]:
    """The same answer in pieces, to who accepts server-sent events."""
    line = json.dumps(about.answer_example, ensure_ascii=False, separators=(",", ":"))
    value = f"event: answer\ndata: {line}\n\n"
    return {EVENT_STREAM: {"schema": {"type": "string"}, "examples": {"default": {"value": value}}}}


def _build_stream(about: Operation) -> dict[str, Any]:
    """Described by one of its rows as text, since a schema speaks of a whole body."""
    line = json.dumps(about.answer_example, ensure_ascii=False, separators=(",", ":"))
    tail = about.media_type == "text/event-stream"
    text = f"id: {about.answer_example['_id']}\ndata: {line}\n\n" if tail else f"{line}\n"
    name = name_schema(about.answer) if about.answer is not None else "object"
    form = "Server-sent events whose data is" if tail else "Lines, each"
    return {
        "description": f"{form} a JSON document of the schema `{name}`.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _list_headers(about)},
        "content": {about.media_type: {"schema": {"type": "string"}, "examples": {"default": {"value": text}}}},
    }


def build_refusals(about: Operation, public_url: str) -> dict[str, Any]:
    """By status, its problem documents, one example for each code."""
    by_status: dict[int, list[type[PortalError]]] = {}
    for error in list_errors(about):
        by_status.setdefault(error.status, []).append(error)
    refusals: dict[str, Any] = {}
    for status, errors in by_status.items():
        examples = {
            error.code: {"value": describe_problem(error(), public_url=public_url, request_id=REQUEST)}
            for error in errors
        }
        headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if status in (429, 503):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        refusals[str(status)] = {
            "description": " · ".join(f"`{error.code}`: {error.title}." for error in errors),
            "headers": headers,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
        }
    return refusals
