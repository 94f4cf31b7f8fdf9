"""What the OpenAPI document lets a stranger send: every operation, and each place in it for an id or a text."""

import json
import re
import secrets
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import httpx

from api.openapi import build_document
from api.operations import find_operations
from api.routes import operation_handlers
from ontology.ids import ALPHABET, encode_id, new_id
from tests import archives
from tests.archives import pack
from tests.program import Caller, join

DOCUMENT = build_document(find_operations(operation_handlers), public_url="http://one.test")
_ID_PATTERN = re.compile(r"^\^\(?([a-z|]+)\)?_")
_BODY_TYPE = "application/json"
_LISTING_POSTS = ("searchKnowledge", "askKnowledge", "suggestOperations")
# What a request needs to be worth sending: a tail that ends.
_QUERIES = {"tailEvents": {"seconds": "0"}}
# What takes a word of the vocabulary, which is nobody's, or a text that the program made.
_NO_TEXTS = frozenset({"type", "relationshipType", "name", "category", "cursor"})
# Slots that take a group, and those that any thing is good for.
_GROUPS = frozenset({"groupId", "parentGroupId", "events.groupId", "items.groupId", "items create.groupId"})
_THINGS = frozenset({"fromId", "toId", "endId", "entityId", "startId", "actorId", "targetId"})
_THINGS |= {"events.actorId", "events.targetId", "items update._id", "items delete._id"}
# The items of a batch have one form for each operation, and its example shows but one.
_BATCH = "changeEntities"
_BATCH_ITEMS: dict[str, dict[str, Any]] = {
    "create": {"operation": "create", "type": "course", "name": "Botany"},
    "update": {"operation": "update", "name": "Zoology"},
    "delete": {"operation": "delete"},
}


@dataclass(frozen=True)
class Slot:
    """A place that takes an id of one of `kinds`."""

    operation: str
    where: str
    name: str
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operation} {self.where}.{self.name}"


_TAIL_START = Slot("tailEvents", "query", "lastEventId", ("event",))


@dataclass(frozen=True)
class Attempt:
    """One request, before it is sent."""

    operation: str
    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None
    archive: bytes | None = None

    def with_id(self, slot: Slot, value: str) -> "Attempt":
        if slot.where == "path":
            return replace(self, path=self.path.replace(f"{{{slot.name}}}", value))
        if slot.where == "query":
            return replace(self, query=self.query | {slot.name: value})
        body = deepcopy(self.body or {})
        name, _, field = slot.name.rpartition(".")
        if slot.operation == _BATCH:
            body = {"items": [_BATCH_ITEMS[name.removeprefix("items ")] | {field: value}]}
        else:
            (body[name][0] if name else body)[field] = value
        return replace(self, body=body)

    def with_query(self, **more: str) -> "Attempt":
        return replace(self, query=self.query | more)

    async def send(self, caller: Caller, idempotency_key: str | None = None, end: bytes = b"") -> httpx.Response:
        """`end` stands behind the body, which is another one then, and says the same."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        options: dict[str, Any] = {"params": self.query, "headers": headers}
        if self.body is not None:
            options["content"] = json.dumps(self.body).encode() + end
            headers["Content-Type"] = _BODY_TYPE
        if self.archive is not None:
            options["content"] = self.archive + end
            headers |= archives.TYPE
        return await caller.call(self.method, self.path, **options)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation."""
    for path, methods in DOCUMENT["paths"].items():
        for method, about in methods.items():
            yield method.upper(), path, about


@cache
def slots() -> tuple[Slot, ...]:
    """Every place of the API that takes an id."""
    found: list[Slot] = []
    for _, _, about in operations():
        for parameter in about.get("parameters", []):
            if kinds := _kinds(parameter["schema"]):
                found.append(Slot(about["operationId"], parameter["in"], parameter["name"], kinds))
        for name, schema in _body_fields(about).items():
            if kinds := _kinds(schema):
                found.append(Slot(about["operationId"], "body", name, kinds))
    found.append(Slot(_BATCH, "body", "items create.groupId", ("group",)))
    found.extend(Slot(_BATCH, "body", f"items {verb}._id", ("thing",)) for verb in ("update", "delete"))
    return tuple(found)


@cache
def attempts() -> dict[str, Attempt]:
    """A request for every operation: its documented example, with ids still to be filled in."""
    return {
        about["operationId"]: Attempt(
            about["operationId"],
            method,
            path,
            _QUERIES.get(about["operationId"], {}),
            _example_body(about),
            pack({"own.md": b"own"}) if archives.TYPE["Content-Type"] in _body_contents(about) else None,
        )
        for method, path, about in operations()
    }


def lists() -> list[Attempt]:
    """Every request that shows rows without being given an id."""
    found: list[Attempt] = []
    for method, path, about in operations():
        if "{" in path or (method != "GET" and about["operationId"] not in _LISTING_POSTS):
            continue
        plain = attempts()[about["operationId"]]
        names = _parameters(about)
        found.append(plain.with_query(limit="1000") if "limit" in names else plain)
        if "includeDeleted" in names:
            found.append(found[-1].with_query(includeDeleted="true"))
        if "expand" in names:
            found.append(found[-1].with_query(expand="connections", totalCount="true"))
    return found


def filters() -> list[tuple[Attempt, str]]:
    """Every request that shows rows, with the name of a parameter that takes a free text to filter them by."""
    found = [
        (attempts()[about["operationId"]], name)
        for method, path, about in operations()
        for name, schema in _parameters(about).items()
        if method == "GET" and "{" not in path and _is_free_text(schema) and name not in _NO_TEXTS
    ]
    return [*found, (attempts()["listEntities"], "properties.title")]


def paged() -> list[Attempt]:
    """Every request that goes on from a cursor; one that lists what lies below an id still lacks the id."""
    return [attempts()[about["operationId"]] for _, _, about in operations() if "cursor" in _parameters(about)]


def repeatable() -> list[Attempt]:
    """Every request that takes an idempotency key."""
    return [
        attempts()[about["operationId"]]
        for _, _, about in operations()
        if any(parameter["name"] == "Idempotency-Key" for parameter in about.get("parameters", []))
    ]


async def own_ids(caller: Caller, group_id: str, operation: str) -> dict[str, str]:
    """What an operation may do its work on: fresh rows of the caller's own, by name of slot."""
    names = {slot.name for slot in slots() if slot.operation == operation}
    ids: dict[str, str] = dict.fromkeys(_GROUPS, group_id) | {"requestId": never_existed("request")}
    if names & _THINGS:
        first, second = [(await caller.make_thing(groupId=group_id))["_id"] for _ in range(2)]
        ids |= dict.fromkeys(_THINGS, first) | {"toId": second}
    if operation == "restoreEntity":
        assert (await caller.delete(f"/v1/entities/{ids['entityId']}")).status_code == 200
    if operation in ("moveGroup", "archiveGroup", "restoreGroup"):
        ids["groupId"] = (await caller.make("/v1/groups", name="Own", parentGroupId=group_id))["_id"]
    if operation == "restoreGroup":
        assert (await caller.delete(f"/v1/groups/{ids['groupId']}")).status_code == 200
    if "keyId" in names:
        ids["keyId"] = (await caller.make("/v1/api-keys", name="Own", preset="read-only", groupId=group_id))["_id"]
    if operation == "getApiKeyRotation":
        await caller.make(f"/v1/api-keys/{ids['keyId']}/rotation")
    if operation == "troubleshoot":
        for within in ({}, {"groupId": group_id}):
            calls = await caller.get("/v1/events", params={"type": "api_request_made", "limit": "1"} | within)
            ids["requestId"] = next((call["requestId"] for call in calls.json()["data"]), ids["requestId"])
    if "lastEventId" in names:
        ids["lastEventId"] = (await caller.all_rows("/v1/events", groupId=group_id, limit="1000"))[-1]["_id"]
    if "applicationId" in names:
        ids["applicationId"] = (await caller.make("/v1/applications", name="Own", groupId=group_id))["_id"]
    if "invitationId" in names:
        address = f"{secrets.token_hex(8)}@example.com"
        made = await caller.make("/v1/invitations", email=address, role="customer", groupId=group_id)
        ids["invitationId"] = made["_id"]
    if "personId" in names:
        ids["personId"] = await join(caller, role="customer", groupId=group_id)
    if operation == "reportLeak":
        leaked = await caller.make("/v1/api-keys", name="Leaked", preset="read-only", groupId=group_id)
        ids["leakedKey"] = leaked["key"]
    if "connectionId" in names:
        ends = [(await caller.make_thing(groupId=group_id))["_id"] for _ in range(2)]
        between = dict(zip(("fromId", "toId"), ends, strict=True))
        made = await caller.make("/v1/connections", relationshipType="part_of", groupId=group_id, **between)
        ids["connectionId"] = made["_id"]
    if names & {"documentId", "specificationId"}:
        made = await caller.make("/v1/knowledge/documents", title="Own", text="own", groupId=group_id)
        ids |= dict.fromkeys(("documentId", "specificationId"), made["_id"])
    return ids


def fill(attempt: Attempt, ids: dict[str, str], except_for: Slot | None = None) -> Attempt:
    """Put own ids wherever the request needs one, but for one slot."""
    for slot in slots():
        if slot.operation != attempt.operation or slot == except_for:
            continue
        needed = slot.where == "path" or (slot.where == "body" and slot.name in (attempt.body or {}))
        # A tail that began now would have nothing to tell of anybody.
        needed = needed or (slot == _TAIL_START and except_for is not None)
        if needed:
            attempt = attempt.with_id(slot, ids[slot.name])
    if "leakedKey" in ids:
        return replace(attempt, body={"key": ids["leakedKey"]})
    return attempt


def never_existed(kind: str) -> str:
    """An id of a kind that no row has."""
    if kind == "request":
        return "req_" + "".join(secrets.choice(ALPHABET) for _ in range(24))
    return encode_id(kind, new_id())


def stream_rows(answer: httpx.Response) -> list[dict[str, Any]]:
    """The rows of an export or a tail."""
    lines = (line.removeprefix("data: ") for line in answer.text.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def _parameters(about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The query parameters of an operation and what they take."""
    return {each["name"]: each["schema"] for each in about.get("parameters", []) if each["in"] == "query"}


def _is_free_text(schema: dict[str, Any]) -> bool:
    return "maxLength" in schema and not schema.keys() & {"enum", "const", "pattern", "format"}


def _kinds(schema: dict[str, Any]) -> tuple[str, ...]:
    options = [schema, *schema.get("anyOf", [])]
    found = next((match for option in options if (match := _ID_PATTERN.match(option.get("pattern", "")))), None)
    if found is None:
        return ()
    return tuple("request" if kind == "req" else kind for kind in found.group(1).split("|"))


def _body_fields(about: dict[str, Any]) -> dict[str, Any]:
    if _BODY_TYPE not in _body_contents(about):
        return {}
    fields = _properties(_body_contents(about)[_BODY_TYPE]["schema"])
    nested = {name: field["items"] for name, field in fields.items() if "$ref" in field.get("items", {})}
    return fields | {
        f"{name}.{inner}": schema for name, items in nested.items() for inner, schema in _properties(items).items()
    }


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    return DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]].get("properties", {})


def _example_body(about: dict[str, Any]) -> dict[str, Any] | None:
    if _BODY_TYPE not in _body_contents(about):
        return None
    return deepcopy(_body_contents(about)[_BODY_TYPE]["examples"]["default"]["value"])


def _body_contents(about: dict[str, Any]) -> dict[str, Any]:
    return about.get("requestBody", {}).get("content", {})
