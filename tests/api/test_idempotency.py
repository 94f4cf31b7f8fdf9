"""Idempotency keys: one effect, answered byte for byte as the first time, however often and however at once."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from ontology.database import open_transaction, run_sql
from ontology.idempotency import LIFE, describe_intent
from ontology.records import utc_now
from tests.program import Caller, Program

BODY = {"type": "course", "name": "Botany"}
PARALLEL = 50


async def post(caller: Caller, name: str, body: Any = None, path: str = "/v1/entities") -> Any:
    return await caller.post(path, body or BODY, headers={"Idempotency-Key": name})


async def count_things(caller: Caller) -> int:
    return len(await caller.all_rows("/v1/entities"))


async def test_a_repeated_request_has_one_effect_and_the_same_answer_byte_for_byte(owner: Caller) -> None:
    first = await post(owner, "once")
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    await owner.call("PATCH", f"/v1/entities/{first.json()['_id']}", json={"name": "Changed since"})
    for _ in range(2):
        again = await post(owner, "once")
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count_things(owner) == 1
    events = await owner.all_rows("/v1/events", type="thing_created", targetId=first.json()["_id"])
    assert len(events) == 1


async def test_fifty_twins_at_once_have_one_effect(owner: Caller) -> None:
    answers = await asyncio.gather(*(post(owner, "twins") for _ in range(PARALLEL)))
    for answer in [answer for answer in answers if answer.status_code == 503]:
        assert "retry-after" in answer.headers  # the machine is busy; a client sends it again
        answers[answers.index(answer)] = await post(owner, "twins")
    counts = Counter(answer.status_code for answer in answers)
    assert counts.keys() <= {201, 409}
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in done}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in done) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_flight"
            assert answer.headers["retry-after"] == "1"
    assert await count_things(owner) == 1


async def test_while_the_first_is_running_the_second_is_told_to_wait(api: Program, owner: Caller) -> None:
    name = f"{owner.org_id}|{await key_uuid(api, owner)}|slow"
    async with open_transaction(api.engine, owner.owner) as session:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))")
        await run_sql(session, lock, {"name": name})
        answer = await post(owner, "slow")
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_flight")
        assert (await post(owner, "another")).status_code == 201
    assert (await post(owner, "slow")).status_code == 201


async def key_uuid(api: Program, owner: Caller) -> Any:
    async with open_transaction(api.engine, owner.owner) as session:
        return (await run_sql(session, text("SELECT key_id FROM api_key_secrets"))).scalar_one()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (BODY | {"name": "Zoology"}, "/v1/entities"),
        (BODY, "/v1/entities/create"),
        ({"name": "North"}, "/v1/groups"),
    ],
)
async def test_another_request_under_the_same_key_is_refused_and_does_nothing(
    owner: Caller, body: dict[str, Any], path: str
) -> None:
    assert (await post(owner, "once")).status_code == 201
    answer = await post(owner, "once", body, path)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert [flaw["location"] for flaw in answer.json()["errors"]] == ["header.Idempotency-Key"]
    assert await count_things(owner) == 1


async def test_a_refused_request_may_be_corrected_under_the_same_key(owner: Caller) -> None:
    refused = await post(owner, "once", BODY | {"type": "cuorse"})
    assert refused.status_code == 422
    assert (await post(owner, "once")).status_code == 201


async def test_the_same_words_of_another_key_are_another_request(api: Program, owner: Caller) -> None:
    twin, stranger = await api.issue(owner), await api.register()
    answers = [await post(caller, "once") for caller in (owner, twin, stranger)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["_id"] for answer in answers}) == 3


async def test_without_a_key_every_request_counts(owner: Caller) -> None:
    for _ in range(2):
        await owner.make_thing()
    assert await count_things(owner) == 2


async def test_an_answer_is_forgotten_after_a_day(api: Program, owner: Caller) -> None:
    first = await post(owner, "once")
    age = text("UPDATE idempotency_records SET created_at = :at")
    async with open_transaction(api.engine, owner.owner) as session:
        await run_sql(session, age, {"at": utc_now() - LIFE + timedelta(minutes=1)})
    assert (await post(owner, "once")).content == first.content
    async with open_transaction(api.engine, owner.owner) as session:
        await run_sql(session, age, {"at": utc_now() - LIFE})
    again = await post(owner, "once")
    assert again.status_code == 201
    assert again.json()["_id"] != first.json()["_id"]
    assert (await post(owner, "once")).content == again.content


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a b", "\x7f", "é"])
async def test_a_key_that_is_none_is_refused_with_its_place(owner: Caller, name: str) -> None:
    answer = await owner.post("/v1/entities", BODY, headers={"Idempotency-Key": name.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [flaw["location"] for flaw in answer.json()["errors"]] == ["header.Idempotency-Key"]


def test_what_makes_two_requests_the_same_cannot_be_shifted_between_its_parts() -> None:
    parts = [("POST", "/v1/a", b"b=1", b"{}"), ("POST", "/v1/ab", b"=1", b"{}"), ("POST", "/v1/a", b"b=1{", b"}")]
    assert len({describe_intent("k", *one).fingerprint for one in parts}) == len(parts)


async def test_an_answer_and_its_effect_are_stored_together_or_not_at_all(
    api: Program, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the machine went away")

    with monkeypatch.context() as broken:
        broken.setattr("api.operations.keep_answer", fail)
        assert (await post(owner, "once")).status_code == 503
    assert await count_things(owner) == 0
    assert (await post(owner, "once")).status_code == 201


async def test_a_kept_answer_shows_no_key_to_whoever_reads_the_database(api: Program, owner: Caller) -> None:
    body = {"name": "Dashboard", "preset": "read-only"}
    first = await post(owner, "secret", body, "/v1/api-keys")
    assert first.status_code == 201
    async with open_transaction(api.engine, owner.owner) as session:
        (stored,) = (await run_sql(session, text("SELECT body FROM idempotency_records"))).scalars().all()
    assert first.json()["key"].encode() not in bytes(stored)
    assert (await post(owner, "secret", body, "/v1/api-keys")).content == first.content


async def test_an_answer_moved_to_another_place_cannot_be_read_there(api: Program, owner: Caller) -> None:
    assert (await post(owner, "here")).status_code == 201
    async with open_transaction(api.engine, owner.owner) as session:
        await run_sql(session, text("UPDATE idempotency_records SET idempotency_key = 'there'"))
    refused = await post(owner, "there")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_things(owner) == 1
