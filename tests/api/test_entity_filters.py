"""The list of entities: a filter finds what it says and nothing else, an order is total, a plan begins at an index."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from ontology.database import open_transaction
from ontology.ids import encode_id
from ontology.pagination import PageRequest
from ontology.property_filters import PropertyFilter
from ontology.thing_lists import SortBy, ThingFilter, list_things
from tests.parts import Parts
from tests.program import Caller, Program

ROWS = 10_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def stocked(owner: Caller) -> Caller:
    """Five products whose properties differ in type and presence."""
    for name, properties in (
        ("cheap", {"price": 5, "sku": "007", "tags": ["red", "small"], "inStock": True}),
        ("middling", {"price": 10.5, "sku": "7", "tags": ["blue"], "inStock": False}),
        ("dear", {"price": 100, "sku": "10", "maker": {"country": "FR", "since": 1900}}),
        ("odd", {"shelf": "10", "label, with comma": "x", "note": 'says "hi"', "gone": None}),
        ("bare", {}),
    ):
        await owner.make("/v1/entities", type="product", name=name, properties=properties)
    return owner


async def _names(owner: Caller, **query: str) -> set[str]:
    return {row["name"] for row in await owner.all_rows("/v1/entities", **query)}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"properties.price": "5"}, {"cheap"}),
        ({"properties.price": "10.50"}, {"middling"}),
        ({"properties.price[gte]": "10"}, {"middling", "dear"}),
        ({"properties.price[gt]": "10.5"}, {"dear"}),
        ({"properties.price[lt]": "10.5"}, {"cheap"}),
        ({"properties.price[lte]": "10.5"}, {"cheap", "middling"}),
        ({"properties.price[gte]": "6", "properties.price[lt]": "1e2"}, {"middling"}),
        ({"properties.price[ne]": "5"}, {"middling", "dear", "odd", "bare"}),
        ({"properties.price[in]": "5,100,7"}, {"cheap", "dear"}),
        ({"properties.price": '"5"'}, set()),
        ({"properties.sku": "7"}, {"middling"}),
        ({"properties.sku": "007"}, {"cheap"}),
        ({"properties.sku": '"10"'}, {"dear"}),
        ({"properties.sku[gte]": '"10"'}, {"middling", "dear"}),
        ({"properties.sku[gte]": "10"}, set()),
        ({"properties.shelf": "10"}, {"odd"}),
        ({"properties.inStock": "true"}, {"cheap"}),
        ({"properties.inStock": "false"}, {"middling"}),
        ({"properties.tags": "red"}, {"cheap"}),
        ({"properties.tags[in]": "blue, small"}, {"cheap", "middling"}),
        ({"properties.maker.country": "FR"}, {"dear"}),
        ({"properties.maker.since[lt]": "1950"}, {"dear"}),
        ({"properties.tags[exists]": "true"}, {"cheap", "middling"}),
        ({"properties.price[exists]": "false"}, {"odd", "bare"}),
        ({"properties.gone": "null"}, {"odd"}),
        ({"properties.label, with comma": "x"}, {"odd"}),
        ({"properties.note": 'says "hi"'}, {"odd"}),
        ({'properties.x" ? (1 == 1) || "': "x"}, set()),
        ({"properties.price": '5" || 1 == 1 || "'}, set()),
        ({"properties.price[gte]": "1e99", "type": "product"}, set()),
    ],
)
async def test_a_property_is_compared_by_its_type(stocked: Caller, query: dict[str, str], names: set[str]) -> None:
    assert await _names(stocked, **query) == names


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"properties.price[like]": "5"}, "query.properties.price[like]"),
        ({"properties.": "5"}, "query.properties."),
        ({"properties.price[exists]": "yes"}, "query.properties.price[exists]"),
        ({"properties.price": "x" * 201}, "query.properties.price"),
        ({"properties": "x"}, "query.properties"),
        ({f"properties.p{n}": "x" for n in range(21)}, "query.properties"),
        ({"createdAfter": "yesterday"}, "query.createdAfter"),
        ({"sort": "price"}, "query.sort"),
        ({"order": "up"}, "query.order"),
    ],
)
async def test_a_filter_that_is_none_is_told(owner: Caller, query: dict[str, str], place: str) -> None:
    answer = await owner.get("/v1/entities", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, place)


async def test_sensitive_properties_cannot_be_asked_for_nor_found_by_words(owner: Caller) -> None:
    secret = {"apiKey": "sk-live-42", "authentication": {"user": "ada"}}
    made = await owner.make_thing("Billing", type="external_connection", properties={"platform": "n8n"} | secret)
    assert made["properties"] == {"platform": "n8n"}
    for query in (
        {"type": "session", "properties.token[gte]": "a"},
        {"type": "external_connection", "properties.apiKey[exists]": "true"},
        {"properties.apiKey[gte]": "sk"},
        {"properties.authentication.user": "ada"},
    ):
        answer = await owner.get("/v1/entities", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), query
    assert [await _names(owner, q=word) for word in ("sk-live-42", "sk", "ada")] == [set()] * 3
    assert await _names(owner, q="billing n8n") == {"Billing"}


async def test_a_list_of_values_counts_to_the_last(owner: Caller) -> None:
    await owner.make_thing("last", properties={"price": 99})
    assert await _names(owner, **{"properties.price[in]": ",".join("1" * 80) + ",99"}) == {"last"}


WORDS = (
    *("POT-20-1", "pot-7-run3", "AB-1234", "ab-12cd", "k10@example.org", "user.name@ex.co", "2026-11-27", "10:30"),
    *("v1.2.3", "12.5", "-0.75", "1,000.50", "192.168.0.1", "+49-30", "a/b/c", "/usr/share/x.txt", "foo_bar", "O'Neil"),
    *("https://example.com/x/y?z=1#f", "wi-fi", "Ärger", "日本語", "C++", "back\\slash", '"quoted"', "(in)"),
)


async def test_words_of_every_kind_are_found_as_they_are_written_and_by_their_beginning(owner: Caller) -> None:
    made = {word: await owner.make_thing("x", properties={"note": f"see {word}, or not"}) for word in WORDS}
    await owner.make_thing("POT-1-20 and AB-12345 for ada+pots@example.org")
    for word in WORDS:
        for q in (word, f"or {word.lower()}", word[:-1]):
            assert made[word]["_id"] in {row["_id"] for row in await owner.all_rows("/v1/entities", q=q)}, q
    exact = {"POT-20-1": 1, "ab-1234": 2, "1234": 2, "k10@example.com": 0, "pot 20": 2, "ada+pots@example.org": 1}
    for q, count in exact.items():
        assert len(await owner.all_rows("/v1/entities", q=q)) == count, q


@pytest.mark.parametrize(
    "q", ["'", "\\", "':*", "a' | b", "& | ! ( <->", "::", "\\':*\\", "<b x", "&amp;", "-", "😀", "x" * 200]
)
async def test_what_is_no_word_is_found_nowhere(owner: Caller, q: str) -> None:
    await owner.make_thing("Botany")
    assert await owner.all_rows("/v1/entities", q=q) == []


async def test_words_beyond_the_last_that_is_looked_for_are_told(owner: Caller) -> None:
    made = await owner.make_thing(" ".join(f"word{number}" for number in range(17)))
    q = made["name"].rpartition(" ")[0]
    assert len(await owner.all_rows("/v1/entities", q=q)) == 1
    assert await owner.all_rows("/v1/entities", q=q.replace("word15", "nothing")) == []
    refused = await owner.get("/v1/entities", params={"q": made["name"]})
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (400, "query.q")


async def test_times_are_half_open_and_read_both_ways(owner: Caller) -> None:
    rows = [await owner.make_thing(name) for name in ("one", "two")]
    at = rows[1]["createdAt"]
    iso = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    for text in (str(at), iso):
        assert "two" in await _names(owner, createdAfter=text)
        assert "two" not in await _names(owner, createdBefore=text)
    changed = (await owner.call("PATCH", f"/v1/entities/{rows[0]['_id']}", json={"name": "one"})).json()["updatedAt"]
    assert await _names(owner, updatedAfter=str(changed)) == {"one"}
    assert await _names(owner, updatedAfter=str(changed), updatedBefore=str(changed)) == set()


@pytest.mark.parametrize("sort", ["createdAt", "updatedAt", "name"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_every_order_is_total_across_pages(owner: Caller, sort: str, order: str) -> None:
    """Also among equals, and while rows are created that come before the page."""
    made = [await owner.make_thing(name) for name in ("b", "ä", "a", "b", "z" * 500, "😀" * 500, "b")]
    await owner.call("PATCH", f"/v1/entities/{made[2]['_id']}", json={"name": "c"})
    everything = await owner.all_rows("/v1/entities", sort=sort, order=order)
    assert len(everything) == len(made)
    expected = sorted(everything, key=lambda row: (row[sort], row["_id"]), reverse=order == "desc")
    assert [row["_id"] for row in everything] == [row["_id"] for row in expected]
    paged = await owner.all_rows("/v1/entities", sort=sort, order=order, limit="2")
    assert [row["_id"] for row in paged] == [row["_id"] for row in everything]


async def test_a_cursor_is_bound_to_sort_order_and_filters(owner: Caller) -> None:
    for name in ("a", "b", "c"):
        await owner.make_thing(name, properties={"price": 5})
    query = {"limit": "1", "sort": "name", "order": "asc", "properties.price": "5"}
    cursor = (await owner.get("/v1/entities", params=query)).json()["pagination"]["nextCursor"]
    assert (await owner.get("/v1/entities", params=query | {"cursor": cursor})).json()["data"][0]["name"] == "b"
    others: list[dict[str, str]] = [
        {"sort": "createdAt"},
        {"order": "desc"},
        {"properties.price": "6"},
        {"createdAfter": "2026-01-01"},
        {"type": "course"},
    ]
    for other in others:
        refused = await owner.get("/v1/entities", params=query | {"cursor": cursor} | other)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor"), other


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"type": "course"},
        {"status": "draft"},
        {"q": "botany"},
        {"narrow": ThingFilter(created_after=LONG_AGO)},
        {"narrow": ThingFilter(updated_after=LONG_AGO), "sort_by": SortBy.UPDATED_AT},
        {"sort_by": SortBy.NAME, "descending": False},
        {"narrow": ThingFilter(properties=(PropertyFilter(("price",), "gte", ("5",)),))},
        {"type": "course", "narrow": ThingFilter(properties=(PropertyFilter(("price",), "eq", ("5",)),))},
    ],
    ids=str,
)
async def test_no_list_reads_the_table_as_a_whole(api: Program, large_table: None, query: dict[str, Any]) -> None:
    """Among ten thousand rows of others: the plan of the very statement, as the program's role."""
    owner = await api.register()
    await owner.make_thing("Botany", properties={"price": 5})
    seen: list[tuple[str, Any]] = []

    def remember(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(api.engine.sync_engine, "before_cursor_execute", remember)
    try:
        async with open_transaction(api.engine, owner.owner) as session:
            page = await list_things(session, owner.owner, PageRequest("secret"), **query)
            statement, parameters = seen[-1]
            connection = await session.connection()
            explained = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plan = "\n".join(row[0] for row in explained)
    finally:
        event.remove(api.engine.sync_engine, "before_cursor_execute", remember)
    assert [row.name for row in page.rows] == ["Botany"]
    assert "Seq Scan on things" not in plan, plan
    assert "Index Cond: (org_id = " in plan or "Index Cond: ((org_id = " in plan, plan


@pytest.fixture(scope="module")
async def large_table(api: Program, parts: Parts) -> AsyncIterator[None]:
    """Ten thousand things of somebody else."""
    org_id = (await api.register()).org_id
    database = api.settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(database), autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO things
                (org_id, id, group_id, type, name, properties, status, created_at, updated_at, created_by)
            SELECT %(org)s, gen_random_uuid(), %(org)s, 'course', 'filler ' || n, '{"price": 5}', 'draft', now(), now(),
                'nobody' FROM generate_series(1, %(rows)s) n""",
            {"org": org_id, "rows": ROWS},
        )
        connection.execute("ANALYZE things")
        yield
        connection.execute("DELETE FROM things WHERE created_by = 'nobody'")


async def test_replacing_leaves_nothing_of_what_was(owner: Caller) -> None:
    made = await owner.make_thing("Botany", properties={"price": 5, "own": 1}, status="published")
    path = f"/v1/entities/{made['_id']}"
    answer = await owner.call("PUT", path, json={"name": "Ferns", "properties": {"price": 6}})
    assert answer.status_code == 200
    row = answer.json()
    assert (row["name"], row["properties"], row["status"]) == ("Ferns", {"price": 6}, "draft")
    assert {k: row[k] for k in ("_id", "type", "groupId", "createdAt")} == {
        k: made[k] for k in ("_id", "type", "groupId", "createdAt")
    }
    (found,) = await owner.all_rows("/v1/events", targetId=made["_id"], type="thing_updated")
    assert found["metadata"]["action"] == "replaced"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"properties": {}}, 400, "invalid_request"),
        ({"name": "x", "type": "lesson"}, 409, "conflict"),
        ({"name": "x", "properties": {"price": "dear"}}, 422, "invalid_properties"),
        ({"name": "x", "_id": "y"}, 400, "invalid_request"),
    ],
)
async def test_a_replacement_that_does_not_fit_changes_nothing(
    owner: Caller, body: dict[str, Any], status: int, code: str
) -> None:
    made = await owner.make_thing()
    path = f"/v1/entities/{made['_id']}"
    refused = await owner.call("PUT", path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await owner.get(path)).json() == made


async def test_only_what_lives_and_is_not_managed_can_be_replaced(owner: Caller) -> None:
    made = await owner.make_thing()
    await owner.delete(f"/v1/entities/{made['_id']}")
    for identity, code in ((made["_id"], "conflict"), (owner.key_id, "managed_type")):
        assert (await owner.call("PUT", f"/v1/entities/{identity}", json={"name": "x"})).json()["code"] == code
    unknown = encode_id("thing", uuid4())
    assert (await owner.call("PUT", f"/v1/entities/{unknown}", json={"name": "x"})).status_code == 404
