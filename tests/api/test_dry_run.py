"""`dryRun=true`: everything is checked and answered, nothing is stored, no event is written."""

import pytest

from tests.program import Caller


async def _events(owner: Caller) -> int:
    return len([e for e in await owner.all_rows("/v1/events") if e["type"] != "api_request_made"])


async def test_a_tried_create_answers_what_would_be_and_stores_nothing(owner: Caller) -> None:
    before = await _events(owner)
    body = {"type": "course", "name": "Botany", "properties": {"price": 5}}
    tried = await owner.post("/v1/entities", body, params={"dryRun": "true"})
    assert (tried.status_code, tried.headers["dry-run"]) == (200, "true")
    assert tried.json()["properties"] == {"price": 5}
    assert (await owner.get(f"/v1/entities/{tried.json()['_id']}")).status_code == 404
    assert await owner.all_rows("/v1/entities") == []
    assert await _events(owner) == before


async def test_a_tried_change_answers_what_would_be_and_changes_nothing(owner: Caller) -> None:
    made = await owner.make_thing()
    before = await _events(owner)
    path = f"/v1/entities/{made['_id']}"
    tried = await owner.call("PATCH", path, json={"name": "Ferns"}, params={"dryRun": "true"})
    assert (tried.status_code, tried.json()["name"], "etag" in tried.headers) == (200, "Ferns", False)
    assert (await owner.get(path)).json() == made
    assert await _events(owner) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "cours", "name": "x"}, "unknown_type"),
        ({"type": "course", "name": "x", "properties": {"price": "x"}}, "invalid_properties"),
        ({"type": "course"}, "invalid_request"),
        ({"type": "api_key", "name": "x"}, "managed_type"),
    ],
)
async def test_a_tried_request_is_refused_for_all_that_the_real_one_is(
    owner: Caller, body: dict[str, object], code: str
) -> None:
    tried = await owner.post("/v1/entities", body, params={"dryRun": "true"})
    real = await owner.post("/v1/entities", body)
    assert tried.json()["code"] == real.json()["code"] == code
    assert tried.json()["errors"] == real.json()["errors"]


async def test_a_tried_request_does_not_use_up_its_idempotency_key(owner: Caller) -> None:
    body, headers = {"type": "course", "name": "Botany"}, {"Idempotency-Key": "once"}
    for _ in range(2):
        assert (await owner.post("/v1/entities", body, params={"dryRun": "true"}, headers=headers)).status_code == 200
    made = await owner.post("/v1/entities", body, headers=headers)
    assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)
