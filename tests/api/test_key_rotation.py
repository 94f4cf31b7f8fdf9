"""A rotated key is replaced, goes on for its grace period, is seen doing so, and is dead on time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api import operations
from ontology.records import utc_now
from ontology.redis_client import RedisError
from ontology.scopes import Scope
from tests.program import Caller, Program
from worker.request_log import drain_request_log

HOUR_MS = 3_600_000


async def _rotate(owner: Caller, key: Caller, **how: Any) -> tuple[Caller, dict[str, Any]]:
    made = await owner.make(f"/v1/api-keys/{key.key_id}/rotation", **how)
    return replace(key, key=made["key"], key_id=made["_id"]), made


def _set_clock(patch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """The time at which requests are admitted; nothing is told of it, so a key has to end by itself."""
    patch.setattr(operations, "utc_now", lambda: utc_now() + ahead)


async def test_both_keys_work_until_the_grace_period_ends_and_then_only_the_new_one(
    api: Program, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    new, made = await _rotate(owner, old)
    assert 23.9 * HOUR_MS < made["oldKeyUntil"] - made["createdAt"] < 24.1 * HOUR_MS
    assert [(await key.get("/v1/entities")).status_code for key in (old, new)] == [200, 200]
    _set_clock(monkeypatch, timedelta(hours=23, minutes=59))
    assert [(await key.get("/v1/entities")).status_code for key in (old, new)] == [200, 200]
    _set_clock(monkeypatch, timedelta(hours=24, seconds=1))
    answer = await old.get("/v1/entities")
    assert (answer.status_code, answer.json()["code"]) == (401, "expired_api_key")
    assert "replaced by rotation" in answer.json()["detail"]
    assert (await new.get("/v1/entities")).status_code == 200


async def test_without_grace_the_old_key_is_dead_on_the_next_request(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    assert (await old.get("/v1/entities")).status_code == 200
    new, _ = await _rotate(owner, old, graceHours=0)
    assert (await old.get("/v1/entities")).json()["code"] == "invalid_api_key"
    assert (await new.get("/v1/entities")).status_code == 200
    shown = (await owner.get(f"/v1/api-keys/{old.key_id}")).json()
    assert (shown["status"], shown["revokedReason"], shown["replacedBy"]) == ("revoked", "rotated", new.key_id)


async def test_the_old_key_shows_what_replaces_it_and_its_continued_use(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    new, made = await _rotate(owner, old, graceHours=168)
    path = f"/v1/api-keys/{old.key_id}"
    shown = (await owner.get(path)).json()
    assert (shown["status"], shown["replacedBy"], shown["rotatingUntil"]) == (
        "rotating",
        new.key_id,
        made["oldKeyUntil"],
    )
    assert (await owner.get(f"{path}/rotation")).json()["usedSinceStart"] is False
    async with api.client_at("203.0.113.9") as client:
        await replace(old, client=client).get("/v1/entities", headers={"User-Agent": "old-program/1.0"})
    while await drain_request_log(api.engine, api.redis):
        continue
    rotation = (await owner.get(f"{path}/rotation")).json()
    assert (rotation["usedSinceStart"], rotation["oldKeyStatus"]) == (True, "rotating")
    assert (rotation["lastUsedIp"], rotation["lastUsedAgent"]) == ("203.0.113.9", "old-program/1.0")
    shown = (await owner.get(path)).json()
    assert (shown["lastUsedIp"], shown["lastUsedAgent"]) == ("203.0.113.9", "old-program/1.0")
    assert shown["lastUsedAt"] == rotation["lastUsedAt"] > rotation["startedAt"]


async def test_the_new_key_has_the_rights_of_the_old_one(owner: Caller) -> None:
    body: dict[str, Any] = {
        "name": "Shop",
        "scopes": ["entities:read", "events:read"],
        "expiresAt": 4_102_444_800_000,
        "rateLimit": {"requestsPerMinute": 7, "requestsPerDay": 70},
        "allowedAddresses": ["203.0.113.0/24"],
        "allowedOrigins": ["https://app.example.com"],
    }
    old = await owner.make("/v1/api-keys", **body)
    new = await owner.make(f"/v1/api-keys/{old['_id']}/rotation")
    same = (*body, "groupId", "applicationId")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert new["replaces"] == old["_id"]
    fewer = await owner.make(f"/v1/api-keys/{new['_id']}/rotation", scopes=["entities:read"])
    assert fewer["scopes"] == ["entities:read"]


async def test_rotation_never_gives_more_than_the_old_or_the_acting_key_has(api: Program, owner: Caller) -> None:
    narrow = await api.issue(owner, Scope.ENTITIES_READ)
    manager = await api.issue(owner, Scope.API_KEYS_MANAGE, Scope.ENTITIES_READ)
    limited = await api.issue(owner, Scope.API_KEYS_MANAGE, Scope.ENTITIES_READ, per_minute=50)
    attempts = (
        (owner, narrow, {"scopes": ["entities:write"]}),
        (manager, owner, {}),
        (manager, owner, {"scopes": ["entities:read"]}),
        (limited, narrow, {}),
    )
    for actor, target, how in attempts:
        answer = await actor.post(f"/v1/api-keys/{target.key_id}/rotation", how)
        assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation"), how
        assert (await target.get("/v1/whoami")).status_code == 200


async def test_a_rotating_key_makes_no_key_that_outlives_it(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.API_KEYS_MANAGE)
    _, made = await _rotate(owner, old, graceHours=1)
    answer = await old.post("/v1/api-keys", {"name": "Heir", "scopes": [Scope.API_KEYS_MANAGE]})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (403, "body.expiresAt")
    again = await old.post(f"/v1/api-keys/{old.key_id}/rotation", {})
    assert again.status_code == 409
    assert made["_id"] in again.text


async def test_many_rotations_at_once_make_one_key(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    answers = await asyncio.gather(*(owner.post(f"/v1/api-keys/{old.key_id}/rotation", {}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_repeated_rotation_with_its_idempotency_key_gives_the_same_key(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    path, headers = f"/v1/api-keys/{old.key_id}/rotation", {"Idempotency-Key": f"rotate-{old.key_id}"}
    first, second = [await owner.post(path, {}, headers=headers) for _ in range(2)]
    assert (first.status_code, second.headers["idempotent-replayed"]) == (201, "true")
    assert first.content == second.content


async def test_a_rotation_that_could_not_be_announced_is_when_it_is_repeated(
    api: Program, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Any) -> None:
        raise RedisError

    old = await api.issue(owner, Scope.ENTITIES_READ)
    assert (await old.get("/v1/entities")).status_code == 200
    path, once = f"/v1/api-keys/{old.key_id}/rotation", {"Idempotency-Key": "rotate"}
    with monkeypatch.context() as patch:
        patch.setattr(api.litestar.state.services.authenticator.limiter, "raise_epoch", fail)
        assert (await owner.post(path, {"graceHours": 0}, headers=once)).status_code == 503
    repeated = await owner.post(path, {"graceHours": 0}, headers=once)
    assert (repeated.status_code, repeated.headers["idempotent-replayed"]) == (201, "true")
    assert (await old.get("/v1/entities")).status_code == 401


async def test_revoking_ends_the_grace_period_at_once(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    new, _ = await _rotate(owner, old)
    assert (await old.get("/v1/entities")).status_code == 200
    assert (await owner.delete(f"/v1/api-keys/{old.key_id}")).status_code == 200
    assert (await old.get("/v1/entities")).status_code == 401
    assert (await new.get("/v1/entities")).status_code == 200


async def test_what_has_ended_cannot_be_rotated(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    await owner.delete(f"/v1/api-keys/{old.key_id}")
    assert (await owner.post(f"/v1/api-keys/{old.key_id}/rotation", {})).status_code == 409
    assert (await owner.get(f"/v1/api-keys/{old.key_id}/rotation")).status_code == 404


async def test_a_rotation_is_an_event_of_both_keys(api: Program, owner: Caller) -> None:
    old = await api.issue(owner, Scope.ENTITIES_READ)
    new, made = await _rotate(owner, old)
    (told,) = (await owner.get("/v1/events", params={"targetId": old.key_id, "type": "thing_updated"})).json()["data"]
    assert (told["metadata"]["action"], told["metadata"]["replacedBy"]) == ("rotated", new.key_id)
    (made_event,) = (
        await owner.get("/v1/events", params={"targetId": new.key_id, "type": "api_key_generated"})
    ).json()["data"]
    assert made_event["metadata"]["replaces"] == old.key_id
    assert made["key"] not in (await owner.get("/v1/events", params={"limit": "1000"})).text


@pytest.mark.parametrize("grace", [-1, 169, "day", 1.5, None])
async def test_a_grace_period_is_from_none_to_seven_days(owner: Caller, grace: Any) -> None:
    answer = await owner.post(f"/v1/api-keys/{owner.key_id}/rotation", {"graceHours": grace})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body.graceHours")
