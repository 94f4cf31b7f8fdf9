"""Every call is an event of the organisation whose key was sent, on every plan, refused ones included."""

from datetime import timedelta
from typing import Any

import pytest

from ontology.plans import Plan
from ontology.records import utc_now
from ontology.scopes import Scope
from tests.logged_calls import drain
from tests.program import Caller, Program, eventually

PUBLISHED = {
    "timestamp",
    "endpoint",
    "method",
    "statusCode",
    "latency",
    "payloadSize",
    "ipAddress",
    "userAgent",
}


async def logged(api: Program, owner: Caller, request_id: str) -> list[dict[str, Any]]:
    await drain(api)
    rows = await owner.all_rows("/v1/events", requestId=request_id)
    return [row for row in rows if row["type"] == "api_request_made"]


@pytest.mark.parametrize("plan", Plan)
async def test_a_call_has_the_eight_published_fields_and_its_key_on_every_plan(api: Program, plan: Plan) -> None:
    caller = await api.register(plan=plan)
    answer = await caller.get("/v1/whoami", headers={"User-Agent": "curl/8"})
    (event,) = await logged(api, caller, answer.headers["x-request-id"])
    about = event["metadata"]
    assert set(about) == PUBLISHED
    assert (about["endpoint"], about["method"], about["statusCode"]) == ("/v1/whoami", "GET", 200)
    assert (about["payloadSize"], about["userAgent"]) == (len(answer.content), "curl/8")
    assert about["latency"] > 0
    assert (event["keyId"], event["targetId"]) == (caller.key_id, caller.key_id)


async def test_a_refusal_belongs_to_whose_key_was_sent(api: Program, owner: Caller) -> None:
    """Also where no operation was reached, and where the key is no longer worth anything."""
    reader = await api.issue(owner, Scope.ENTITIES_READ)
    revoked = await api.issue(owner)
    assert (await owner.delete(f"/v1/api-keys/{revoked.key_id}")).status_code == 200
    expired = await api.issue(owner, expires_at=utc_now() + timedelta(seconds=1))

    async def has_expired() -> bool:
        return (await expired.get("/v1/whoami")).status_code == 401

    await eventually(has_expired)
    limited = await api.issue(owner, per_minute=1)
    await limited.get("/v1/whoami")
    refusals = [
        (reader, await reader.post("/v1/entities", {"type": "course", "name": "x"}), 403),
        (revoked, await revoked.get("/v1/whoami"), 401),
        (expired, await expired.get("/v1/whoami"), 401),
        (limited, await limited.get("/v1/whoami"), 429),
        (owner, await owner.get("/v1/nowhere"), 404),
        (owner, await owner.call("PUT", "/v1/whoami"), 405),
        (owner, await owner.get("/v1/entities?limit=0"), 400),
        (owner, await owner.get(f"/v1/entities?q={'a' * 9_000}"), 414),
    ]
    for caller, answer, status in refusals:
        assert answer.status_code == status, answer.text
        (event,) = await logged(api, owner, answer.headers["x-request-id"])
        assert (event["metadata"]["statusCode"], event["keyId"]) == (status, caller.key_id)


async def test_what_nobodys_key_was_sent_with_is_in_nobodys_log(api: Program, owner: Caller) -> None:
    wrong = owner.key[:-1] + ("a" if owner.key[-1] != "a" else "b")
    answers = [
        await api.client.get("/v1/whoami"),
        await api.client.get("/v1/nowhere", headers={"Authorization": f"Bearer {wrong}"}),
        await api.client.get("/v1/whoami", headers={"Authorization": "Basic eDp5"}),
    ]
    for answer in answers:
        assert await logged(api, owner, answer.headers["x-request-id"]) == []
