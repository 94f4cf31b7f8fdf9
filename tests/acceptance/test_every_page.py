"""Every page, in both themes and at three widths: no accessibility violation, nothing wider than the window, nothing
the content security policy had to stop, and nothing that moves while it loads."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, StorageState

from tests.browser import Visit, visit
from tests.parts import INDEXING_SECONDS, RunningPortal

PHONE, TABLET, DESK = (390, 844), (820, 1180), (1440, 900)
# Up to here Web Vitals calls a page stable; a busy machine may show some of it before all of it has been read.
SHIFT_MAX = 0.1
CONTRAST = "color-contrast"
PUBLIC = (
    "/",
    "/docs",
    "/docs/getting-started/quickstart",
    "/docs/concepts/isolation",
    "/docs/patterns/course-catalogue",
    "/docs/reference/plans-and-limits",
    "/docs/errors/expired_api_key",
    "/search",
    "/search?q=my+key+stopped+working",
    "/search?q=my+key+stopped+working&ask=1",
    "/search?q=what+is+the+weather+in+Berlin&ask=1",
    "/troubleshoot",
    "/troubleshoot?code=unknown_type&requestId=req_0c3e5g7j9m2p4r6t8v1x3z5b",
    "/reference",
    "/reference/createEntity",
    "/reference/listEntities",
    "/sign-up",
    "/sign-in",
    "/patterns",
    "/no-such-page",
)
MEMBERS = (
    "/",
    "/start",
    "/keys",
    "/usage",
    "/documents",
    "/events",
    "/members",
    "/searches",
    "/troubleshoot",
    "/settings",
    "/reference/createApiKey",
    "/no-such-page",
)
# Two frames, and the end of what the change of colours has started; what was stopped half-way never tells its end.
SETTLED = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    .then(() => document.getAnimations().forEach((animation) => {
        if (animation.effect.getComputedTiming().endTime < Infinity) animation.finish();
    }))
    .then(() => new Promise((resolve) => requestAnimationFrame(() => resolve(null))))"""
SHIFTS = """() => new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; })
        .observe({ type: "layout-shift", buffered: true });
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)));
})"""


@pytest.fixture(scope="module")
async def member(browser: Browser, running_portal: RunningPortal) -> AsyncIterator[StorageState]:
    """The cookies of somebody with a name, an organisation and keys that try to break the page."""
    async with visit(browser, running_portal.base_url) as window:
        await window.sign_up(f"<b>Very</b> {'long' * 30} & “Sons”")
        await window.go("/keys")
        for name in ("Dashboard", f'"><img src=x onerror=alert(1)>{"k" * 150}'):
            await window.page.get_by_label("Name", exact=True).fill(name)
            await window.page.get_by_role("button", name="Create key").click()
            await window.page.locator("[data-new-key]").wait_for()
        yield await window.page.context.storage_state()


@pytest.mark.timeout(300 + INDEXING_SECONDS)
@pytest.mark.parametrize("path", PUBLIC)
async def test_page_is_sound_for_a_visitor(browser: Browser, running_portal: RunningPortal, path: str) -> None:
    if path.startswith("/search?"):
        running_portal.wait_searchable()
    async with visit(browser, running_portal.base_url) as window:
        assert await _flaws(window, path) == []


@pytest.mark.parametrize("path", MEMBERS)
async def test_page_is_sound_for_a_member(
    browser: Browser, running_portal: RunningPortal, member: StorageState, path: str
) -> None:
    async with visit(browser, running_portal.base_url, storage_state=member) as window:
        assert await _flaws(window, path) == []


async def _flaws(window: Visit, path: str) -> list[str]:
    """What is wrong with a page, by all of axe's rules where the layout differs, by that on contrast in every view."""
    flaws: list[str] = []
    for width, height in (PHONE, DESK):
        await window.page.set_viewport_size({"width": width, "height": height})
        await window.go(path)
        if (shift := await window.page.evaluate(SHIFTS)) > SHIFT_MAX:
            flaws.append(f"{width}: moves by {shift:.4f} while loading")
        flaws += await _look(window, f"{width}", "")
    await window.page.set_viewport_size({"width": TABLET[0], "height": TABLET[1]})
    return flaws + await _look(window, f"{TABLET[0]}", CONTRAST)


async def _look(window: Visit, view: str, rule: str) -> list[str]:
    flaws = [f"{view}: {over} pixels too wide"] if (over := await window.overflow()) else []
    for theme, rules in {"light": rule, "dark": CONTRAST}.items():
        await window.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await window.page.evaluate(SETTLED)
        flaws += [f"{view} {theme}: {flaw}" for flaw in await window.violations(rules)]
    return flaws
