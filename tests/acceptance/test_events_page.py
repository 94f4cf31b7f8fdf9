"""The events page: every call is there, can be narrowed down, followed live, and traced by its request id."""

import httpx
from playwright.async_api import Browser, expect

from tests.browser import Visit, visit
from tests.parts import RunningPortal
from tests.program import eventually


async def _sign_up_and_call(window: Visit) -> tuple[str, str]:
    """A key of a new organisation, and the id of a call that made a course."""
    await window.sign_up()
    key = await window.page.locator("[data-new-key]").inner_text()
    return key, _make_course(window, key)


def _make_course(window: Visit, key: str) -> str:
    body = {"type": "course", "name": "Botany <b>&"}
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{window.base_url}/v1/entities", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201
    return answer.headers["x-request-id"]


async def test_a_call_is_found_narrowed_down_and_traced(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url, viewport={"width": 390, "height": 800}) as window:
        page = window.page
        _, request_id = await _sign_up_and_call(window)

        async def call_is_listed() -> bool:
            await window.go("/events?endpoint=POST+/v1/entities&status=2xx")
            return await page.locator("[data-event]").count() == 1

        await eventually(call_is_listed)
        await expect(page.locator("[data-event]")).to_contain_text("201")
        assert await window.overflow() <= 0
        assert await window.violations() == []
        await page.get_by_role("link", name=f"Details of request {request_id}").click()
        await expect(page).to_have_url(f"{window.base_url}/events/requests/{request_id}")
        await expect(page.get_by_role("heading", level=3)).to_have_text("thing created: course Botany <b>&")
        await expect(page.locator(".event-facts")).to_contain_text("POST /v1/entities")
        assert await window.overflow() <= 0
        assert await window.violations() == []


async def test_a_filter_that_cannot_hold_is_explained_beside_it(
    browser: Browser, running_portal: RunningPortal
) -> None:
    async with visit(browser, running_portal.base_url) as window:
        await window.sign_up()
        await window.go("/events")
        await window.page.get_by_text("By id", exact=True).click()
        await window.page.get_by_label("Key id").fill("group_of_mine")
        await window.page.get_by_role("button", name="Filter").click()
        await expect(window.page.get_by_label("Key id")).to_have_attribute("aria-invalid", "true")
        await expect(window.page.get_by_label("Key id")).to_have_value("group_of_mine")
        assert await window.violations() == []


async def test_events_are_followed_as_they_happen(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url) as window:
        page = window.page
        key, _ = await _sign_up_and_call(window)
        await window.go("/events?type=thing_created")
        shown = await page.locator("[data-event]").count()
        await page.get_by_role("button", name="Follow live").click()
        await expect(page.get_by_role("button", name="Following")).to_have_attribute("aria-pressed", "true")
        request_id = _make_course(window, key)
        row = page.locator("[data-event]").first
        await expect(row).to_contain_text("thing created: course Botany <b>&")
        await expect(row.get_by_role("link", name="Details")).to_have_attribute(
            "href", f"/events/requests/{request_id}"
        )
        await expect(page.locator("[data-event]")).to_have_count(shown + 1)
        assert await window.violations() == []
        await page.get_by_role("button", name="Following").click()
        await expect(page.get_by_role("button", name="Follow live")).to_have_attribute("aria-pressed", "false")


async def test_the_page_needs_no_script_but_to_follow(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url, java_script_enabled=False) as window:
        page = window.page
        await window.sign_up("No Script")
        await window.go("/events")
        await page.get_by_label("Type").select_option("user_registered")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("[data-event]")).to_have_count(1)
        await expect(page.get_by_role("button", name="Follow live")).not_to_be_visible()


async def test_nobody_sees_the_events_of_others(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url) as window:
        _, request_id = await _sign_up_and_call(window)
    async with visit(browser, running_portal.base_url) as window:
        await window.go("/events")
        await expect(window.page).to_have_url(f"{window.base_url}/sign-in?next=/events")
        await window.sign_up("Stranger")
        await window.go(f"/events/requests/{request_id}")
        await expect(window.page.get_by_role("heading", level=1)).not_to_have_text("One request")
