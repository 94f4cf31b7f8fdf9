"""Usage is exact: every call counts once, whatever dies on its way, and only for those who may see its key."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs
from sqlalchemy import event

from ontology.database import open_duty
from ontology.ids import decode_id
from ontology.records import utc_now
from ontology.request_log import LogEntry, append_entries, describe_entry, read_entries, store_entries
from ontology.scopes import Scope
from tests.logged_calls import drain, logged_call
from tests.program import Caller, Program
from worker.request_log import drain_request_log

CALLS = 12


def _key_id(caller: Caller) -> UUID:
    return decode_id(caller.key_id)[1]


def _entry(caller: Caller, at: datetime | None = None, **more: Any) -> LogEntry:
    group_id = decode_id(caller.group_id)[1]
    return logged_call(caller, at=at, key_id=_key_id(caller), **({"group_id": group_id} | more))


async def _store(api: Program, entries: list[LogEntry]) -> None:
    async with open_duty(api.engine, "request_log") as session:
        await store_entries(session, [describe_entry(entry) for entry in entries])


async def _usage(caller: Caller, path: str = "/v1/usage", **query: Any) -> dict[str, Any]:
    answer = await caller.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _figures(usage: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {figure["key"]: (figure["calls"], figure["errors"]) for figure in usage["figures"]}


async def test_every_call_is_counted_once_refusals_too(api: Program) -> None:
    caller = await api.register()
    nobody = "/v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c"
    for _ in range(CALLS):
        assert (await caller.get("/v1/whoami")).status_code == 200
    for _ in range(3):
        assert (await caller.get(nobody)).status_code == 404
    await caller.make_thing()
    await drain(api)
    usage = await _usage(caller, by="operation")
    assert (usage["total"], usage["thisMonth"], usage["last7Days"]) == (CALLS + 4,) * 3
    assert _figures(usage) == {
        "GET /v1/whoami": (CALLS, 0),
        "GET /v1/entities/{entityId}": (3, 3),
        "POST /v1/entities": (1, 0),
    }
    await drain(api)
    assert _figures(await _usage(caller, by="status")) == {"2xx": (CALLS + 2, 0), "4xx": (3, 3)}
    await drain(api)
    own = await _usage(caller, f"/v1/api-keys/{caller.key_id}/usage", by="key")
    assert _figures(own) == {caller.key_id: (CALLS + 6, 3)}


async def test_usage_equals_the_log(api: Program) -> None:
    caller = await api.register()
    other = await api.issue(caller)
    await asyncio.gather(*(key.get("/v1/whoami") for key in (caller, other, other) for _ in range(CALLS)))
    await drain(api)
    usage = _figures(await _usage(caller, by="key"))
    await drain(api)
    rows = await caller.all_rows("/v1/events", type="api_request_made", limit="1000")
    logged = Counter(row["keyId"] for row in rows if row["metadata"]["endpoint"] == "/v1/whoami")
    assert usage == {key: (count, 0) for key, count in logged.items()}
    assert logged == {caller.key_id: CALLS, other.key_id: 2 * CALLS}


async def test_a_worker_that_dies_counts_nothing_twice_and_loses_nothing(api: Program) -> None:
    """Before the commit, which leaves the calls in the stream; and after it, which repeats them."""
    caller = await api.register()
    await api.redis.flushall()
    entries = [_entry(caller) for _ in range(5)]
    await append_entries(api.redis, entries)

    async def die_before_the_commit() -> None:
        async with open_duty(api.engine, "request_log") as session:
            found = await read_entries(api.redis, 10)
            await store_entries(session, [row for _, rows in found for row in rows])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await die_before_the_commit()
    await _store(api, entries[:3])
    assert await drain_request_log(api.engine, api.redis) == len(entries)
    await append_entries(api.redis, [*entries, _entry(caller)])
    await drain(api)
    usage = await _usage(caller)
    assert (usage["total"], usage["thisMonth"]) == (6, 6)
    assert sum(calls for calls, _ in _figures(usage).values()) == 6


async def test_two_that_store_at_once_count_exactly(api: Program) -> None:
    """In opposite order, some of it the same."""
    caller = await api.register()
    keys = [caller, await api.issue(caller), await api.issue(caller)]
    entries = [_entry(key) for key in keys for _ in range(20)]
    await api.open_whole_pool()
    for _ in range(3):
        await asyncio.gather(_store(api, entries), _store(api, entries[::-1]), _store(api, entries[20:]))
    assert (await _usage(caller))["total"] == len(entries)


async def test_months_weeks_and_days_are_those_of_utc(api: Program) -> None:
    caller = await api.register()
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    times = [
        midnight,
        midnight - timedelta(microseconds=1),
        midnight - timedelta(days=6),
        midnight - timedelta(days=6, microseconds=1),
    ]
    await _store(api, [_entry(caller, at=time) for time in times])
    usage = await _usage(caller, by="day")
    days = Counter(time.astimezone(UTC).date().isoformat() for time in times)
    assert _figures(usage) == {day: (count, 0) for day, count in days.items()}
    assert list(_figures(usage)) == sorted(days)
    assert (usage["total"], usage["last7Days"]) == (4, 3)
    assert usage["thisMonth"] == sum(time.month == now.month for time in times)
    months = _figures(await _usage(caller, by="month"))
    assert months == {month: (count, 0) for month, count in Counter(f"{time:%Y-%m}" for time in times).items()}
    yesterday = (midnight - timedelta(days=1)).date().isoformat()
    assert list(_figures(await _usage(caller, since=yesterday, until=yesterday))) == [yesterday]


async def test_all_keys_are_listed_with_one_statement(api: Program) -> None:
    caller = await api.register()
    keys = [caller, *[await api.issue(caller) for _ in range(5)]]
    await _store(api, [_entry(key) for number, key in enumerate(keys) for _ in range(number)])
    old = _entry(keys[5], at=utc_now() - timedelta(days=40))
    await _store(api, [old, structs.replace(old, id=decode_id(keys[0].key_id)[1])])
    statements: list[str] = []
    engine = api.litestar.state.services.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    await caller.get("/v1/usage/keys", params={"limit": 1})
    statements.clear()
    found = await caller.get("/v1/usage/keys", params={"limit": 10_000})
    assert [statement.split()[0] for statement in statements if "set_config" not in statement] == ["SELECT"]
    rows = found.json()["data"]
    assert [row["keyId"] for row in rows] == [key.key_id for key in reversed(keys)]
    assert [row["last7Days"] for row in rows] == [5, 4, 3, 2, 1, 0]
    assert [row["total"] for row in rows] == [7, 4, 3, 2, 1, 0]
    assert all(row["last7Days"] <= row["total"] and row["thisMonth"] <= row["total"] for row in rows)
    paged = await caller.all_rows("/v1/usage/keys", limit="2")
    assert [row["keyId"] for row in paged] == [row["keyId"] for row in rows]


async def test_a_keys_month_and_week_are_the_same_in_the_list_and_in_its_own_report(api: Program) -> None:
    """The list reads sums by day that are added up as calls are stored, in whatever order those come."""
    caller = await api.register()
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [0, 45, 6, 7, 30, 0, 31, 1, 29, 6, 27, 45, 0]
    for start in range(0, len(days), 3):
        await _store(api, [_entry(caller, at=midnight - timedelta(days=ago)) for ago in days[start : start + 3]])
    (listed,) = (await caller.get("/v1/usage/keys")).json()["data"]
    report = (await caller.get(f"/v1/api-keys/{caller.key_id}/usage")).json()
    wanted = {"total": len(days), "last7Days": sum(ago < 7 for ago in days)}
    wanted["thisMonth"] = sum(ago < midnight.day for ago in days)
    for told in (listed, report):
        assert {name: told[name] for name in wanted} == wanted


async def test_a_group_sees_its_own_usage_and_that_below(api: Program) -> None:
    owner = await api.register()
    north = (await owner.make("/v1/groups", name="North"))["_id"]
    below = (await owner.make("/v1/groups", name="Below", parentGroupId=north))["_id"]
    south = (await owner.make("/v1/groups", name="South"))["_id"]
    keys = {name: await api.issue(owner, group_id=group) for name, group in (("n", north), ("b", below))}
    keys["s"] = await api.issue(owner, group_id=south)
    await drain(api)
    before = (await _usage(owner))["total"]
    await _store(api, [_entry(keys[name]) for name, count in (("n", 1), ("b", 2), ("s", 4)) for _ in range(count)])
    assert (await _usage(keys["n"]))["total"] == 3
    assert (await _usage(keys["b"]))["total"] == 2
    assert (await _usage(owner, groupId=north))["total"] == 1
    assert (await _usage(owner))["total"] == before + 7
    assert (await keys["n"].get("/v1/usage", params={"groupId": south})).status_code == 404
    assert (await keys["n"].get(f"/v1/api-keys/{keys['s'].key_id}/usage")).status_code == 404
    listed = {row["keyId"] for row in await keys["n"].all_rows("/v1/usage/keys")}
    assert listed == {keys["n"].key_id, keys["b"].key_id}


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"since": "2026-11-02", "until": "2026-11-01"}, "query.until"),
        ({"since": "2025-01-01", "until": "2026-11-01"}, "query.since"),
        ({"since": "2026-02-30"}, "query.since"),
        ({"since": "1795500000"}, "query.since"),
        ({"by": "hour"}, "query.by"),
    ],
)
async def test_days_that_are_none_are_refused(api: Program, query: dict[str, str], place: str) -> None:
    caller = await api.register()
    answer = await caller.get("/v1/usage", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"][0]["location"] == place


async def test_the_names_of_keys_need_the_right_to_manage_them(api: Program) -> None:
    owner = await api.register()
    viewer = await api.issue(owner, Scope.QUOTA_VIEW)
    assert (await viewer.get("/v1/usage")).status_code == 200
    for path in ("/v1/usage/keys", f"/v1/api-keys/{owner.key_id}/usage"):
        assert (await viewer.get(path)).json()["code"] == "insufficient_scope"
