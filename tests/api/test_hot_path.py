"""The short way to things answers like the long one, to the byte, and where it cannot serve the long one does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlmodel import col, select

from ontology.actors import Actor
from ontology.database import open_transaction
from ontology.fast_database import FastDatabase, Unserved
from ontology.groups import Group
from ontology.ids import decode_id, encode_id
from ontology.plans import Plan
from ontology.records import utc_now
from ontology.scopes import Scope, expand_scopes
from ontology.thing_rows import MANAGED_SCOPES, Status, Thing
from ontology.vocabulary import THING_TYPES
from tests.parts import Parts
from tests.program import Caller, Program, eventually, without_request_id

SAME_IN_BOTH = {"x-request-id", "ratelimit", "ratelimit-policy"}
PROPERTIES: list[dict[str, Any]] = [
    {},
    {"title": "Botany", "price": 49, "tags": ["a", "b"], "deep": {"er": [{"x": None}, True, False]}},
    {"text": 'quote " slash \\ / tab \t line \n return \r feed \f back \b bell \x07 unit \x1f delete \x7f'},
    {"unicode": "Grüße 𝒳 日本語 \u2028 \u00a0", "Ключ": "значение", 'a "key"': ": , { }  [ ]"},
    {"whole": 2**63 - 1, "negative": 1 - 2**63, "zero": 0, "minus": -0.0},
    {"half": 0.5, "tenth": 0.1, "third": 1 / 3, "point": 49.0, "huge": 1.5e300, "e16": 1e16, "e22": 1e22},
    {"small": 1e-4, "smaller": 1e-5, "tiny": 1.5e-7, "least": 5e-324, "list": [1e-9, 0.00001234]},
    {"word": "0.0000 is no number", "spaces": "  ", "": "no name"},
    {"z": 1, "a": 2, "aa": 3, "b": {"z": 1, "a": 2}},
]


def _hot(api: Program) -> FastDatabase:
    return api.litestar.state.services.hot


@pytest.fixture(autouse=True)
async def ready(api: Program) -> None:
    """Every connection of the short way is there when a test begins."""

    async def is_ready() -> bool:
        return _hot(api).is_ready

    await eventually(is_ready)


@pytest.fixture
def superuser_url(parts: Parts, api: Program) -> str:
    return parts.superuser_url(str(conninfo_to_dict(api.settings.database_url)["dbname"]))


@contextmanager
def _long_way() -> Iterator[None]:
    async def refuse(*_: Any) -> None:
        raise Unserved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastDatabase, "read", refuse)
        patch.setattr(FastDatabase, "write", refuse)
        yield


@contextmanager
def _counted() -> Iterator[list[str]]:
    """What the short way has answered."""
    served: list[str] = []
    read, write = FastDatabase.read, FastDatabase.write

    async def counting_read(*arguments: Any) -> Any:
        rows = await read(*arguments)
        served.append("read")
        return rows

    async def counting_write(*arguments: Any) -> Any:
        rows = await write(*arguments)
        served.append("write")
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastDatabase, "read", counting_read)
        patch.setattr(FastDatabase, "write", counting_write)
        yield served


async def _both_ways(caller: Caller, path: str) -> httpx.Response:
    """Ask both ways and compare; whether the short way was really taken is asserted too."""
    with _counted() as served:
        short = await caller.get(path)
    assert served == ["read"], path
    with _long_way():
        long = await caller.get(path)
    assert short.content == long.content
    assert short.status_code == long.status_code
    assert _headers(short) == _headers(long)
    return short


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in SAME_IN_BOTH}


async def _store_odd_things(api: Program, owner: Caller) -> list[str]:
    """Of every type, with every kind of value, some deleted; also what no operation would write."""
    things = [
        Thing(
            org_id=owner.org_id,
            group_id=owner.owner.group_id,
            type=kind.name,
            name=f'Thing "{number}" \\ Ünïcode \t \x01',
            properties=PROPERTIES[number % len(PROPERTIES)]
            | {declared["name"]: "hidden" for declared in kind.properties if declared.get("sensitive")},
            status=list(Status)[number % 5],
            deleted_at=utc_now() if number % 7 == 3 else None,
            created_by=owner.owner.id,
        )
        for number, kind in enumerate(THING_TYPES.values())
    ]
    things += [
        Thing(
            org_id=owner.org_id,
            group_id=owner.owner.group_id,
            type="course",
            name="Many",
            properties=properties,
            created_by="someone",
        )
        for properties in PROPERTIES * 4
    ]
    ids = [thing.id for thing in things]
    async with open_transaction(api.engine, owner.owner) as session:
        session.add_all(things)
    return [encode_id("thing", id) for id in ids]


async def test_reading_one_answers_the_same_to_the_byte(api: Program, owner: Caller) -> None:
    for id in await _store_odd_things(api, owner):
        answer = await _both_ways(owner, f"/v1/entities/{id}")
        assert answer.status_code == 200
        assert "hidden" not in answer.text


async def test_lists_answer_the_same_to_the_byte_page_by_page(api: Program, owner: Caller) -> None:
    await _store_odd_things(api, owner)
    for query in ("limit=10", "limit=10&type=course", "limit=100&type=api_key", "limit=20&includeDeleted=true", ""):
        cursor = ""
        pages = 0
        while cursor is not None:
            path = f"/v1/entities?{query}&cursor={cursor}" if cursor else f"/v1/entities?{query}"
            answer = await _both_ways(owner, path)
            cursor = answer.json()["pagination"]["nextCursor"]
            pages += 1
        assert pages > 1 or "limit=10&" not in query


@pytest.mark.parametrize("type", ["api_key", "service_account", "user", "api_quota", "session"])
async def test_a_managed_type_is_read_with_the_scope_that_manages_it(api: Program, owner: Caller, type: str) -> None:
    """By both ways, in lists and by id; the refusal names the scope and shows nothing."""
    group, told, scope = owner.owner.group_id, "Told to few", MANAGED_SCOPES[type]
    thing = Thing(org_id=owner.org_id, group_id=group, type=type, name=told, status="active", created_by="nobody")
    path = f"/v1/entities/{encode_id('thing', thing.id)}"
    async with open_transaction(api.engine, owner.owner) as session:
        session.add(thing)
    others = [other for other in Scope if scope not in expand_scopes([other])]
    narrow, fitting = await api.issue(owner, *others), await api.issue(owner, Scope.ENTITIES_READ, scope)
    for place in (path, f"/v1/entities?type={type}", f"/v1/entities?type={type}&status=active"):
        refused = await narrow.get(place)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert f"`{scope}`" in refused.json()["detail"]
        assert told not in refused.text
        with _long_way():
            assert without_request_id(await narrow.get(place)) == without_request_id(refused)
        shown = await fitting.get(place)
        assert (shown.status_code, told in shown.text) == (200, True)


async def test_a_key_of_a_group_below_reads_the_same_to_the_byte(api: Program, owner: Caller) -> None:
    below = await owner.make("/v1/groups", name="Below", slug="below", type="business")
    key = await api.issue(owner, group_id=below["_id"])
    own, above = await owner.make_thing(groupId=below["_id"]), await owner.make_thing()
    assert (await _both_ways(key, f"/v1/entities/{own['_id']}")).status_code == 200
    with _counted() as served:
        assert (await key.get(f"/v1/entities/{above['_id']}")).status_code == 404
    assert served == ["read"]


@pytest.mark.parametrize(
    "query",
    [
        *("status=draft", "q=botany", "limit=11", "type=unknown", "limit=0", "cursor=x", "nonsense=1"),
        *("sort=name", "order=asc", "createdAfter=0", "updatedBefore=2099-01-01T00:00:00Z", "properties.price=49"),
        "groupId=group_01jd8kq3v5e9ra7t2m4xw6yz0c",
    ],
)
async def test_other_questions_are_answered_by_the_long_way(owner: Caller, query: str) -> None:
    await owner.make_thing()
    with _counted() as served:
        short = await owner.get(f"/v1/entities?{query}")
    with _long_way():
        long = await owner.get(f"/v1/entities?{query}")
    assert served == []
    assert without_request_id(short) == without_request_id(long)


async def test_creating_stores_and_answers_the_same(api: Program, owner: Caller) -> None:
    for properties in PROPERTIES:
        body = {"type": "course", "name": " Botany ü ", "properties": properties, "status": "active"}
        with _counted() as served:
            short = await owner.post("/v1/entities", body)
        assert served == ["write"]
        with _long_way():
            long = await owner.post("/v1/entities", body)
        assert short.status_code == long.status_code == 201
        assert _without_identity(short) == _without_identity(long)
        assert await _stored(api, owner, short) == await _stored(api, owner, long)


def _without_identity(answer: httpx.Response) -> str:
    """The text but for id and times, so that the order of names and the spelling of numbers count."""
    found = answer.json()
    text = answer.text.replace(found["_id"], "<id>")
    return text.replace(str(found["createdAt"]), "<at>").replace(str(found["updatedAt"]), "<at>")


async def _stored(api: Program, owner: Caller, answer: httpx.Response) -> list[Any]:
    """The row and its event, as the database holds them."""
    id = answer.json()["_id"]
    async with open_transaction(api.engine, owner.owner) as session:
        thing = (await session.exec(select(Thing).where(col(Thing.id) == decode_id(id)[1]))).one()
    events = (await owner.get(f"/v1/events?targetId={id}")).json()["data"]
    assert len(events) == 1
    assert events[0]["requestId"] == answer.headers["x-request-id"]
    row = thing.model_dump(exclude={"id", "created_at", "updated_at"})
    return [row, {name: events[0][name] for name in events[0].keys() - {"_id", "timestamp", "requestId", "targetId"}}]


@pytest.mark.parametrize(
    "change", [{"type": "api_key"}, {"type": "nonsense"}, {"properties": {"price": "much"}}, {"groupId": None}]
)
async def test_refusals_of_what_is_created_are_the_same(owner: Caller, change: dict[str, Any]) -> None:
    body = {"type": "course", "name": "Botany"} | change
    if "groupId" in change:
        body["groupId"] = "group_01jd8kq3v5e9ra7t2m4xw6yz0c"
    short = await owner.post("/v1/entities", body)
    with _long_way():
        long = await owner.post("/v1/entities", body)
    assert short.status_code >= 400
    assert without_request_id(short) == without_request_id(long)


async def test_nothing_is_created_in_an_archived_group(api: Program, owner: Caller) -> None:
    below = await owner.make("/v1/groups", name="Below", slug="below", type="business")
    async with open_transaction(api.engine, owner.owner) as session:
        (await session.get_one(Group, decode_id(below["_id"])[1])).status = "archived"
    refused = await owner.post("/v1/entities", {"type": "course", "name": "Botany", "groupId": below["_id"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "group_archived")
    assert await owner.all_rows("/v1/entities") == []


async def test_repeated_creation_with_an_idempotency_key_has_one_effect(owner: Caller) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await owner.post("/v1/entities", {"type": "course", "name": "Botany"}, headers=headers)
    again = await owner.post("/v1/entities", {"type": "course", "name": "Botany"}, headers=headers)
    assert first.content == again.content
    assert len(await owner.all_rows("/v1/entities")) == 1


async def test_what_is_created_has_the_tag_it_is_read_with_and_changed_by(owner: Caller) -> None:
    with _counted() as served:
        made = await owner.post("/v1/entities", {"type": "course", "name": "Botany"})
    assert served == ["write"]
    path = f"/v1/entities/{made.json()['_id']}"
    read = await _both_ways(owner, path)
    assert made.headers["etag"] == read.headers["etag"]
    unchanged = await owner.get(path, headers={"If-None-Match": read.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert not unchanged.headers.keys() & {"content-type", "content-length"}
    assert (await owner.get(path, headers={"If-Match": '"other"'})).status_code == 412
    changed = await owner.call("PATCH", path, json={"name": "Zoology"}, headers={"If-Match": made.headers["etag"]})
    assert changed.status_code == 200
    assert (await _both_ways(owner, path)).headers["etag"] == changed.headers["etag"] != read.headers["etag"]


@pytest.mark.parametrize(
    ("headers", "status"), [({"Accept": "text/html"}, 406), ({"API-Version": "1999-01-01"}, 400), ({}, 201)]
)
async def test_the_short_way_begins_behind_what_is_asked_of_every_call(
    owner: Caller, headers: dict[str, str], status: int
) -> None:
    with _counted() as served:
        answer = await owner.post("/v1/entities", {"type": "course", "name": "Botany"}, headers=headers)
    assert answer.status_code == status
    assert served == (["write"] if status == 201 else [])
    assert "api-version" in answer.headers


async def test_what_is_tried_is_not_created(owner: Caller) -> None:
    tried = await owner.post("/v1/entities?dryRun=true", {"type": "course", "name": "Botany"})
    assert (tried.status_code, tried.headers["dry-run"]) == (200, "true")
    assert await owner.all_rows("/v1/entities") == []


async def test_a_body_with_a_key_is_refused_and_ends_the_key(api: Program, owner: Caller) -> None:
    leaked = await api.issue(owner)
    refused = await owner.post("/v1/entities", {"type": "course", "name": leaked.key})
    assert refused.status_code == 400
    assert await owner.all_rows("/v1/entities", type="course") == []
    assert (await leaked.get("/v1/whoami")).status_code == 401


async def test_whoami_shows_new_names_at_once(api: Program, owner: Caller) -> None:
    below = await owner.make("/v1/groups", name="Below", slug="below", type="business")
    key = await api.issue(owner, group_id=below["_id"])
    assert (await key.get("/v1/whoami")).json()["group"]["name"] == "Below"
    for path, place in (
        (f"/v1/groups/{below['_id']}", "group"),
        (f"/v1/groups/{encode_id('group', owner.org_id)}", "organisation"),
        (f"/v1/api-keys/{key.key_id}", "key"),
    ):
        assert (await owner.call("PATCH", path, json={"name": f"New {place}"})).status_code == 200
        assert (await key.get("/v1/whoami")).json()[place]["name"] == f"New {place}"


async def test_an_actor_of_a_request_is_the_actor_but_for_the_request() -> None:
    actor = Actor(
        id="someone",
        org_id=UUID(int=1),
        group_id=UUID(int=2),
        scopes=frozenset({Scope.ENTITIES_READ}),
        plan=Plan.ENTERPRISE,
        key_id=UUID(int=3),
        request_id="before",
        ancestor_ids=(UUID(int=4),),
        edits_own_only=True,
    )
    assert actor.for_request("now") == replace(actor, request_id="now")


async def test_a_lost_connection_costs_no_read_and_heals(api: Program, owner: Caller, superuser_url: str) -> None:
    thing = await owner.make_thing()
    async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as other:
        await other.execute(_TERMINATE)
    for _ in range(5):
        assert (await owner.get(f"/v1/entities/{thing['_id']}")).status_code == 200

    async def is_served_again() -> bool:
        with _counted() as served:
            await owner.get(f"/v1/entities/{thing['_id']}")
            await owner.post("/v1/entities", {"type": "course", "name": "Botany"})
        return served == ["read", "write"]

    await eventually(is_served_again)


async def test_a_write_whose_connection_is_lost_is_not_repeated(
    api: Program, owner: Caller, superuser_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(superuser_url) as other:
        await other.execute("SELECT 1 FROM groups WHERE id = %s FOR UPDATE", [owner.org_id])
        writing = asyncio.create_task(owner.post("/v1/entities", {"type": "course", "name": "Botany"}))
        async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as killer:

            async def is_waiting() -> bool:
                found = await killer.execute(_WAITING)
                return await found.fetchone() == (1,)

            await eventually(is_waiting)
            await killer.execute(_TERMINATE)
        answer = await writing
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert await owner.all_rows("/v1/entities") == []


async def test_a_slow_write_holds_up_nobody_else(api: Program, owner: Caller, superuser_url: str) -> None:
    thing = await owner.make_thing()
    stranger = await api.register()
    async with await psycopg.AsyncConnection.connect(superuser_url) as other:
        await other.execute("SELECT 1 FROM groups WHERE id = %s FOR UPDATE", [owner.org_id])
        waiting = [
            asyncio.create_task(owner.post("/v1/entities", {"type": "course", "name": f"Botany {n}"})) for n in range(8)
        ]
        for _ in range(3):
            assert (await stranger.post("/v1/entities", {"type": "course", "name": "Free"})).status_code == 201
            assert (await owner.get(f"/v1/entities/{thing['_id']}")).status_code == 200
        assert not any(task.done() for task in waiting)
        await other.rollback()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [201] * 8
    assert len(await owner.all_rows("/v1/entities")) == 9


_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'one-hot' AND datname = current_database()"
)
_WAITING = (
    "SELECT count(*)::int FROM pg_stat_activity "
    "WHERE application_name = 'one-hot' AND datname = current_database() AND wait_event_type = 'Lock'"
)
