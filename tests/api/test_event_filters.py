"""One list over changes and calls: every filter, alone and together, and pages that stay true while rows arrive."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.dialects import postgresql
from sqlmodel import col

from ontology.database import driver_url, open_transaction, run_sql
from ontology.events import EventFilter, LoggedRequest, select_events
from ontology.ids import encode_id, new_id
from ontology.migration import create_partitions
from ontology.plans import Plan
from ontology.records import to_epoch_ms, utc_now
from ontology.request_log import append_entries
from ontology.scopes import Scope
from ontology.vocabulary import EVENT_ALIASES
from tests.logged_calls import drain, logged_call
from tests.program import Caller, Program


async def found(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    return await caller.all_rows("/v1/events", **query)


def calls(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    fields = [row["metadata"] for row in rows if row["type"] == "api_request_made"]
    return [(call["method"], call["endpoint"], call["statusCode"]) for call in fields]


async def test_events_are_filtered_by_type_actor_and_target(owner: Caller) -> None:
    first, second = await owner.make_thing("First"), await owner.make_thing("Second")
    assert (await owner.delete(f"/v1/entities/{first['_id']}")).status_code == 200
    actor = (await owner.get("/v1/whoami")).json()["actor"]["_id"]
    of_first = await found(owner, targetId=first["_id"])
    assert [row["type"] for row in of_first] == ["thing_deleted", "thing_created"]
    created = await found(owner, targetId=second["_id"], type="thing_created", actorId=actor)
    assert [row["targetId"] for row in created] == [second["_id"]]
    assert await found(owner, targetId=second["_id"], actorId=owner.owner.id) == []


async def test_calls_are_filtered_by_endpoint_with_and_without_the_method(api: Program, owner: Caller) -> None:
    thing = await owner.make_thing()
    await owner.get(f"/v1/entities/{thing['_id']}")
    await owner.call("PATCH", f"/v1/entities/{thing['_id']}", json={"name": "Other"})
    await drain(api)
    endpoint = "/v1/entities/{entityId}"
    assert calls(await found(owner, endpoint=endpoint)) == [("PATCH", endpoint, 200), ("GET", endpoint, 200)]
    only = await found(owner, endpoint=f"GET {endpoint}")
    assert calls(only) == [("GET", endpoint, 200)]
    assert only[0]["metadata"]["path"] == f"/v1/entities/{thing['_id']}"
    assert await found(owner, endpoint="DELETE /v1/entities/{entityId}") == []


async def test_calls_are_filtered_by_status_and_its_class(api: Program, owner: Caller) -> None:
    await owner.get("/v1/entities", params={"limit": "0"})
    await owner.get(f"/v1/entities/{encode_id('thing', new_id())}")
    await owner.get("/v1/whoami")
    await drain(api)
    assert [status for *_, status in calls(await found(owner, status="4xx"))] == [404, 400]
    assert [status for *_, status in calls(await found(owner, status="404"))] == [404]
    assert calls(await found(owner, status="2xx", endpoint="GET /v1/whoami")) == [("GET", "/v1/whoami", 200)]
    assert await found(owner, status="5xx") == []


async def test_events_are_filtered_by_the_key_that_made_them(api: Program, owner: Caller) -> None:
    other = await api.issue(owner)
    await owner.make_thing("Mine")
    theirs = await other.make_thing("Theirs")
    await drain(api)
    rows = await found(owner, keyId=other.key_id)
    assert {row["keyId"] for row in rows} == {other.key_id}
    assert [(row["type"], row["targetId"]) for row in rows if row["type"] == "thing_created"] == [
        ("thing_created", theirs["_id"])
    ]
    assert calls(rows) == [("POST", "/v1/entities", 201)]


async def test_a_request_id_finds_the_call_and_what_it_changed(api: Program, owner: Caller) -> None:
    answer = await owner.post("/v1/entities", {"type": "course", "name": "Botany"})
    await drain(api)
    rows = await found(owner, requestId=answer.headers["x-request-id"])
    assert {row["type"] for row in rows} == {"thing_created", "api_request_made"}


@pytest.mark.parametrize("as_text", [False, True], ids=["epoch milliseconds", "ISO 8601"])
async def test_times_bound_both_sources(api: Program, owner: Caller, as_text: bool) -> None:
    await owner.make_thing("Before")
    middle = utc_now()
    while to_epoch_ms(utc_now()) <= to_epoch_ms(middle) + 1:  # noqa: ASYNC110 - the clock tells nobody
        await asyncio.sleep(0)
    await owner.make_thing("After")
    await drain(api)
    bound = middle.isoformat() if as_text else str(to_epoch_ms(middle) + 1)
    later, earlier = await found(owner, since=bound), await found(owner, until=bound)
    assert [row["metadata"]["entityName"] for row in later if row["type"] == "thing_created"] == ["After"]
    assert calls(later)[-1:] == [("POST", "/v1/entities", 201)]
    assert "Before" in [row["metadata"].get("entityName") for row in earlier]
    assert ("POST", "/v1/entities", 201) in calls(earlier)
    assert not {row["_id"] for row in later} & {row["_id"] for row in earlier}


async def test_the_older_names_of_types_are_understood(owner: Caller) -> None:
    for older, canonical in EVENT_ALIASES.items():
        answer = await owner.get("/v1/events", params={"type": older})
        assert answer.status_code == 200, older
        assert {row["type"] for row in answer.json()["data"]} <= {canonical}
    assert await found(owner, type="user_signed_up") == await found(owner, type="user_registered")


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "6xx"), ("status", "40"), ("endpoint", "entities"), ("since", "yesterday"), ("keyId", "group_x")],
)
async def test_a_filter_that_cannot_hold_is_refused_with_its_place(owner: Caller, name: str, value: str) -> None:
    answer = await owner.get("/v1/events", params={name: value})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, f"query.{name}")


@pytest.mark.parametrize("path", ["", "/export", "/aggregates", "/tail?seconds=0"])
async def test_a_group_out_of_reach_is_told_as_elsewhere(api: Program, owner: Caller, path: str) -> None:
    foreign, unknown = (await api.register()).group_id, encode_id("group", new_id())
    for group, status in ((owner.group_id, 200), (foreign, 404), (unknown, 404)):
        answer = await owner.get(f"/v1/events{path}{'&' if '?' in path else '?'}groupId={group}")
        assert answer.status_code == status
        assert status == 200 or answer.json()["code"] == "not_found"


async def test_pages_hold_every_event_once_while_others_arrive(api: Program, owner: Caller) -> None:
    """Late calls too: they are logged behind events with later ids."""
    for number in range(4):
        await owner.make_thing(f"Thing {number}")
    await drain(api)
    before = {row["_id"] for row in await found(owner)}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await owner.get("/v1/events", params={"limit": "3"} | ({"cursor": cursor} if cursor else {}))
        seen.extend(row["_id"] for row in page.json()["data"])
        await owner.make_thing("Meanwhile")
        await drain(api)
        if (cursor := page.json()["pagination"]["nextCursor"]) is None:
            break
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_a_cursor_serves_only_the_filters_that_gave_it(owner: Caller) -> None:
    page = await owner.get("/v1/events", params={"limit": "1", "type": "thing_created"})
    cursor = page.json()["pagination"]["nextCursor"]
    answer = await owner.get("/v1/events", params={"limit": "1", "type": "thing_updated", "cursor": cursor})
    assert answer.json()["code"] == "invalid_cursor"


@pytest.mark.parametrize(("plan", "shown"), [(Plan.STARTER, [1, 29]), (Plan.PRO, [1, 29, 31, 89])])
async def test_calls_are_shown_as_long_as_the_plan_keeps_them(
    api: Program, old_partitions: None, plan: Plan, shown: list[int]
) -> None:
    caller = await api.register(plan=plan)
    now = utc_now()
    ages = (91, 89, 31, 29, 1)
    entries = [logged_call(caller, at=now - timedelta(days=age), endpoint=f"/v1/{age}") for age in ages]
    await append_entries(api.redis, entries)
    await drain(api)
    reader = await api.issue(caller, Scope.EVENTS_READ)
    listed = [call[1].removeprefix("/v1/") for call in calls(await found(reader, type="api_request_made"))]
    assert [int(age) for age in listed if age.isdigit()] == shown


@pytest.fixture(scope="module")
async def old_partitions(api: Program) -> None:
    """Months for which the program, being new, has no partition."""

    def make() -> None:
        engine = create_engine(driver_url(api.settings.database_owner_url), poolclass=NullPool)
        with engine.begin() as connection:
            create_partitions(connection, (utc_now() - timedelta(days=100)).date())

    await asyncio.to_thread(make)


@pytest.mark.parametrize("narrow", ["since", "plan"])
async def test_only_the_partitions_of_the_time_asked_for_are_read(api: Program, owner: Caller, narrow: str) -> None:
    """As the database plans it; the plan's own retention bounds the list that names no time."""
    moment = utc_now()
    bounds = {"since": moment - timedelta(hours=2), "until": moment - timedelta(hours=1)} if narrow == "since" else {}
    query = select_events(replace(owner.owner, plan=Plan.STARTER), LoggedRequest, EventFilter(**bounds))
    statement = query.order_by(col(LoggedRequest.id).desc()).limit(50)
    async with open_transaction(api.engine, owner.owner) as session:
        sql = str(statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
        plan = "\n".join((await run_sql(session, text("EXPLAIN " + sql.replace(":", r"\:")))).scalars())
        everything = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'request_log'::regclass"
        partitions: int = (await run_sql(session, text(everything.replace(":", r"\:")))).scalar_one()
    read = set(re.findall(r"request_log_\d{4}_\d{2}\b", plan))
    expected = {f"request_log_{day:%Y_%m}" for day in (moment - timedelta(hours=2), moment - timedelta(hours=1))}
    if narrow == "since":
        assert read == expected, plan
    assert 0 < len(read) < partitions or "Subplans Removed" in plan, plan
    assert "Seq Scan" not in plan, plan
