"""A browser lets pages of another origin read what a key that allows their origin is answered, and nothing else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.async_api import Browser

from api.cross_origin import ANSWER_HEADERS, REQUEST_HEADERS
from api.routes import openapi_document
from tests.parts import RunningPortal

ASK = """async ([url, key]) => {
    try {
        const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
        const body = JSON.stringify({ type: "course", name: "Botany", colour: "green" });
        const answer = await fetch(`${url}/v1/entities`, { method: "POST", headers, body });
        return [answer.status, (await answer.json()).code, answer.headers.get("x-request-id").slice(0, 4)];
    } catch (error) { return [0, error.name, ""]; }
}"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Another site</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def other_site() -> Iterator[str]:
    """The origin of a site with one empty page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_a_page_reads_answers_by_a_key_that_allows_its_origin(
    browser: Browser, running_portal: RunningPortal, other_site: str
) -> None:
    headers = {"Authorization": f"Bearer {running_portal.register()['key']}"}
    keys: list[str] = []
    async with httpx.AsyncClient(base_url=running_portal.base_url, headers=headers, timeout=30) as owner:
        for more in ({"allowedOrigins": [other_site]}, {}, {"allowedOrigins": ["https://app.example.com"]}):
            made = await owner.post("/v1/api-keys", json={"name": "Page", "preset": "admin"} | more)
            keys.append(made.raise_for_status().json()["key"])
    page = await browser.new_page()
    await page.goto(other_site)
    told = [await page.evaluate(ASK, [running_portal.base_url, key]) for key in keys]
    await page.close()
    assert told == [[400, "invalid_request", "req_"], [0, "TypeError", ""], [0, "TypeError", ""]]


def test_pages_may_send_and_read_every_header_the_description_has() -> None:
    document = openapi_document("http://127.0.0.1:8000")
    sent = {
        parameter["name"].lower()
        for item in document["paths"].values()
        for about in item.values()
        for parameter in about.get("parameters", [])
        if parameter.get("in") == "header"
    }
    assert sent and sent <= set(REQUEST_HEADERS)
    assert {name.lower() for name in document["components"]["headers"]} <= set(ANSWER_HEADERS)
