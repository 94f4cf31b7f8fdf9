"""Figures about events are exact, within reach, and bounded in time."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ontology.records import to_epoch_ms, utc_now
from ontology.request_log import append_entries
from tests.logged_calls import drain, logged_call
from tests.program import Caller, Program

HOUR = timedelta(hours=1)


async def figures(caller: Caller, **query: Any) -> dict[str, dict[str, Any]]:
    answer = await caller.get("/v1/events/aggregates", params=query)
    assert answer.status_code == 200, answer.text
    return {row["key"]: row for row in answer.json()["data"]}


async def log_calls(api: Program, caller: Caller, calls: list[tuple[str, int, float, datetime]]) -> None:
    """Endpoint, status, latency and time of each."""
    entries = [
        logged_call(caller, at=at, endpoint=endpoint, status=status, latency_ms=latency, actor_id="thing_made")
        for endpoint, status, latency, at in calls
    ]
    await append_entries(api.redis, entries)
    await drain(api)


async def test_calls_are_counted_by_endpoint_with_their_latency(api: Program, owner: Caller) -> None:
    now = utc_now()
    slow = [("/slow", 200, float(n), now) for n in range(1, 101)]
    await log_calls(api, owner, [*slow, ("/fast", 200, 1.0, now)])
    found = await figures(owner, by="endpoint")
    assert (found["GET /slow"]["count"], found["GET /slow"]["calls"]) == (100, 100)
    assert (found["GET /slow"]["latencyP50Ms"], found["GET /slow"]["latencyP95Ms"]) == (50.5, 95.05)
    assert found["GET /fast"] == {
        "key": "GET /fast",
        "count": 1,
        "calls": 1,
        "latencyP50Ms": 1.0,
        "latencyP95Ms": 1.0,
    }
    assert next(iter(found)) == "GET /slow"


async def test_calls_are_counted_by_class_of_status(api: Program, owner: Caller) -> None:
    now = utc_now()
    await log_calls(api, owner, [("/a", status, 1.0, now) for status in (200, 201, 404, 429, 404, 503)])
    found = await figures(owner, by="status", endpoint="/a")
    assert {key: row["count"] for key, row in found.items()} == {"2xx": 2, "4xx": 3, "5xx": 1}


async def test_changes_and_calls_are_counted_together_by_type_hour_and_day(api: Program, owner: Caller) -> None:
    noon = (utc_now() - timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)
    await log_calls(api, owner, [("/a", 200, 4.0, noon), ("/a", 200, 4.0, noon + HOUR), ("/a", 200, 4.0, noon + HOUR)])
    await owner.post("/v1/events", {"type": "content_event", "timestamp": to_epoch_ms(noon + HOUR)})
    span = {"since": noon.isoformat(), "until": (noon + 2 * HOUR).isoformat()}
    by_hour = await figures(owner, by="hour", **span)
    first, second = f"{noon:%Y-%m-%dT%H:00:00Z}", f"{noon + HOUR:%Y-%m-%dT%H:00:00Z}"
    assert [(row["key"], row["count"], row["calls"]) for row in by_hour.values()] == [(first, 1, 1), (second, 3, 2)]
    by_day = await figures(owner, by="day", **span)
    assert [(row["key"], row["count"]) for row in by_day.values()] == [(f"{noon:%Y-%m-%d}", 4)]
    by_type = await figures(owner, by="type", **span)
    assert {key: row["count"] for key, row in by_type.items()} == {"api_request_made": 3, "content_event": 1}
    assert by_type["content_event"]["latencyP50Ms"] is None
    assert (await figures(owner, by="actor", **span))["thing_made"]["count"] == 3


async def test_the_filters_of_the_list_bound_the_figures(owner: Caller) -> None:
    for name in ("First", "Second"):
        await owner.make_thing(name)
    found = await figures(owner, by="type", type="thing_created")
    listed = await owner.all_rows("/v1/events", type="thing_created")
    assert {key: row["count"] for key, row in found.items()} == {"thing_created": len(listed)}


async def test_a_child_groups_key_counts_what_it_could_list(api: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="Below")
    child = await api.issue(owner, group_id=group["_id"])
    await child.make_thing("Inside")
    await owner.make_thing("Outside")
    assert (await figures(child, by="type", type="thing_created"))["thing_created"]["count"] == len(
        await child.all_rows("/v1/events", type="thing_created")
    )


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ({"since": "2026-06-02", "until": "2026-06-01"}, "query.until"),
        ({"by": "hour", "since": "2026-01-01", "until": "2026-03-01"}, "query.since"),
        ({"by": "day", "since": "2024-01-01", "until": "2026-01-01"}, "query.since"),
        ({"by": "moon"}, "query.by"),
    ],
)
async def test_a_time_that_is_too_long_or_upside_down_is_refused(
    owner: Caller, query: dict[str, str], location: str
) -> None:
    answer = await owner.get("/v1/events/aggregates", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, location)
