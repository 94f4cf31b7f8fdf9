"""A zip is uploaded from the page: each file is answered, and the page follows until search finds them."""

import pytest
from playwright.async_api import Browser, FilePayload, expect

from tests.archives import pack
from tests.browser import visit
from tests.parts import INDEXING_SECONDS, RunningPortal


def _zip(data: bytes) -> FilePayload:
    return {"name": "docs.zip", "mimeType": "application/zip", "buffer": data}


@pytest.mark.timeout(120 + INDEXING_SECONDS)
async def test_an_upload_is_answered_file_by_file_and_followed_until_it_is_found(
    browser: Browser, running_portal: RunningPortal
) -> None:
    running_portal.wait_searchable()
    files = {"docs/a.md": b"# A\n\nFerns.", "docs/b.md": b"# B\n\nMoss.", "docs/bad.yaml": b"openapi: ["}
    async with visit(browser, running_portal.base_url) as window:
        await window.sign_up()
        await window.go("/documents")
        page = window.page
        await page.get_by_label("File").set_input_files(_zip(b"no archive"))
        await page.get_by_role("button", name="Upload").click()
        await expect(page.get_by_label("File")).to_be_focused()
        await expect(page.get_by_text("This is not a zip archive that can be read.")).to_be_visible()
        await page.get_by_label("File").set_input_files(_zip(pack(files)))
        await page.get_by_role("button", name="Upload").click()
        await expect(page.get_by_role("heading", name="3 files uploaded")).to_be_focused()
        await expect(page.get_by_text("2 created, 1 refused.")).to_be_visible()
        await expect(page.locator(".upload-file", has_text="docs/bad.yaml")).to_contain_text("At line 2, column 1")
        await expect(page.get_by_text("Search finds all 2.")).to_be_visible()
        await expect(page.locator("[data-document] .badge", has_text="indexed")).to_have_count(2)
        assert await window.violations() == []
