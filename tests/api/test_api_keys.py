"""Keys are never wider than the key that makes or changes them, and work only from where they may."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ontology.records import to_epoch_ms, utc_now
from ontology.scopes import Scope
from tests.program import Caller, Program

MANAGE = Scope.API_KEYS_MANAGE
LIMITS = {"requestsPerMinute": 50, "requestsPerDay": 1000}


async def _make(caller: Caller, **body: Any) -> tuple[Caller, dict[str, Any]]:
    made = await caller.make("/v1/api-keys", **({"name": "Key"} | body))
    return replace(caller, key=made["key"], key_id=made["_id"], group_id=made["groupId"]), made


def _life(days: int) -> int:
    return to_epoch_ms(utc_now() + timedelta(days=days))


async def _bounded(owner: Caller) -> Caller:
    """A key with a bound of every kind."""
    caller, _ = await _make(
        owner,
        scopes=[MANAGE, "entities:write"],
        expiresAt=_life(10),
        rateLimit=LIMITS,
        allowedAddresses=["127.0.0.0/8"],
        allowedOrigins=["https://app.example.com"],
    )
    return caller


FITTING: dict[str, Any] = {
    "name": "Fits",
    "scopes": ["entities:read"],
    "rateLimit": {"requestsPerMinute": 50, "requestsPerDay": 999},
    "allowedAddresses": ["127.0.0.1"],
    "allowedOrigins": ["https://app.example.com"],
}
ORIGIN = {"Origin": "https://app.example.com"}


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"scopes": ["entities:read", "events:read"]}, "body.scopes"),
        ({"scopes": ["entities:delete"]}, "body.scopes"),
        ({"expiresAt": None}, "body.expiresAt"),
        ({"expiresAt": 20}, "body.expiresAt"),
        ({"rateLimit": None}, "body.rateLimit.requestsPerMinute"),
        ({"rateLimit": {"requestsPerMinute": 51, "requestsPerDay": 999}}, "body.rateLimit.requestsPerMinute"),
        ({"rateLimit": {"requestsPerMinute": 50, "requestsPerDay": 1001}}, "body.rateLimit.requestsPerDay"),
        ({"allowedAddresses": None}, "body.allowedAddresses"),
        ({"allowedAddresses": ["127.0.0.1", "10.0.0.0/8"]}, "body.allowedAddresses"),
        ({"allowedAddresses": ["0.0.0.0/0"]}, "body.allowedAddresses"),
        ({"allowedAddresses": ["::/0"]}, "body.allowedAddresses"),
        ({"allowedOrigins": None}, "body.allowedOrigins"),
        ({"allowedOrigins": ["https://app.example.com", "https://evil.example"]}, "body.allowedOrigins"),
    ],
)
async def test_no_key_makes_one_that_is_wider(owner: Caller, change: dict[str, Any], location: str) -> None:
    bounded = await _bounded(owner)
    body = FITTING | {"expiresAt": _life(9)} | change
    if isinstance(body["expiresAt"], int) and body["expiresAt"] < 1000:
        body["expiresAt"] = _life(body["expiresAt"])
    body = {name: value for name, value in body.items() if value is not None}
    answer = await bounded.post("/v1/api-keys", body, headers=ORIGIN)
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation"), answer.text
    assert location in {flaw["location"] for flaw in answer.json()["errors"]}


async def test_a_key_makes_one_that_is_as_wide_as_itself(owner: Caller) -> None:
    bounded = await _bounded(owner)
    body = FITTING | {"expiresAt": _life(9)}
    assert (await bounded.post("/v1/api-keys", body, headers=ORIGIN)).status_code == 201


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"rateLimit": None}, "body.rateLimit.requestsPerMinute"),
        ({"allowedAddresses": None}, "body.allowedAddresses"),
        ({"allowedOrigins": ["https://evil.example"]}, "body.allowedOrigins"),
        ({"scopes": [MANAGE, "entities:write", "events:read"]}, "body.scopes"),
    ],
)
async def test_no_key_widens_itself_or_another(owner: Caller, change: dict[str, Any], location: str) -> None:
    bounded = await _bounded(owner)
    for target in (bounded.key_id, (await _make_within(bounded))["_id"]):
        answer = await bounded.call("PATCH", f"/v1/api-keys/{target}", json=change, headers=ORIGIN)
        assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")
        assert location in {flaw["location"] for flaw in answer.json()["errors"]}


async def _make_within(bounded: Caller) -> dict[str, Any]:
    answer = await bounded.post("/v1/api-keys", FITTING | {"expiresAt": _life(9)}, headers=ORIGIN)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_never_gains_a_scope_even_from_a_wider_key(owner: Caller) -> None:
    _, made = await _make(owner, scopes=["entities:read"])
    answer = await owner.call("PATCH", f"/v1/api-keys/{made['_id']}", json={"scopes": ["events:read"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")


async def test_a_change_holds_from_the_next_request_on(owner: Caller) -> None:
    caller, made = await _make(owner, scopes=["entities:read", "events:read"])
    assert (await caller.get("/v1/events")).status_code == 200
    path = f"/v1/api-keys/{made['_id']}"
    changed = await owner.call(
        "PATCH", path, json={"name": "Renamed", "scopes": ["entities:read"], "rateLimit": LIMITS}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["rateLimit"]) == ("Renamed", LIMITS)
    assert (await caller.get("/v1/events")).json()["code"] == "insufficient_scope"
    assert '"key-minute";q=50' in (await caller.get("/v1/entities")).headers["ratelimit-policy"]
    again = await owner.call("PATCH", path, json={"rateLimit": None})
    assert again.json()["rateLimit"] is None
    assert "key-minute" not in (await caller.get("/v1/entities")).headers["ratelimit-policy"]


async def test_a_change_is_an_event_that_names_fields_and_no_secret(owner: Caller) -> None:
    _, made = await _make(owner, preset="read-only")
    await owner.call("PATCH", f"/v1/api-keys/{made['_id']}", json={"name": "Renamed"})
    events = await owner.get("/v1/events", params={"targetId": made["_id"], "type": "thing_updated"})
    (event,) = events.json()["data"]
    assert (event["metadata"]["action"], event["metadata"]["fields"]) == ("changed", ["name"])
    assert made["key"] not in (await owner.get("/v1/events", params={"targetId": made["_id"]})).text


async def test_a_key_that_has_ended_cannot_be_changed(owner: Caller) -> None:
    _, made = await _make(owner, preset="read-only")
    await owner.delete(f"/v1/api-keys/{made['_id']}")
    answer = await owner.call("PATCH", f"/v1/api-keys/{made['_id']}", json={"name": "Back"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"scopes": None},
        {"scopes": []},
        {"allowedAddresses": []},
        {"allowedAddresses": ["10.0.0.1/8"]},
        {"allowedAddresses": ["somewhere"]},
        {"allowedOrigins": ["app.example.com"]},
        {"allowedOrigins": ["https://app.example.com/path"]},
        {"expiresAt": 4102444800000},
        {"status": "active"},
        {"groupId": "group_01jd8kq3v5e9ra7t2m4xw6yz0c"},
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(owner: Caller, change: dict[str, Any]) -> None:
    answer = await owner.call("PATCH", f"/v1/api-keys/{owner.key_id}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"][0]["location"].startswith("body.")


@pytest.mark.parametrize(
    ("allowed", "address", "admitted"),
    [
        ("203.0.113.0/24", "203.0.113.9", True),
        ("203.0.113.0/24", "203.0.114.9", False),
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.0/24", "::ffff:203.0.113.9", True),
        ("::ffff:203.0.113.0/120", "203.0.113.9", True),
        ("2001:db8::/48", "2001:db8:0:7::1", True),
        ("2001:db8::/48", "2001:db9::1", False),
        ("2001:db8::/48", "203.0.113.9", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("0.0.0.0/0", "", False),
    ],
)
async def test_a_key_works_from_its_allowed_addresses_only(
    api: Program, owner: Caller, allowed: str, address: str, admitted: bool
) -> None:
    caller, _ = await _make(owner, preset="read-only", allowedAddresses=[allowed])
    async with api.client_at(address) as client:
        answer = await replace(caller, client=client).get("/v1/entities")
    if admitted:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")


async def test_no_forwarding_header_makes_an_address_allowed(api: Program, owner: Caller) -> None:
    caller, _ = await _make(owner, preset="read-only", allowedAddresses=["203.0.113.9"])
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP"):
        value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
        answer = await caller.get("/v1/entities", headers={name: value})
        assert answer.json()["code"] == "address_not_allowed", name


async def test_a_request_from_elsewhere_is_an_event_and_costs_no_budget(api: Program, owner: Caller) -> None:
    caller, made = await _make(owner, preset="read-only", allowedAddresses=["203.0.113.9"])
    before = (await owner.get("/v1/quota")).json()["usage"]["requestsToday"]
    for _ in range(3):
        assert (await caller.get("/v1/entities")).status_code == 403
    assert (await owner.get("/v1/quota")).json()["usage"]["requestsToday"] == before + 1
    events = await owner.get("/v1/events", params={"type": "api_auth_failed", "targetId": made["_id"]})
    told = events.json()["data"][0]["metadata"]
    assert (told["reason"], told["ipAddress"]) == ("address_not_allowed", "127.0.0.1")


async def test_a_key_works_from_its_allowed_origins_only(owner: Caller) -> None:
    caller, made = await _make(owner, preset="read-only", allowedOrigins=["HTTPS://App.Example.com:443"])
    assert made["allowedOrigins"] == ["https://app.example.com"]
    answer = await caller.get("/v1/entities", headers=ORIGIN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN["Origin"])
    assert "access-control-allow-origin" not in (await owner.get("/v1/entities", headers=ORIGIN)).headers
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://app.example.com"}):
        answer = await caller.get("/v1/entities", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
