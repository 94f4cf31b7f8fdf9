"""Events an organisation records itself: only of the types that are its to record, only about what it reaches."""

from datetime import timedelta
from typing import Any

import pytest

from ontology.ids import encode_id, new_id
from ontology.records import to_epoch_ms, utc_now
from ontology.scopes import Scope
from ontology.vocabulary import EVENT_TYPES
from tests.program import Caller, Program, without_request_id

SYSTEM = sorted(name for name, kind in EVENT_TYPES.items() if kind.policy == "system_only")
CUSTOM = sorted(name for name, kind in EVENT_TYPES.items() if kind.policy == "custom_allowed" and not kind.feature)


async def record(caller: Caller, **event: Any) -> Any:
    return await caller.post("/v1/events", {"type": "course_enrolled"} | event)


async def test_a_recorded_event_is_in_the_list_with_who_recorded_it(owner: Caller) -> None:
    course = await owner.make_thing()
    answer = await record(owner, targetId=course["_id"], metadata={"source": "newsletter"})
    made = answer.json()
    assert answer.status_code == 201
    assert (made["keyId"], made["requestId"]) == (owner.key_id, answer.headers["x-request-id"])
    assert made["actorId"] == (await owner.get("/v1/whoami")).json()["actor"]["_id"]
    assert await owner.all_rows("/v1/events", type="course_enrolled") == [made]


async def test_every_type_that_is_not_the_platforms_may_be_recorded_and_no_other(owner: Caller) -> None:
    assert SYSTEM and CUSTOM
    made = await owner.post("/v1/events/batch", {"events": [{"type": name} for name in CUSTOM]})
    assert [event["type"] for event in made.json()["data"]] == CUSTOM
    for name in SYSTEM:
        refused = await owner.post("/v1/events", {"type": name})
        assert (refused.status_code, refused.json()["code"]) == (403, "system_event"), name
        assert refused.json()["errors"][0]["location"] == "body.type"


async def test_an_older_name_is_for_filters_and_is_answered_with_the_present_one(owner: Caller) -> None:
    for older, present in (("payment_failed", "payment_event"), ("user_signed_in", "user_login")):
        refused = await record(owner, type=older)
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_type")
        assert refused.json()["errors"][0]["did_you_mean"] == [present]


async def test_an_event_may_lie_in_the_past_but_not_in_the_future(owner: Caller) -> None:
    now = utc_now()
    past = to_epoch_ms(now - timedelta(days=400))
    assert (await record(owner, timestamp=past)).json()["timestamp"] == past
    assert (await record(owner, timestamp="2024-05-01T12:00:00Z")).json()["timestamp"] == 1_714_564_800_000
    for wrong in (to_epoch_ms(now + timedelta(minutes=5)), 946_684_799_999, "1999-12-31T23:59:59Z"):
        answer = await record(owner, timestamp=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body.timestamp"), wrong


@pytest.mark.parametrize("place", ["actorId", "targetId", "groupId"])
async def test_a_strangers_id_is_refused_like_one_that_never_existed(api: Program, owner: Caller, place: str) -> None:
    stranger = await api.register()
    kind = "group" if place == "groupId" else "thing"
    theirs = stranger.group_id if kind == "group" else (await stranger.make_thing())["_id"]
    answers = [await record(owner, **{place: value}) for value in (theirs, encode_id(kind, new_id()))]
    assert [answer.status_code for answer in answers] == [404, 404]
    first, second = map(without_request_id, answers)
    assert first == second


async def test_a_batch_is_recorded_whole_or_not_at_all(api: Program, owner: Caller) -> None:
    theirs = await (await api.register()).make_thing()
    events: list[dict[str, Any]] = [{"type": "content_event"}] * 3
    for bad, location, code in (
        ({"type": "thing_created"}, "body.events[3].type", "system_event"),
        ({"type": "nonsense"}, "body.events[3].type", "unknown_type"),
        ({"type": "content_event", "targetId": theirs["_id"]}, "body.events[3].targetId", "not_found"),
    ):
        refused = await owner.post("/v1/events/batch", {"events": [*events, bad]})
        assert (refused.json()["code"], refused.json()["errors"][0]["location"]) == (code, location)
    assert await owner.all_rows("/v1/events", type="content_event") == []
    made = await owner.post("/v1/events/batch", {"events": events})
    assert len({event["_id"] for event in made.json()["data"]}) == 3


async def test_a_thousand_events_are_one_call_and_more_are_refused(owner: Caller) -> None:
    event = {"type": "content_event", "metadata": {"action": "viewed"}}
    assert len((await owner.post("/v1/events/batch", {"events": [event] * 1_000})).json()["data"]) == 1_000
    refused = await owner.post("/v1/events/batch", {"events": [event] * 1_001})
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (400, "body.events")
    assert (await owner.post("/v1/events/batch", {"events": []})).status_code == 400


async def test_a_repeated_call_with_its_idempotency_key_records_once(owner: Caller) -> None:
    headers = {"Idempotency-Key": "once"}
    answers = [await owner.post("/v1/events", {"type": "report_generated"}, headers=headers) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len(await owner.all_rows("/v1/events", type="report_generated")) == 1


async def test_reading_events_is_not_recording_them(api: Program, owner: Caller) -> None:
    reader = await api.issue(owner, Scope.EVENTS_READ)
    assert (await record(reader)).json()["code"] == "insufficient_scope"
