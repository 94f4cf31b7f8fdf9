"""What the pages answer, asked without a browser."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from api import late_answers
from api.headers import Headers
from knowledge.engine import Engine
from knowledge.errors import BUILDING_RETRY_SECONDS
from knowledge.index.edge import EdgeIndex
from knowledge.server import KnowledgeServer
from ontology.errors import ServiceUnavailable
from portal import search_limits
from portal.pages import keys
from portal.pages.accounts import SIGN_INS_PER_PAIR, SIGN_UPS_OF_TAKEN, SIGN_UPS_PER_ADDRESS
from portal.refusals import render_refusal
from portal.search_limits import Asking
from tests.browser import PASSWORD
from tests.parts import Parts
from tests.portal.conftest import NewReader, Reader
from tests.program import Program, eventually, running_program

ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "\t//evil.example",
    "/%0d%0aSet-Cookie:a=b",
    "/\r\nLocation: https://evil.example",
    "//evil.example/%2f..",
    "evil.example",
    "",
)


@pytest.mark.parametrize("path", ["/no-such-page", "/docs/no/such/page", "/reference/noSuchOperation"])
async def test_unknown_page_says_so_and_knows_who_is_signed_in(reader: Reader, path: str) -> None:
    await reader.sign_up("Botanical Garden")
    page = await reader.get(path)
    assert page.status_code == 404
    assert "Page not found" in page.text
    assert "Botanical Garden" in page.text
    assert "key" not in page.text.split('class="problem-detail">')[1].split("<")[0]


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_signing_in_leads_to_this_site_only(new_reader: NewReader, target: str) -> None:
    reader = await new_reader()
    email = await reader.sign_up()
    for who in (reader, await new_reader()):
        page = await who.client.get("/sign-in", params={"next": target})
        if page.status_code == 200:
            page = await who.send("/sign-in", email=email, password=PASSWORD, next=target)
        assert page.status_code == 303
        address = page.headers["location"]
        resolved = urlsplit(str(httpx.URL("http://one.test/sign-in").join(address)))
        assert (resolved.scheme, resolved.netloc) == ("http", "one.test")
        assert "\r" not in address
        assert "\n" not in address


async def test_guessing_is_stopped_and_keeps_the_form_and_does_not_keep_the_owner_out(new_reader: NewReader) -> None:
    email = await (await new_reader()).sign_up()
    stranger, owner = await new_reader("198.51.100.7"), await new_reader("203.0.113.9")
    answers = [await stranger.send("/sign-in", email=email, password="a guess") for _ in range(SIGN_INS_PER_PAIR + 1)]
    assert [answer.status_code for answer in answers] == [422] * SIGN_INS_PER_PAIR + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert f'value="{email}"' in answers[-1].text
    assert (await stranger.send("/sign-in", email=email, password=PASSWORD)).status_code == 429
    assert (await owner.send("/sign-in", email=email, password=PASSWORD)).status_code == 303


async def test_a_list_of_addresses_cannot_be_tried_at_the_sign_up(new_reader: NewReader) -> None:
    email = await (await new_reader()).sign_up()
    prober, other = await new_reader("198.51.100.8"), await new_reader("203.0.113.10")
    fields = {"organisation": "Probe", "name": "Probe", "password": PASSWORD}
    hits = SIGN_UPS_PER_ADDRESS // SIGN_UPS_OF_TAKEN
    answers = [await prober.send("/sign-up", email=email, **fields) for _ in range(hits + 1)]
    assert [answer.status_code for answer in answers] == [422] * hits + [429]
    assert "already" not in answers[-1].text
    assert (await prober.send("/sign-up", email=f"free-{email}", **fields)).status_code == 429
    assert (await other.send("/sign-up", email=f"free-{email}", **fields)).status_code == 201


async def test_unknown_address_and_wrong_password_are_told_alike(reader: Reader) -> None:
    email = await reader.sign_up()
    await reader.send("/sign-out", "/start")
    known = await reader.send("/sign-in", email=email, password="not the password")
    unknown = await reader.send("/sign-in", email=f"x{email}", password="not the password")
    assert (known.status_code, known.text) == (422, unknown.text.replace(f"x{email}", email))


async def test_form_loaded_before_signing_in_elsewhere_leads_on(new_reader: NewReader) -> None:
    reader = await new_reader()
    email = await reader.sign_up()
    for path, after in (("/sign-in", "/events"), ("/sign-up", "/start")):
        form = {"csrf": "of another session", "email": email, "next": "/events"}
        answer = await reader.client.post(path, data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, after)


async def test_who_signs_out_in_a_second_tab_too_is_led_home(reader: Reader) -> None:
    await reader.sign_up()
    form = {"csrf": (await reader.get("/keys")).text.split('name="csrf" value="')[1].split('"')[0]}
    answers = [await reader.client.post("/sign-out", data=form) for _ in range(2)]
    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, "/")] * 2


async def test_ended_session_leads_to_the_sign_in_and_back(reader: Reader) -> None:
    await reader.sign_up()
    form = (await reader.get("/keys")).text
    token = form.split('name="csrf" value="')[1].split('"')[0]
    cookies = dict(reader.client.cookies)
    await reader.send("/sign-out", "/start")
    reader.client.cookies.update(cookies)
    answer = await reader.client.post("/keys", data={"csrf": token, "name": "Late", "access": "read-only"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/keys")
    minted = await reader.client.post("/explorer-key", headers={"x-csrf-token": token})
    assert (minted.status_code, minted.json()["code"]) == (401, "missing_api_key")


async def test_forged_form_changes_nothing(reader: Reader) -> None:
    await reader.sign_up()
    before = (await reader.get("/keys")).text.count("data-key=")
    fields = {"name": "Forged", "access": "admin"}
    forged = [
        await reader.client.post("/keys", data=fields),
        await reader.client.post("/keys", data={"csrf": "0" * 64, **fields}),
        await reader.client.post("/keys", data=fields, headers={"sec-fetch-site": "cross-site"}),
    ]
    assert [answer.status_code for answer in forged] == [403, 403, 403]
    assert "could not be accepted" in forged[0].text
    assert (await reader.get("/keys")).text.count("data-key=") == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "", "access": "read-only"}, "Give the key a name"),
        ({"name": "x" * 201, "access": "read-only"}, "Give the key a name"),
        ({"name": "Narrow", "access": "custom"}, "Choose at least one scope"),
        ({"name": "Narrow", "access": "custom", "scopes": "no:such"}, "Choose at least one scope"),
        ({"name": "Odd", "access": "everything"}, "Choose what the key may do"),
    ],
)
async def test_refused_key_form_says_why_and_keeps_what_was_typed(
    reader: Reader, fields: dict[str, str], message: str
) -> None:
    await reader.sign_up()
    answer = await reader.send("/keys", **fields)
    assert answer.status_code == 422
    assert message in answer.text
    assert f'value="{fields["name"]}"' in answer.text


async def test_keys_of_the_explorer_never_hide_a_persons_own(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "KEYS_PER_QUERY", 2)
    await reader.sign_up()
    await reader.send("/keys", name="Explorer", access="read-only")
    token = (await reader.get("/keys")).text.split('name="csrf-token" content="')[1].split('"')[0]
    for _ in range(5):
        minted = await reader.client.post("/explorer-key", headers={"x-csrf-token": token})
        assert minted.status_code == 201
    page = (await reader.get("/keys")).text
    assert page.count("data-key=") == 2
    assert "Revoke First key" in page
    assert "Revoke Explorer" in page


async def test_a_bug_is_told_without_detail_and_the_page_can_be_tried_again(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reader.sign_up()

    async def fail(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(keys, "list_keys", fail)
    page = await reader.get("/keys?done=revoked")
    assert page.status_code == 500
    assert "Something broke on our side" in page.text
    assert 'href="/keys?done=revoked">Try again</a>' in page.text
    assert page.headers["x-request-id"] in page.text
    assert "secret of the house" not in page.text


async def test_a_late_page_is_told_as_a_page_and_leads_nowhere_else(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await reader.sign_up()

    async def is_late() -> bool:
        return "late GET /keys" in caplog.text

    async def fail_late(*_: object) -> None:
        await eventually(is_late)
        raise RuntimeError

    monkeypatch.setattr(keys, "list_keys", fail_late)
    monkeypatch.setattr(late_answers, "ANSWER_SECONDS_MAX", 0.1)
    monkeypatch.setattr(late_answers, "LOOK_SECONDS", 0.05)
    page = await reader.client.get("/keys", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert int(page.headers["retry-after"]) > 0
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'href="/keys">Try again</a>' in page.text
    caplog.clear()
    plain = await reader.client.get("/keys")
    assert plain.headers["content-type"] == "application/problem+json"


def test_to_try_again_stays_on_this_site(program: Program) -> None:
    scope = {"path": "//evil.example", "query_string": b"a=1", "method": "GET", "state": {"request_id": "req_1"}}
    scope["state"] |= {"headers": Headers([(b"accept", b"text/html")])}
    page = render_refusal(program.settings, scope, ServiceUnavailable())
    assert page is not None and b'href="/evil.example?a=1">Try again' in page
    assert render_refusal(program.settings, scope | {"path": "/v1/entities"}, ServiceUnavailable()) is None


async def test_a_filter_without_a_field_is_refused_in_words(reader: Reader) -> None:
    await reader.sign_up()
    page = await reader.get("/events?groupId=x&status=never&endpoint=entities")
    assert page.status_code == 422
    assert "<code>groupId</code>: Paste a whole id" in page.text
    assert "<code>status</code>: A status is a number" in page.text
    assert "Write a path such as /v1/entities" in page.text
    assert "should match" not in page.text


async def test_names_are_shown_as_they_are_and_never_as_markup(reader: Reader) -> None:
    nasty = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}'
    await reader.sign_up(nasty, nasty)
    await reader.send("/keys", name=nasty, access="read-only")
    for path in ("/", "/start", "/keys", "/reference/whoami", "/no-such-page"):
        page = (await reader.get(path)).text
        assert "<img src=x" not in page
        assert "<script>" not in page
        assert "{{ 7 * 7 }}" in unescape(page)


async def test_search_that_cannot_answer_says_when_to_come_back(reader: Reader) -> None:
    page = await reader.get("/search?q=my+key+stopped+working")
    assert page.status_code == 503
    assert int(page.headers["retry-after"]) > 0
    assert 'value="my key stopped working"' in page.text
    assert "Search is starting up" in (await reader.get("/search/suggest?q=key")).text


class NoModel:
    """Half an index embeds nothing."""

    name = "none"

    def embed_query(self, text: str, owner: object = None) -> list[float]:
        raise AssertionError

    def embed_passages(self, texts: Sequence[str], before_batch: Callable[[], None]) -> list[list[float]]:
        raise AssertionError


async def test_who_searches_too_often_is_asked_to_wait_and_keeps_the_form(
    new_reader: NewReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_limits, "LIMITS", {Asking.SEARCH: 4, Asking.ANSWER: 1})
    here, member, elsewhere = [await new_reader(f"192.0.2.{host}") for host in (77, 77, 78)]
    await member.sign_up()
    for path in ("/search?q=key", "/search/suggest?q=key", "/troubleshoot?q=key", "/search?q=key"):
        assert (await here.get(path)).status_code != 429
    for path in ("/search?q=key", "/search/suggest?q=key", "/troubleshoot?q=key"):
        refused = await here.get(path)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert "Too many searches" in refused.text
    assert 'value="key"' in (await here.get("/search?q=key")).text
    assert (await here.get("/search/ask?q=key")).status_code == 200
    asked = await here.get("/search/ask?q=key")
    assert (asked.status_code, asked.headers["retry-after"]) == (429, "60")
    assert (await here.get("/search")).status_code == (await here.get("/docs")).status_code == 200
    for other in (member, elsewhere):
        assert (await other.get("/search/suggest?q=key")).status_code == 200


@asynccontextmanager
async def half_an_index(socket_path: Path, directory: Path) -> AsyncIterator[None]:
    """A knowledge process whose index nobody has said to be whole."""
    server = KnowledgeServer(Engine(EdgeIndex(directory, model="none", dimensions=4), NoModel()), socket_path)
    await server.start()
    yield
    await server.stop()


async def test_search_that_is_being_built_says_so_and_leaves_the_program_ready(
    reader: Reader, program: Program, tmp_path: Path
) -> None:
    """Half an index must not pass for a whole one, and must not take the program out of service."""
    page = await reader.get("/health/ready")
    assert (page.status_code, page.json()["parts"]["search"], page.json()["searchIndex"]) == (200, False, "unknown")
    async with half_an_index(program.settings.knowledge_socket, tmp_path):
        page = await reader.get("/search?q=my+key+stopped+working")
        assert (page.status_code, page.headers["retry-after"]) == (503, str(BUILDING_RETRY_SECONDS))
        assert "index is being built" in page.text
        assert "building its index" in (await reader.get("/search/suggest?q=key")).text
        page = await reader.get("/health/ready")
        assert page.status_code == 200
        assert page.json()["status"] == "ready"
        assert (page.json()["parts"]["search"], page.json()["searchIndex"]) == (False, "building")


async def test_every_address_of_the_sitemap_is_a_page_with_a_title_and_a_description(reader: Reader) -> None:
    places = (await reader.get("/sitemap.xml")).text.split("<loc>")[1:]
    paths = [urlsplit(place.split("</loc>")[0]).path or "/" for place in places]
    assert len(paths) > 100
    titles: dict[str, str] = {}
    for path in paths:
        page = await reader.get(path)
        assert page.status_code == 200, path
        title = page.text.split("<title>")[1].split("</title>")[0]
        assert title not in titles, (path, titles[title])
        titles[title] = path
        assert 'name="description" content=""' not in page.text, path


async def test_robots_and_icon_are_where_browsers_look(reader: Reader) -> None:
    assert "Disallow: /keys" in (await reader.get("/robots.txt")).text
    assert (await reader.get("/favicon.ico")).headers["content-type"] == "image/x-icon"


async def test_documentation_can_be_read_while_the_database_is_away(parts: Parts, program: Program) -> None:
    away = parts.settings(
        "no-such-database", program.settings.data_dir, DATABASE_URL="postgresql://one@127.0.0.1:1/one"
    )
    async with running_program(away) as broken:
        transport = httpx.ASGITransport(broken.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://one.test") as client:
            client.cookies.set("one_session", "some session")
            assert (await client.get("/docs/guides/errors")).status_code == 200
            assert (await client.get("/reference/createEntity")).status_code == 200
            page = await client.get("/keys")
            assert page.status_code == 503
            assert int(page.headers["retry-after"]) > 0
            assert "<h1>" in page.text
