"""`expand=connections` and `totalCount`: what they show, how much they read, and to whom."""

from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event

from ontology.database import open_transaction
from ontology.expansion import CONNECTIONS_SHOWN, expand_things
from ontology.pagination import TOTAL_MAX, PageRequest
from ontology.scopes import Scope
from ontology.thing_lists import list_things
from tests.parts import Parts
from tests.program import Caller, Program


async def _connect(owner: Caller, one: dict[str, Any], other: dict[str, Any], **more: Any) -> dict[str, Any]:
    ends = {"fromId": one["_id"], "toId": other["_id"]}
    return await owner.make("/v1/connections", relationshipType="part_of", **ends, **more)


async def _get(caller: Caller, path: str, **query: Any) -> dict[str, Any]:
    answer = await caller.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_entity_shows_its_live_connections_at_both_ends(owner: Caller) -> None:
    course = await owner.make_thing()
    lesson, other = await owner.make_thing(type="lesson"), await owner.make_thing(type="lesson")
    first, gone = await _connect(owner, lesson, course), await _connect(owner, other, course)
    last = await _connect(owner, course, other)
    assert (await owner.delete(f"/v1/connections/{gone['_id']}")).status_code == 200
    shown = await _get(owner, f"/v1/entities/{course['_id']}", expand="connections")
    assert shown.pop("connections") == {"data": [last, first], "hasMore": False}
    assert shown == await _get(owner, f"/v1/entities/{course['_id']}") == course


async def test_a_list_is_expanded_with_one_statement_however_long(api: Program, owner: Caller) -> None:
    statements: list[str] = []
    engine = api.litestar.state.services.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    things = [await owner.make_thing(f"Thing {number}") for number in range(4)]
    made = [await _connect(owner, things[0], thing) for thing in things[1:]]

    async def list_some(limit: int) -> tuple[list[dict[str, Any]], int]:
        statements.clear()
        page = await _get(owner, "/v1/entities", expand="connections", limit=limit)
        return page["data"], len(statements)

    (_, of_two), (rows, of_four) = await list_some(2), await list_some(4)
    assert of_two == of_four
    assert [row["_id"] for row in rows] == [thing["_id"] for thing in reversed(things)]
    assert [row["connections"]["data"] for row in rows] == [[made[2]], [made[1]], [made[0]], made[::-1]]


async def test_no_more_connections_are_shown_than_promised(owner: Caller) -> None:
    course = await owner.make_thing()
    made = [await _connect(owner, await owner.make_thing(), course) for _ in range(CONNECTIONS_SHOWN + 2)]
    shown = await _get(owner, f"/v1/entities/{course['_id']}", expand="connections")
    assert shown["connections"] == {"data": made[::-1][:CONNECTIONS_SHOWN], "hasMore": True}


async def test_only_connections_within_reach_and_scope_are_shown(api: Program, owner: Caller) -> None:
    below = (await owner.make("/v1/groups", name="Below"))["_id"]
    thing, other = await owner.make_thing(groupId=below), await owner.make_thing(groupId=below)
    near = await _connect(owner, thing, other, groupId=below)
    far = await _connect(owner, other, thing)
    child = await api.issue(owner, group_id=below)
    path = f"/v1/entities/{thing['_id']}"
    assert (await _get(child, path, expand="connections"))["connections"]["data"] == [near]
    assert (await _get(owner, path, expand="connections"))["connections"]["data"] == [far, near]
    narrow = await api.issue(owner, Scope.ENTITIES_READ)
    for place in (path, "/v1/entities"):
        refused = await narrow.get(place, params={"expand": "connections"})
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_the_tag_of_an_expanded_answer_changes_with_its_connections_and_guards_writes(owner: Caller) -> None:
    thing, other = await owner.make_thing(), await owner.make_thing()
    path = f"/v1/entities/{thing['_id']}"
    before = await owner.get(path, params={"expand": "connections"})
    again = await owner.get(path, params={"expand": "connections"}, headers={"If-None-Match": before.headers["etag"]})
    assert again.status_code == 304
    await _connect(owner, thing, other)
    after = await owner.get(path, params={"expand": "connections"}, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200 and after.headers["etag"] != before.headers["etag"]
    change = {"json": {"name": "Mosses"}, "headers": {"If-Match": after.headers["etag"]}}
    assert (await owner.call("PATCH", path, **change)).status_code == 200
    assert (await owner.call("PATCH", path, **change)).status_code == 412


@pytest.mark.parametrize("value", ["events", "", "connections,connections"])
async def test_nothing_else_can_be_expanded(owner: Caller, value: str) -> None:
    answer = await owner.get("/v1/entities", params={"expand": value})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "query.expand")


async def test_the_total_is_that_of_all_pages_and_of_the_filters(owner: Caller) -> None:
    for number in range(5):
        await owner.make_thing(f"Thing {number}", type="lesson" if number < 2 else "course")
    page = await _get(owner, "/v1/entities", totalCount="true", limit=2)
    assert (len(page["data"]), page["pagination"]["totalCount"]) == (2, 5)
    second = await _get(owner, "/v1/entities", totalCount="true", limit=2, cursor=page["pagination"]["nextCursor"])
    assert second["pagination"]["totalCount"] == 5
    assert (await _get(owner, "/v1/entities", totalCount="true", type="lesson"))["pagination"]["totalCount"] == 2
    assert (await _get(owner, "/v1/entities", totalCount="true", sort="name"))["pagination"]["totalCount"] == 5
    assert "totalCount" not in (await _get(owner, "/v1/entities"))["pagination"]


async def test_counting_stops_at_its_bound(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ontology.pagination.TOTAL_MAX", 3)
    assert TOTAL_MAX > 3
    for _ in range(5):
        await owner.make_thing()
    assert (await _get(owner, "/v1/entities", totalCount="true"))["pagination"]["totalCount"] == 3


@pytest.mark.parametrize("counted", ["never", "while young", "now"])
async def test_connections_of_one_are_read_without_looking_through_all(
    api: Program, owner: Caller, parts: Parts, counted: str
) -> None:
    """Whether statistics know of the rows, of few, or of none: the plan of the statement, as the program's role."""
    course, lesson = await owner.make_thing(), await owner.make_thing(type="lesson")
    await _connect(owner, lesson, course)
    database = str(conninfo_to_dict(api.settings.database_url)["dbname"])
    with psycopg.connect(parts.superuser_url(database), autocommit=True) as connection:
        for table in ("things", "connections"):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
        if counted == "while young":
            connection.execute("ANALYZE things, connections")
        things = """
            INSERT INTO things
                (org_id, id, group_id, type, name, properties, status, created_at, updated_at, created_by)
            SELECT org_id, gen_random_uuid(), group_id, type, name, properties, status, now(), now(), 'nobody'
            FROM things, generate_series(1, 1000) WHERE org_id = %s AND type = 'lesson'"""
        connection.execute(things, [owner.org_id])
        connections = """
            INSERT INTO connections
                (org_id, id, group_id, relationship_type, from_thing_id, to_thing_id, metadata, created_at, updated_at,
                 created_by)
            SELECT c.org_id, gen_random_uuid(), c.group_id, 'part_of', t.id, c.to_thing_id, '{}', now(), now(), 'nobody'
            FROM connections c JOIN things t ON t.org_id = c.org_id AND t.type = 'lesson', generate_series(1, 4)
            WHERE c.org_id = %s AND c.to_thing_id IS NOT NULL"""
        connection.execute(connections, [owner.org_id])
        if counted == "now":
            connection.execute("ANALYZE things, connections")
    seen: list[tuple[str, Any]] = []
    event.listen(api.engine.sync_engine, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
    async with open_transaction(api.engine, owner.owner) as session:
        page = await list_things(session, owner.owner, PageRequest("secret", limit=1000), type="lesson")
        await expand_things(session, owner.owner, page.rows)
        explained = await (await session.connection()).exec_driver_sql(f"EXPLAIN {seen[-1][0]}", seen[-1][1])
        plan = "\n".join(row[0] for row in explained)
    for end in ("from_thing_id", "to_thing_id"):
        assert f"ix_connections_org_id_{end}_id" in plan, plan
