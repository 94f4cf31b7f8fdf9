"""What the browser itself does about a search: tells which hit was opened, and takes keys out of what is typed."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from markupsafe import Markup
from playwright.async_api import Browser, Route, expect

from ontology.ids import encode_id, new_id
from portal.pages.search import ResultGroup, ResultHit, SearchPage
from portal.rendering import environment
from tests.browser import visit
from tests.parts import Parts
from tests.program import eventually
from tests.web_server import WebServer, running_web_server

QUERY = "how do I rotate a key"


@pytest.fixture(scope="module")
def server(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Without a knowledge process: what is suggested is made up below, by the page's own template."""
    parts.empty_redis()
    with ExitStack() as stack:
        database = stack.enter_context(parts.new_database())
        settings = parts.settings(database, tmp_path_factory.mktemp("opened"))
        yield stack.enter_context(running_web_server(settings))


def suggestions(search_id: str, documents: list[str]) -> str:
    noted = json.dumps({"search": search_id, "query": QUERY, "hits": len(documents), "score": 0.75})
    hits = [
        ResultHit(f"Page {rank}", "/docs/guides/search", "", Markup("Text"), None, None, document, rank)
        for rank, document in enumerate(documents, 1)
    ]
    page = SearchPage(QUERY, (ResultGroup("page", "Documentation", tuple(hits)),), len(hits), noted=noted)
    return environment().get_template("_results.html").render(page=page)


async def test_a_hit_opened_from_the_search_box_is_in_the_log(browser: Browser, server: WebServer) -> None:
    search_id = encode_id("search", new_id())
    documents = [encode_id("knowledge", new_id()) for _ in range(3)]

    async def suggest(route: Route) -> None:
        await route.fulfill(body=suggestions(search_id, documents), content_type="text/html")

    async with visit(browser, server.base_url) as window:
        await window.sign_up()
        key = await window.page.locator("[data-new-key]").inner_text()

        async def is_logged() -> bool:
            answer = await window.page.request.get(
                f"{server.base_url}/v1/knowledge/searches", headers={"Authorization": f"Bearer {key}"}
            )
            rows = (await answer.json())["data"]
            return [(row["_id"], row["openedDocumentId"], row["openedRank"]) for row in rows] == [
                (search_id, documents[1], 2)
            ]

        await window.page.route("**/search/suggest*", suggest)
        await window.page.keyboard.press("/")
        await window.page.get_by_role("combobox").fill(QUERY)
        second = window.page.get_by_role("option", name="Page 2")
        await second.wait_for()
        assert await second.get_attribute("href") == "/docs/guides/search"
        await second.click()
        await window.page.wait_for_url("**/docs/guides/search")
        await eventually(is_logged)
        await window.go("/searches?show=all")
        assert QUERY in await window.page.locator("table").inner_text()
        assert (await window.overflow(), await window.violations()) == (0, [])


async def test_a_key_pasted_into_the_search_box_is_not_sent_and_goes_on_working(
    browser: Browser, server: WebServer
) -> None:
    asked: list[str] = []
    hits = [encode_id("knowledge", new_id())]

    async def suggest(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(body=suggestions(encode_id("search", new_id()), hits), content_type="text/html")

    async with visit(browser, server.base_url) as window:
        await window.sign_up()
        key = await window.page.locator("[data-new-key]").inner_text()
        await window.page.route("**/search/suggest*", suggest)
        await window.page.keyboard.press("/")
        async with window.page.expect_request("**/search/suggest*"):
            await window.page.get_by_role("combobox").fill(f"401 for Bearer {key}")
        await expect(window.page.get_by_role("combobox")).to_have_value("401 for Bearer org_***_key_***")
        await expect(window.page.locator("#search-dialog [data-key-note]")).to_contain_text("was taken out")
        assert asked and not any(key in url or "_key_" not in url for url in asked)
        assert await window.violations() == []
        await window.go("/events")
        await window.page.locator("#filter-endpoint").fill(key)
        assert key not in await window.page.locator("#filter-endpoint").input_value()
        answer = await window.page.request.get(
            f"{server.base_url}/v1/whoami", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status == 200
