"""The search log: what was looked for is there soon after, within reach only, and nobody's search waits for it."""

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import psycopg
import pytest

from ontology.ids import encode_id, new_id
from ontology.scopes import Scope
from tests.api.test_asking import Knowing, knowing_program
from tests.parts import Parts
from tests.program import Browser, Caller, Program, eventually, new_browser

LOG, TERMS = "/v1/knowledge/searches", "/v1/knowledge/searches/terms"
KNOWN, UNKNOWN = "how do I rotate a key without an outage", "opening hours of the swimming pool in Berlin"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
async def knowing(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Knowing]:
    with parts.new_database() as database:
        async with knowing_program(parts, database, tmp_path_factory.mktemp("searches")) as made:
            yield made


@pytest.fixture
async def program(knowing: Knowing) -> Program:
    return knowing.program


@pytest.fixture
async def owner(program: Program) -> Caller:
    return await program.register()


async def search(caller: Caller, query: str, **more: Any) -> list[dict[str, Any]]:
    answer = await caller.post("/v1/knowledge/search", {"query": query} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def logged(caller: Caller, count: int, **filters: Any) -> list[dict[str, Any]]:
    """The log once it has so many entries."""
    rows: list[dict[str, Any]] = []

    async def is_there() -> bool:
        rows[:] = await caller.all_rows(LOG, **filters)
        return len(rows) >= count

    await eventually(is_there)
    assert len(rows) == count
    return rows


async def test_a_search_is_logged_with_what_came_of_it(owner: Caller) -> None:
    hits = await search(owner, f"  {KNOWN}\n", limit=3, kinds=["page"])
    await search(owner, UNKNOWN)
    newest, oldest = await logged(owner, 2)
    assert (oldest["query"], oldest["kinds"], oldest["purpose"], oldest["source"]) == (KNOWN, ["page"], "search", "api")
    assert (oldest["hits"], oldest["bestScore"], oldest["found"]) == (len(hits), hits[0]["score"], True)
    assert (oldest["openedDocumentId"], oldest["openedRank"]) == (None, None)
    assert oldest["groupId"] == owner.group_id
    # There always is something nearest; what counts is whether it answers.
    assert newest["hits"] > 0 and newest["found"] is False


async def test_a_question_is_logged_with_whether_it_was_answered(owner: Caller) -> None:
    for accept in ("application/json", "text/event-stream"):
        for question in (KNOWN, UNKNOWN):
            asked = await owner.post("/v1/knowledge/ask", {"question": question}, headers={"Accept": accept})
            assert asked.status_code == 200
    found = [(row["query"], row["found"], row["hits"] > 0) for row in await logged(owner, 4, purpose="ask")]
    assert found == [(UNKNOWN, False, False), (KNOWN, True, True)] * 2


async def test_what_was_not_found_comes_first(owner: Caller) -> None:
    for query in (KNOWN, UNKNOWN, UNKNOWN.upper(), "gift vouchers for the opera", KNOWN, KNOWN):
        await search(owner, query)
    await logged(owner, 6)
    terms = (await owner.get(TERMS)).json()["data"]
    counts = [(one["query"].lower(), one["searches"], one["notFound"]) for one in terms]
    assert counts == [
        (UNKNOWN.lower(), 2, 2),
        ("gift vouchers for the opera", 1, 1),
        (KNOWN.lower(), 3, 0),
    ]
    missed = (await owner.get(TERMS, params={"found": "false", "limit": "1"})).json()["data"]
    assert [one["query"].lower() for one in missed] == [UNKNOWN.lower()]
    assert [row["query"] for row in await owner.all_rows(LOG, q="OPERA")] == ["gift vouchers for the opera"]
    assert await owner.all_rows(LOG, q="o%ra") == []
    assert await owner.all_rows(LOG, source="portal") == []
    assert len(await owner.all_rows(LOG, found="true")) == 3


async def test_a_group_sees_its_own_searches_and_those_below(program: Program, owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    south = await owner.make("/v1/groups", name="South")
    keys = [await program.issue(owner, group_id=group["_id"]) for group in (north, south)]
    for key in (*keys, owner, await program.register()):
        await search(key, f"{KNOWN} {key.group_id}")
    assert {row["groupId"] for row in await logged(owner, 3)} == {owner.group_id, north["_id"], south["_id"]}
    assert [row["groupId"] for row in await keys[0].all_rows(LOG)] == [north["_id"]]
    assert [one["searches"] for one in (await keys[1].get(TERMS)).json()["data"]] == [1]
    assert (await keys[1].get(LOG, params={"groupId": north["_id"]})).status_code == 404
    assert (await keys[1].get(TERMS, params={"groupId": north["_id"]})).status_code == 404
    assert len(await owner.all_rows(LOG, groupId=south["_id"])) == 1
    reader = await program.issue(owner, Scope.KNOWLEDGE_READ)
    for path in (LOG, TERMS):
        assert (await reader.get(path)).json()["code"] == "insufficient_scope"


async def test_nobody_waits_for_the_log(program: Program, parts: Parts, owner: Caller) -> None:
    """The table cannot be written for a while; searches are answered, and are in the log afterwards."""
    name = program.settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(name)) as connection:
        connection.execute("LOCK TABLE search_log IN EXCLUSIVE MODE")
        for number in range(3):
            assert await search(owner, f"{KNOWN} {number}")
        assert await owner.all_rows(LOG) == []
    await logged(owner, 3)


async def test_a_visitor_who_is_not_signed_in_leaves_nothing(program: Program, parts: Parts) -> None:
    async with new_browser(program.client) as browser:
        page = await browser.get(f"/search?q={UNKNOWN}")
        assert page.status_code == 200 and "data-search-noted" not in page.text
        form = {"search": encode_id("search", new_id()), "document": encode_id("knowledge", new_id())}
        told = await browser.post_form("/search/opened", form | {"query": UNKNOWN, "hits": 3, "score": 1, "rank": 1})
        assert told.status_code == 204
    name = program.settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(name)) as connection:
        count = connection.execute("SELECT count(*) FROM search_log WHERE query = %s AND source = 'portal'", [UNKNOWN])
        assert count.fetchone() == (0,)


@pytest.fixture
async def member(program: Program) -> AsyncIterator[tuple[Browser, Caller]]:
    """Somebody who has signed up, and a key of theirs."""
    async with new_browser(program.client) as browser:
        form = {"organisation": "Acme", "name": "Ada", "email": f"{new_id()}@example.com", "password": PASSWORD}
        made = await browser.post_form("/sign-up", form)
        (key,) = set(re.findall(r"org_\w+_key_\w{49}", made.text))
        somebody = await program.register()
        caller = Caller(program.client, key, "", "", somebody.owner)
        yield browser, caller


def noted(page: str) -> tuple[dict[str, Any], str, str]:
    """What the page would tell of its first hit."""
    about = json.loads(unescape(re.findall(r'data-search-noted="([^"]+)"', page)[0]))
    document, rank = re.findall(r'data-hit="([^"]+)" data-rank="(\d+)"', page)[0]
    return about, document, rank


async def test_the_hit_that_a_member_opens_is_marked(member: tuple[Browser, Caller]) -> None:
    browser, caller = member
    about, document, rank = noted((await browser.get(f"/search?q={KNOWN}")).text)
    told = await browser.post_form("/search/opened", about | {"document": document, "rank": rank})
    assert told.status_code == 204 and "location" not in told.headers

    async def is_marked() -> bool:
        return any(row["openedRank"] for row in await caller.all_rows(LOG))

    await eventually(is_marked)
    (row,) = await caller.all_rows(LOG)
    assert (row["_id"], row["source"], row["query"]) == (about["search"], "portal", KNOWN)
    assert (row["openedDocumentId"], row["openedRank"]) == (document, int(rank))
    assert row["bestScore"] == about["score"]


async def test_what_is_suggested_while_typing_is_logged_once_a_hit_is_opened(member: tuple[Browser, Caller]) -> None:
    browser, caller = member
    for length in (5, 12, len(KNOWN)):
        about, document, rank = noted((await browser.get(f"/search/suggest?q={KNOWN[:length]}")).text)
    await browser.post_form("/search/opened", about | {"document": document, "rank": rank})
    (row,) = await logged(caller, 1)
    assert (row["query"], row["found"], row["openedDocumentId"]) == (KNOWN, True, document)


async def test_nobody_marks_the_search_of_another(program: Program, member: tuple[Browser, Caller]) -> None:
    browser, caller = member
    owner = await program.register()
    await search(owner, KNOWN)
    (row,) = await logged(owner, 1)
    about, document, rank = noted((await browser.get(f"/search/suggest?q={KNOWN}")).text)
    await browser.post_form("/search/opened", about | {"search": row["_id"], "document": document, "rank": rank})
    assert (await logged(caller, 1))[0]["_id"] == row["_id"]
    assert (await owner.all_rows(LOG))[0] == row


@pytest.mark.parametrize(
    "wrong",
    [
        {"search": "x"},
        {"document": "thing_01jd8kq3v5e9ra7t2m4xw6yz0c"},
        {"rank": "0"},
        {"rank": "9"},
        {"hits": "9999", "rank": "51"},
        {"hits": "-1"},
        {"score": "nan"},
        {"query": " "},
        {"rank": "1e400"},
    ],
    ids=str,
)
async def test_what_no_page_of_ours_tells_is_not_logged(member: tuple[Browser, Caller], wrong: dict[str, str]) -> None:
    browser, caller = member
    right = {"search": encode_id("search", new_id()), "document": encode_id("knowledge", new_id())}
    right |= {"query": KNOWN, "hits": "8", "score": "0.5", "rank": "2"}
    assert (await browser.post_form("/search/opened", right | wrong)).status_code == 204
    assert (await browser.client.post("/search/opened", data=right)).status_code == 403
    await browser.post_form("/search/opened", right)
    assert [row["_id"] for row in await logged(caller, 1)] == [right["search"]]


async def test_the_page_shows_what_was_not_found(program: Program, member: tuple[Browser, Caller]) -> None:
    browser, caller = member
    assert "Nobody has searched" in (await browser.get("/searches")).text
    await browser.get(f"/search?q={KNOWN}")
    await logged(caller, 1)
    assert "Everything had an answer" in (await browser.get("/searches")).text
    assert KNOWN in (await browser.get("/searches?show=all&days=7")).text
    await browser.get(f"/search?q={UNKNOWN} <b>")
    await browser.get(f"/search?q={UNKNOWN}&ask=1")
    await logged(caller, 3)
    page = (await browser.get("/searches?days=nonsense")).text
    assert f"{UNKNOWN} &lt;b&gt;" in page and KNOWN not in page and "<b>" not in page
    assert page.count("<dd>3</dd>") == 1 and page.count("<dd>2</dd>") == 1
    async with new_browser(program.client) as stranger:
        assert (await stranger.get("/searches")).headers["location"].startswith("/sign-in")
