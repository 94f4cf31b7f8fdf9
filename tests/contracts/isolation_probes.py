"""What the OpenAPI document lets a stranger try: every place of every operation that takes an id, and every list."""

import json
import re
import secrets
from collections.abc import Collection, Iterator
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
from tests.contracts.isolation_world import Belongings, World
from tests.program import Caller, join

DOCUMENT = build_document(find_operations(operation_handlers), public_url="http://one.test")
_ID_PATTERN = re.compile(r"^\^\(?([a-z|]+)\)?_")
_BODY_TYPE = "application/json"
_LAST = ("deleteDocument", "archiveGroup")
_LISTING_POSTS = ("searchKnowledge", "askKnowledge", "suggestOperations")
# What a request needs to be worth sending: a tail that ends.
_QUERIES = {"tailEvents": {"seconds": "0"}}
# Of one kind and victim: all but most of the events.
_IDS_MAX = 5
# Different in two answers of equal meaning.
_CHANGING_HEADERS = frozenset({"x-request-id", "ratelimit", "ratelimit-policy", "date", "etag"})


@dataclass(frozen=True)
class Slot:
    """A place that takes an id of one of `kinds`."""

    operation: str
    where: str
    name: str
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operation} {self.where}.{self.name}"


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
        (body[name][0] if name else body)[field] = value
        return replace(self, body=body)

    async def send(self, caller: Caller) -> httpx.Response:
        options: dict[str, Any] = {"params": self.query}
        if self.body is not None:
            options["json"] = self.body
        if self.archive is not None:
            options |= {"content": self.archive, "headers": archives.TYPE}
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
    return tuple(found)


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
    """Every request that shows rows without being given an id, and every free text it can be filtered by."""
    found: list[Attempt] = []
    for method, path, about in operations():
        if "{" in path or (method != "GET" and about["operationId"] not in _LISTING_POSTS):
            continue
        plain = attempts()[about["operationId"]]
        names = {parameter["name"] for parameter in about.get("parameters", [])}
        found.append(replace(plain, query=plain.query | ({"limit": "1000"} if "limit" in names else {})))
        if "includeDeleted" in names:
            found.append(replace(found[-1], query=found[-1].query | {"includeDeleted": "true"}))
        if "expand" in names:
            found.append(replace(found[-1], query=found[-1].query | {"expand": "connections", "totalCount": "true"}))
        if "q" in names:
            found.append(replace(plain, query={"q": "canary"}))
    return found


async def own_ids(caller: Caller, group_id: str, operation: str) -> dict[str, str]:
    """What an operation may do its work on: fresh rows of the caller's own, by name of slot."""
    names = {slot.name for slot in slots() if slot.operation == operation}
    first, second = await caller.make_thing(groupId=group_id), await caller.make_thing(groupId=group_id)
    if operation == "restoreEntity":
        assert (await caller.delete(f"/v1/entities/{first['_id']}")).status_code == 200
    ids = dict.fromkeys(("groupId", "parentGroupId"), group_id)
    if operation in ("moveGroup", "archiveGroup", "restoreGroup"):
        below = await caller.make("/v1/groups", name="Own", parentGroupId=group_id)
        ids["groupId"] = below["_id"]
    if operation == "restoreGroup":
        assert (await caller.delete(f"/v1/groups/{ids['groupId']}")).status_code == 200
    ids |= {
        "fromId": first["_id"],
        "toId": second["_id"],
        "endId": first["_id"],
        "entityId": first["_id"],
        "startId": first["_id"],
    }
    ids |= {"actorId": first["_id"], "targetId": first["_id"], "requestId": never_existed("request")}
    if "keyId" in names:
        key = await caller.make("/v1/api-keys", name="Own", preset="read-only", groupId=group_id)
        ids["keyId"] = key["_id"]
        if operation == "getApiKeyRotation":
            await caller.make(f"/v1/api-keys/{key['_id']}/rotation")
    ids |= {f"events.{name}": ids[name] for name in ("actorId", "targetId", "groupId")}
    ids["items.groupId"] = group_id
    if operation == "troubleshoot":
        calls = await caller.get("/v1/events", params={"type": "api_request_made", "limit": "1"})
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
        ends = {"fromId": first["_id"], "toId": second["_id"]}
        made = await caller.make("/v1/connections", relationshipType="part_of", groupId=group_id, **ends)
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
        needed = needed or (slot.name == "lastEventId" and except_for is not None)
        if needed:
            attempt = attempt.with_id(slot, ids[slot.name])
    if "leakedKey" in ids:
        return replace(attempt, body={"key": ids["leakedKey"]})
    return attempt


async def find_leaks(
    world: World, caller: Caller, victims: list[Belongings], operations: Collection[str] = ()
) -> dict[str, list[str]]:
    """Send every probe, or those of some operations; what an answer tells that it must not, by who told it."""
    leaks: dict[str, list[str]] = {}
    for attempt in [each for each in lists() if not operations or each.operation in operations]:
        leaks[f"{attempt.operation} {attempt.query}"] = await _probe_list(caller, attempt, victims)
    # Without walls deleting a victim's document hides it from later probes, and archiving a group above the attacker's
    # own ends the attack, so these come last.
    wanted = [slot for slot in slots() if not operations or slot.operation in operations]
    for slot in sorted(wanted, key=lambda slot: _LAST.index(slot.operation) if slot.operation in _LAST else -1):
        ready = fill(
            attempts()[slot.operation], await own_ids(world.root_key, world.mine.group_id, slot.operation), slot
        )
        leaks[str(slot)] = await _probe_slot(caller, ready, slot, victims)
    return leaks


def never_existed(kind: str) -> str:
    """An id of a kind that no row has."""
    if kind == "request":
        return "req_" + "".join(secrets.choice(ALPHABET) for _ in range(24))
    return encode_id(kind, new_id())


async def _probe_slot(caller: Caller, ready: Attempt, slot: Slot, victims: list[Belongings]) -> list[str]:
    told: list[str] = []
    for kind in slot.kinds:
        nobody = never_existed(kind)
        twin = await ready.with_id(slot, nobody).send(caller)
        if not _is_nothing(twin):
            told.append(f"the probe does not reach the id: {twin.status_code} {twin.text[:200]}")
        for victim in victims:
            for value in victim.ids.get(kind, [])[:_IDS_MAX]:
                answer = await ready.with_id(slot, value).send(caller)
                if _describe(answer, value) != _describe(twin, nobody):
                    told.append(f"{victim.relation} {value}: {answer.status_code} instead of {twin.status_code}")
                told.extend(_find_words(answer.text.replace(value, ""), victims))
    return told


async def _probe_list(caller: Caller, attempt: Attempt, victims: list[Belongings]) -> list[str]:
    text = ""
    while True:
        answer = await attempt.send(caller)
        if answer.status_code != 200:
            return [f"the probe does not reach the list: {answer.status_code} {answer.text[:200]}"]
        text += answer.text
        cursor = _read(answer).get("pagination", {}).get("nextCursor")
        if cursor is None:
            return _find_words(text, victims)
        attempt = replace(attempt, query=attempt.query | {"cursor": cursor})


def _is_nothing(twin: httpx.Response) -> bool:
    """Not found, an empty list, or a batch in which nothing was found for any item."""
    if twin.status_code != 200:
        return twin.status_code == 404
    data = _read(twin).get("data")
    return isinstance(data, list) and all(entry.get("status") == 404 for entry in data)


def _read(answer: httpx.Response) -> dict[str, Any]:
    """A document; or the rows of an answer that comes in pieces, as a list."""
    if "json" in (media_type := answer.headers["content-type"]) and "ndjson" not in media_type:
        return answer.json()
    return {"data": stream_rows(answer)}


def stream_rows(answer: httpx.Response) -> list[dict[str, Any]]:
    """The rows of an export or a tail."""
    lines = (line.removeprefix("data: ") for line in answer.text.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def _find_words(text: str, victims: list[Belongings]) -> list[str]:
    """Canaries and ids of victims. A group above may be named as a parent: that much its children know."""
    told: list[str] = []
    for victim in victims:
        if victim.canary in text:
            told.append(f"{victim.relation}: its canary")
        for kind, ids in victim.ids.items():
            if kind == "group" and victim.relation in ("parent", "grandparent"):
                continue
            told.extend(f"{victim.relation}: {value}" for value in ids if value in text)
    return told


def _describe(answer: httpx.Response, probed: str) -> tuple[int, Any, dict[str, str]]:
    """An answer without what differs between any two: the request's id, and the id that was asked for."""
    text = json.dumps(_read(answer)).replace(probed, "<probed>")
    content = json.loads(text.replace(answer.headers["x-request-id"], "<request>"))
    headers = {name: value for name, value in answer.headers.items() if name not in _CHANGING_HEADERS}
    return answer.status_code, content, headers


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
