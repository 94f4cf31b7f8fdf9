"""What people do in the portal, done in Chromium against the whole program."""

import json

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import PASSWORD, Visit, visit
from tests.parts import INDEXING_SECONDS, RunningPortal
from tests.program import eventually

pytestmark = pytest.mark.timeout(300 + INDEXING_SECONDS)
ABOUT_DEAD_KEYS = "/docs/guides/revoked-and-expired-keys"
QUESTION = "my key stopped working"


@pytest.fixture(scope="module")
def portal(running_portal: RunningPortal) -> RunningPortal:
    """The program, as soon as its search answers."""
    running_portal.wait_searchable()
    return running_portal


async def test_newcomer_gets_from_nothing_to_a_first_call_an_answer_and_an_endpoint(
    browser: Browser, portal: RunningPortal
) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.go("/")
        await page.get_by_role("link", name="Get your key").first.click()
        await expect(page).to_have_url(f"{portal.base_url}/sign-up")
        await window.sign_up("Botanical Garden")
        assert (await page.locator("[data-new-key]").inner_text()).startswith("org_")

        await page.locator("[data-first-call]").click()
        await expect(page.locator("[data-first-call-status]")).to_have_text("201 Created")
        made = json.loads(await page.locator("[data-answer-body]").inner_text())
        assert made["_id"].startswith("thing_")

        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox").fill(QUESTION)
        first = page.get_by_role("option")
        await expect(first.nth(2)).to_be_visible()
        found = [await first.nth(place).get_attribute("href") for place in range(3)]
        assert any(str(address).startswith(ABOUT_DEAD_KEYS) for address in found), found
        await page.locator(f'[role="option"][href^="{ABOUT_DEAD_KEYS}"]').first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Revoked and expired keys")

        await window.go("/reference/listEntities")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-answer-status]")).to_have_text("200 OK")
        listed = json.loads(await page.locator("[data-answer-body]").inner_text())
        assert made["_id"] in [row["_id"] for row in listed["data"]]
        await expect(page.locator("[data-answer-time]")).to_contain_text("ms")
        await expect(page.locator("[data-answer-cost]")).to_contain_text("left this minute")
        await page.get_by_text("Headers", exact=True).click()
        await expect(page.locator("[data-answer-headers]")).to_contain_text("x-request-id")


async def test_key_is_shown_once_used_and_dead_after_revoking(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.sign_up()
        await window.go("/keys")
        await page.get_by_label("Name", exact=True).fill("Dashboard")
        await page.get_by_text("Choose scopes").click()
        await page.get_by_label("entities:read").check()
        await page.get_by_label("Expires").select_option("30")
        await page.get_by_role("button", name="Create key").click()
        key = await page.locator("[data-new-key]").inner_text()
        assert _whoami(portal, key) == 200

        await window.go("/keys")
        await expect(page.locator("[data-new-key]")).to_have_count(0)
        row = page.locator("[data-key]").filter(has_text="Dashboard")
        await expect(row).to_contain_text("active")

        async def use_is_shown() -> bool:
            await window.go("/keys")
            return "from 127.0.0.1" in await row.inner_text()

        await eventually(use_is_shown)
        await row.get_by_role("button", name="Revoke Dashboard").click()
        await expect(row.get_by_role("button", name="Keep it")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(row.get_by_role("button", name="Revoke Dashboard")).to_be_focused()
        await page.keyboard.press("Enter")
        await row.get_by_role("button", name="Revoke key").click()
        await expect(page.get_by_role("status").filter(has_text="The key is revoked.")).to_be_visible()
        await expect(page).to_have_url(f"{portal.base_url}/keys")
        await expect(row).to_contain_text("revoked")
        assert _whoami(portal, key) == 401


async def test_signing_in_and_out(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        email = await window.sign_up()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_url(f"{portal.base_url}/")
        await window.go("/keys?done=revoked")
        await expect(page).to_have_url(f"{portal.base_url}/sign-in?next=/keys%3Fdone%3Drevoked")
        await page.get_by_label("E-mail address").fill(email)
        await page.get_by_label("Password").fill("not the password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("E-mail address and password do not match.")
        assert await page.get_by_label("E-mail address").input_value() == email
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{portal.base_url}/keys")


async def test_refusal_in_the_explorer_leads_to_its_page(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        key = portal.register()["key"]
        await window.go("/reference/createEntity")
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("textbox", name="Body").fill('{"type": "course", "nme": "<img src=x>"}')
        assert '"nme"' in await page.locator("[data-sample]").inner_text()
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-answer-status]")).to_have_text("400 Bad Request")
        await expect(page.locator("[data-answer-problem]")).to_contain_text("body.nme")
        await page.get_by_role("link", name="About invalid_request").click()
        await expect(page).to_have_url(f"{portal.base_url}/docs/errors/invalid_request")


async def test_explorer_offers_what_was_just_made(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.sign_up()
        await window.go("/reference/createEntity")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-answer-status]")).to_have_text("201 Created")
        made = json.loads(await page.locator("[data-answer-body]").inner_text())
        await window.go("/reference/deleteEntity")
        await expect(page.get_by_label("entityId")).to_have_value(made["_id"])
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-answer-status]")).to_have_text("200 OK")


async def test_request_is_written_in_the_readers_language_and_operations_are_found_by_typing(
    browser: Browser, portal: RunningPortal
) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.go("/reference/listEntities?type=course")
        await expect(page.get_by_label("type", exact=True)).to_have_value("course")
        await page.get_by_role("tab", name="Go").click()
        await expect(page.locator("[data-sample]")).to_contain_text("/v1/entities?type=course")
        await expect(page.locator("[data-sample]")).to_contain_text("http.NewRequest")
        await page.get_by_label("Filter operations").fill("post documents")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{portal.base_url}/reference/createDocument")
        await expect(page.locator("[data-sample]")).to_contain_text("http.NewRequest")


async def test_loading_the_page_of_a_new_key_again_makes_no_second_key(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.sign_up()
        await window.go("/keys")
        await page.get_by_label("Name", exact=True).fill("Once")
        await page.get_by_role("button", name="Create key").click()
        await page.locator("[data-new-key]").wait_for()
        await page.reload()
        await expect(page.locator("[data-new-key]")).to_have_count(0)
        await expect(page.locator("[data-key]")).to_have_count(2)
        await window.go("/docs")
        await page.go_back()
        await expect(page.locator("[data-key]")).to_have_count(2)


async def test_a_form_sent_by_a_double_click_makes_one_key(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        await window.sign_up()
        await window.go("/keys")
        await window.page.get_by_label("Name", exact=True).fill("Only one")
        await window.page.get_by_role("button", name="Create key").dblclick()
        await window.page.locator("[data-new-key]").wait_for()
        await expect(window.page.locator("[data-key]").filter(has_text="Only one")).to_have_count(1)


async def test_search_needs_no_mouse(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.go("/docs")
        await page.keyboard.press("/")
        box = page.get_by_role("combobox")
        await expect(box).to_be_focused()
        await page.keyboard.type("rate limit exceeded 429")
        options = page.get_by_role("option")
        # The answers to what was typed on the way come and go; what counts is the last.
        await expect(page.locator("#search-results")).to_have_attribute("data-query", "rate limit exceeded 429")
        await _choose_by_arrow(page)
        second = await options.nth(1).get_attribute("href")
        assert await window.violations() == []
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{portal.base_url}{second}")
        await page.keyboard.press("Control+k")
        await page.keyboard.press("Escape")
        await expect(box).not_to_be_visible()


async def _choose_by_arrow(page: Page) -> None:
    """Down once: the second option is the one a screen reader hears."""
    await page.keyboard.press("ArrowDown")
    second = page.get_by_role("option").nth(1)
    await expect(second).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("combobox")).to_have_attribute(
        "aria-activedescendant", str(await second.get_attribute("id"))
    )


async def test_theme_and_language_are_remembered(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url, color_scheme="light") as window:
        page = window.page
        await window.go("/docs/getting-started/quickstart")
        await page.get_by_role("button", name="Use the dark theme").click()
        await page.get_by_role("tab", name="Python").first.click()
        await window.go("/docs/guides/pagination")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await expect(page.get_by_role("tab", name="Python").first).to_have_attribute("aria-selected", "true")
        await page.get_by_role("tab", name="Python").first.press("ArrowRight")
        await expect(page.get_by_role("tab", name="JavaScript").first).to_be_focused()
        await expect(page.get_by_role("tabpanel").first).to_contain_text("await fetch")


async def test_copy_button_copies_the_code_as_written(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url, permissions=["clipboard-read", "clipboard-write"]) as window:
        await window.go("/docs/getting-started/quickstart")
        shown = window.page.locator(".code-tabs").first.locator("[data-active]")
        await shown.get_by_role("button", name="Copy").click()
        copied = await window.page.evaluate("() => navigator.clipboard.readText()")
        assert copied == (await shown.locator("code").text_content() or "").rstrip("\n")


async def test_portal_works_without_javascript(browser: Browser, portal: RunningPortal) -> None:
    async with visit(browser, portal.base_url, java_script_enabled=False) as window:
        page = window.page
        await window.sign_up("No Script")
        await window.go("/docs/getting-started/quickstart")
        assert await page.get_by_role("tabpanel").filter(visible=True).count() >= 6
        await page.get_by_role("searchbox").fill(QUESTION)
        await page.keyboard.press("Enter")
        found = page.locator("[data-result] a")
        links = [await found.nth(place).get_attribute("href") for place in range(3)]
        assert any(str(address).startswith(ABOUT_DEAD_KEYS) for address in links), links
        await window.go("/keys")
        await _revoke_first_key(window)
        await expect(page.locator("[data-key]").first).to_contain_text("revoked")
        await page.set_viewport_size({"width": 390, "height": 844})
        await window.go("/reference/createEntity")
        assert await window.overflow() == 0


async def _revoke_first_key(window: Visit) -> None:
    await window.page.get_by_role("button", name="Revoke First key").click()
    await window.page.get_by_role("button", name="Revoke key").click()


def _whoami(portal: RunningPortal, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{portal.base_url}/v1/whoami", headers=headers, timeout=30).status_code
