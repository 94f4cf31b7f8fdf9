"""The export holds every event once, in bounded memory, whatever the caller's pace."""

import json
from typing import Any

import pytest

from api import exports
from ontology.events import EventFilter
from tests.logged_calls import drain
from tests.program import Caller, Program


async def export(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    answer = await caller.get("/v1/events/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/x-ndjson"
    assert answer.text.endswith("\n") or not answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_export_is_the_whole_list_across_pages(
    api: Program, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "LINES_PER_PAGE", 7)
    await owner.post("/v1/events/batch", {"events": [{"type": "content_event"}] * 20})
    await drain(api)
    listed = await owner.all_rows("/v1/events", limit="1000")
    exported = await export(owner)
    assert len({row["_id"] for row in exported}) == len(exported)
    # The calls that listed and exported are logged later.
    assert [row for row in exported if row["_id"] in {event["_id"] for event in listed}] == listed


async def test_an_export_takes_the_filters_of_the_list(owner: Caller) -> None:
    await owner.make_thing()
    await owner.post("/v1/events", {"type": "content_event"})
    assert {row["type"] for row in await export(owner, type="content_event")} == {"content_event"}
    assert await export(owner, until="2020-01-01") == []


async def test_an_export_that_broke_off_goes_on_behind_its_last_line(api: Program, owner: Caller) -> None:
    long_ago = {"type": "content_event", "timestamp": "2001-01-01"}
    await owner.post("/v1/events/batch", {"events": [{"type": "content_event"}, long_ago, {"type": "content_event"}]})
    rows = await export(owner, type="content_event")
    for number, row in enumerate(rows):
        assert await export(owner, type="content_event", lastEventId=row["_id"]) == rows[number + 1 :]
    foreign = await (await api.register()).get("/v1/events/export", params={"lastEventId": rows[0]["_id"]})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")


async def test_no_connection_is_held_and_no_page_read_ahead_while_the_caller_is_slow(
    api: Program, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "LINES_PER_PAGE", 5)
    await owner.post("/v1/events/batch", {"events": [{"type": "content_event"}] * 12})
    wanted = EventFilter(type="content_event")
    pieces = exports.write_lines(api.engine, owner.owner, wanted)
    sizes: list[int] = []
    async for piece in pieces:
        sizes.append(piece.count(b"\n"))
        assert api.engine.pool.checkedout() == 0  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert sizes == [5, 5, 2]


@pytest.mark.parametrize(("query", "code"), [("type=nonsense", "unknown_type"), ("status=9", "invalid_request")])
async def test_bad_filters_are_refused_before_the_first_line(owner: Caller, query: str, code: str) -> None:
    answer = await owner.get(f"/v1/events/export?{query}")
    assert answer.json()["code"] == code
    assert answer.headers["content-type"] == "application/problem+json"
