"""Members as people meet them: invited, joined, given another role, removed; in Chromium against the whole program."""

import os

from playwright.async_api import Browser, Locator, expect

from tests.browser import PASSWORD, Visit, visit
from tests.parts import RunningPortal


def _address() -> str:
    return f"grace-{os.urandom(4).hex()}@example.com"


async def _invite(window: Visit, email: str, role: str = "org_user") -> str:
    """Invite somebody on the members page; the link, which is shown in this one answer."""
    await window.go("/members")
    await window.page.get_by_label("E-mail address").fill(email)
    await window.page.get_by_role("radio", name=role).check()
    await window.page.get_by_role("button", name="Create invitation").click()
    return await window.page.locator("[data-new-link]").inner_text()


async def _fill_in(window: Visit, name: str) -> None:
    await window.page.get_by_label("Your name").fill(name)
    await window.page.get_by_label("Password").fill(PASSWORD)
    await window.page.get_by_role("button", name="Join").click()


def _member(window: Visit, name: str) -> Locator:
    return window.page.locator("[data-member]").filter(has_text=name)


async def test_a_colleague_is_invited_joins_is_promoted_and_removed(
    browser: Browser, running_portal: RunningPortal
) -> None:
    async with visit(browser, running_portal.base_url) as owner, visit(browser, running_portal.base_url) as colleague:
        await owner.sign_up("Lumen")
        email = _address()
        link = await _invite(owner, email)
        assert await owner.violations() == []
        await owner.go("/members")
        await expect(owner.page.locator("[data-new-link]")).to_have_count(0)
        await expect(owner.page.locator("[data-invitation]")).to_contain_text(email)

        await colleague.page.goto(link)
        await expect(colleague.page.get_by_role("heading", level=1)).to_have_text("Join Lumen")
        assert "#" not in colleague.page.url
        assert await colleague.violations() == []
        await _fill_in(colleague, "Grace Hopper")
        await expect(colleague.page).to_have_url(f"{running_portal.base_url}/start")
        main = colleague.page.get_by_role("navigation", name="Main")
        await expect(main.get_by_role("link", name="Keys")).to_have_count(0)
        await colleague.go("/members")
        await expect(_member(colleague, "Grace Hopper")).to_contain_text("(you)")
        await expect(colleague.page.get_by_role("button", name="Create invitation")).to_have_count(0)

        await owner.go("/members")
        await owner.page.get_by_role("combobox", name="Role of Grace Hopper").select_option("org_owner")
        await owner.page.get_by_role("button", name="Change the role of Grace Hopper").click()
        await expect(_member(owner, "Grace Hopper").locator(".badge")).to_have_text("Owner")
        await colleague.go("/keys")
        await expect(colleague.page.get_by_role("heading", level=1)).to_have_text("API keys")

        await owner.page.get_by_role("button", name="Remove Grace Hopper").click()
        await owner.page.get_by_role("button", name="Remove member").click()
        await expect(_member(owner, "Grace Hopper")).to_have_count(0)
        await colleague.go("/keys")
        await expect(colleague.page).to_have_url(f"{running_portal.base_url}/sign-in?next=/keys")


async def test_one_account_goes_between_its_organisations(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url) as first, visit(browser, running_portal.base_url) as second:
        email = await first.sign_up("Lumen")
        await second.sign_up("Harbour")
        link = await _invite(second, email, "customer")
        await first.page.goto(link)
        await first.page.get_by_role("button", name="Join").click()
        await expect(first.page.locator(".step-name")).to_have_text("Harbour")
        assert await first.violations() == []
        await first.page.get_by_role("combobox", name="Organisation").select_option(label="Lumen")
        await first.page.get_by_role("button", name="Switch").click()
        await expect(first.page.locator(".step-name")).to_have_text("Lumen")


async def test_inviting_and_joining_work_without_javascript(browser: Browser, running_portal: RunningPortal) -> None:
    options = {"java_script_enabled": False}
    async with (
        visit(browser, running_portal.base_url, **options) as owner,
        visit(browser, running_portal.base_url, **options) as colleague,
    ):
        await owner.sign_up("Plain")
        link = await _invite(owner, _address())
        await colleague.page.goto(link)
        await colleague.page.get_by_label("Invitation").fill(link)
        await colleague.page.get_by_role("button", name="Continue").click()
        await _fill_in(colleague, "Grace Hopper")
        await expect(colleague.page).to_have_url(f"{running_portal.base_url}/start")
        cancelled = await _invite(owner, _address())
        await owner.go("/members")
        await owner.page.locator("[data-invitation]").get_by_role("button").click()
        await expect(owner.page.locator("[data-invitation]")).to_have_count(0)
        await colleague.go("/join")
        await colleague.page.get_by_label("Invitation").fill(cancelled)
        await colleague.page.get_by_role("button", name="Continue").click()
        await expect(colleague.page.get_by_role("alert")).to_contain_text("withdrawn")


async def test_the_members_page_fits_a_phone(browser: Browser, running_portal: RunningPortal) -> None:
    async with visit(browser, running_portal.base_url, viewport={"width": 360, "height": 740}) as window:
        await window.sign_up("Lumen")
        await _invite(window, _address())
        assert await window.overflow() == 0
        assert await window.violations() == []
