"""A browser for acceptance tests: how it is started, what it watches for, and how a page is judged."""

import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
AXE_FILE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_RUN = """
axe.run(document, {resultTypes: ["violations"], %s}).then((result) => JSON.stringify(
    result.violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.target.join(" ")).join(", ")}`)))
"""
# What the browser says of an answer that is refused on purpose; the page shows it, nothing is wrong.
EXPECTED_REFUSAL = "Failed to load resource: the server responded with a status of 4"
PASSWORD = "correct horse battery staple"
# A busy machine takes its time; who waits for a condition waits no longer than it needs.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str:
    """The browser named by CHROMIUM, or the first of the usual names."""
    candidates = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES)
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    assert found, "no Chromium: install one (Debian: apt-get install chromium) or set CHROMIUM to its path"
    return found


@asynccontextmanager
async def running_browser() -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """One page in a context of its own; `complaints` are console errors, script errors and CSP violations."""

    page: Page
    base_url: str
    complaints: list[str] = field(default_factory=list[str])

    async def go(self, path: str) -> None:
        await self.page.goto(self.base_url + path)

    async def sign_up(self, organisation: str = "Lumen") -> str:
        """A new organisation with its owner signed in; returns the e-mail address. Ends on the start page."""
        email = f"ada-{os.urandom(4).hex()}@example.com"
        await self.go("/sign-up")
        await self.page.get_by_label("Organisation").fill(organisation)
        await self.page.get_by_label("Your name").fill("Ada Lovelace")
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Create organisation").click()
        await self.page.locator("[data-new-key]").wait_for()
        # What is seen stands there before the page's scripts have run: a key pressed now would be nobody's.
        await self.page.wait_for_load_state()
        return email

    async def violations(self, only: str = "") -> list[str]:
        """What axe finds on the page as it is now, by all of its rules or by one."""
        # Over the debugging protocol, so that the page's own policy stays in force.
        protocol = await self.page.context.new_cdp_session(self.page)
        await protocol.send("Runtime.evaluate", {"expression": _axe_source()})
        expression = AXE_RUN % (f'runOnly: ["{only}"]' if only else "")
        options: dict[str, Any] = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await protocol.send("Runtime.evaluate", options)
        await protocol.detach()
        return json.loads(answer["result"]["value"])

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


@asynccontextmanager
async def visit(browser: Browser, base_url: str, **options: Any) -> AsyncGenerator[Visit]:
    """A fresh browser window; `options` are Playwright's of a context. Fails at the end if the page complained."""
    context: BrowserContext = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    visit = Visit(page, base_url)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED_REFUSAL):
            visit.complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    try:
        yield visit
        assert not visit.complaints, visit.complaints
    finally:
        await context.close()


@cache
def _axe_source() -> str:
    return AXE_FILE.read_text(encoding="utf-8")
