"""The troubleshooting page sends the request that fits: with a key of an hour, and not before it has asked."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser import Visit, visit
from tests.parts import Parts
from tests.web_server import WebServer, running_web_server

OWN_PAGE = {"title": "Our notes", "text": "Ask Ada.", "kind": "error"}


@pytest.fixture(scope="module")
def server(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    parts.empty_redis()
    with ExitStack() as stack:
        database = stack.enter_context(parts.new_database())
        settings = parts.settings(database, tmp_path_factory.mktemp("replay"))
        yield stack.enter_context(running_web_server(settings))


@pytest.fixture
async def member(browser: Browser, server: WebServer) -> AsyncIterator[tuple[Visit, str]]:
    """Somebody signed in, with a key. The codes have pages of their own, since there is no search here."""
    async with visit(browser, server.base_url) as window:
        await window.sign_up()
        key = await window.page.locator("[data-new-key]").inner_text()
        for code in ("unknown_type", "invalid_request"):
            made = await window.page.request.post(
                f"{server.base_url}/v1/knowledge/documents",
                headers={"Authorization": f"Bearer {key}"},
                data=OWN_PAGE | {"externalId": code},
            )
            assert made.status == 201
        yield window, key


async def _diagnose(window: Visit, text: str, method: str, path: str, body: str = "") -> None:
    await window.go("/troubleshoot")
    await window.page.get_by_label("What went wrong").fill(text)
    await window.page.get_by_text("Add the request itself").click()
    await window.page.get_by_label("Method").select_option(method)
    await window.page.get_by_label("Path and query").fill(path)
    await window.page.get_by_label("Body").fill(body)
    await window.page.get_by_role("button", name="Find out").click()
    await window.page.locator("[data-diagnosis]").wait_for()


async def _count_courses(window: Visit, key: str) -> int:
    answer = await window.page.request.get(
        f"{window.base_url}/v1/entities?type=course", headers={"Authorization": f"Bearer {key}"}
    )
    return len((await answer.json())["data"])


def _status(page: Page) -> Locator:
    return page.locator("[data-answer-status]")


async def test_a_write_is_sent_once_it_was_confirmed(member: tuple[Visit, str]) -> None:
    window, key = member
    page = window.page
    await _diagnose(window, '{"code": "unknown_type"}', "POST", "/v1/entities", '{"type": "corse", "name": "Botany"}')
    await page.get_by_role("button", name="Replay").click()
    dialog = page.get_by_role("dialog", name="Send POST /v1/entities?")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Not now").click()
    assert await _count_courses(window, key) == 0
    for _ in range(2):  # the second is known by its idempotency key, and stores nothing
        await page.get_by_role("button", name="Replay").click()
        await dialog.get_by_role("button", name="Send it").click()
        await expect(_status(page)).to_have_text("201 Created")
    await expect(page.locator("[data-answer-cost]")).to_have_text("replayed, not counted")
    assert await _count_courses(window, key) == 1
    assert await window.violations() == []


async def test_a_read_is_sent_at_once(member: tuple[Visit, str]) -> None:
    window, key = member
    await _diagnose(window, '{"code": "invalid_request"}', "GET", "/v1/entities?limt=5")
    await window.page.get_by_role("button", name="Replay").click()
    await expect(_status(window.page)).to_have_text("200 OK")
    await window.page.get_by_text("Use another").click()
    await window.page.get_by_label("Your key").fill(key[:-1])
    await window.page.get_by_role("button", name="Replay").click()
    await expect(_status(window.page)).to_have_text("401 Unauthorized")


async def test_what_is_no_operation_is_not_offered(member: tuple[Visit, str]) -> None:
    window, _ = member
    await _diagnose(window, '{"code": "invalid_request"}', "POST", "/somewhere/else/altogether/at/all/indeed", "{}")
    assert await window.page.get_by_role("button", name="Replay").count() == 0
