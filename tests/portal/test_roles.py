"""Each page demands what the API demands: a role that may not call an operation is not shown what it would answer."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from ontology.roles import ROLES, Role
from ontology.scopes import Scope
from portal.pages import members, page_handlers
from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Program, join, new_browser, running_program

PASSWORD = "correct horse battery"
# Every page and form that shows or changes what an organisation has, with the scope of the operation that does so.
DEMANDS = {
    "GET /keys": Scope.API_KEYS_MANAGE,
    "POST /keys": Scope.API_KEYS_MANAGE,
    "POST /keys/{key_id:str}/change": Scope.API_KEYS_MANAGE,
    "POST /keys/{key_id:str}/revoke": Scope.API_KEYS_MANAGE,
    "POST /keys/{key_id:str}/rotate": Scope.API_KEYS_MANAGE,
    "POST /start/key": Scope.API_KEYS_MANAGE,
    "GET /usage": Scope.API_KEYS_MANAGE,
    "GET /events": Scope.EVENTS_READ,
    "GET /events/requests/{request_id:str}": Scope.EVENTS_READ,
    "GET /events/tail": Scope.EVENTS_READ,
    "GET /searches": Scope.EVENTS_READ,
    "GET /documents": Scope.KNOWLEDGE_READ,
    "GET /documents/{document_id:str}": Scope.KNOWLEDGE_READ,
    "POST /documents": Scope.KNOWLEDGE_WRITE,
    "POST /documents/{document_id:str}/delete": Scope.KNOWLEDGE_DELETE,
    "GET /members": Scope.PEOPLE_READ,
    "POST /members/invitations": Scope.PEOPLE_WRITE,
    "POST /members/invitations/{invitation_id:str}/cancel": Scope.PEOPLE_WRITE,
    "POST /members/{person_id:str}/role": Scope.PEOPLE_WRITE,
    "POST /members/{person_id:str}/remove": Scope.PEOPLE_WRITE,
    "POST /settings/features": Scope.GROUPS_WRITE,
}
# Public, or of the signed-in person alone. Search, questions and troubleshooting show who lacks the scope what anybody
# sees; the explorer acts within the role.
OPEN = {
    *("GET /", "GET /docs", "GET /docs/{slug:path}", "GET /patterns"),
    *("GET /robots.txt", "GET /sitemap.xml", "GET /favicon.ico"),
    *("GET /search", "POST /search", "GET /search/suggest", "POST /search/opened", "GET /search/ask"),
    *("GET /troubleshoot", "POST /troubleshoot", "GET /reference", "GET /reference/{operation_id:str}"),
    *("GET /reference/{operation_id:str}/next", "GET /reference/{operation_id:str}/values", "POST /explorer-key"),
    *("GET /start", "GET /sign-up", "POST /sign-up", "GET /sign-in", "POST /sign-in", "POST /sign-out"),
    *("GET /settings", "POST /settings/password"),
    *("POST /switch", "GET /join", "POST /join", "POST /join/accept"),
}
LINKED = ("/keys", "/usage", "/events", "/documents", "/members")


@pytest.fixture
async def portal(parts: Parts, tmp_path: Path) -> AsyncIterator[Program]:
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path, PUBLIC_URL="http://one.test")) as program:
            yield program


def test_every_page_says_what_it_demands() -> None:
    pages = {f"{method} {path}" for page in page_handlers for method in page.http_methods for path in page.paths}
    assert pages == DEMANDS.keys() | OPEN


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.ORG_USER])
async def test_a_role_opens_the_pages_of_its_scopes_alone(portal: Program, role: Role) -> None:
    owner = await portal.register()
    await join(owner, email="grace@example.com", password=PASSWORD, role=role.value)
    request_id = (await owner.get("/v1/entities/none")).headers["x-request-id"]
    await drain(portal)
    scopes = ROLES[role].scopes
    async with new_browser(portal.client) as browser:
        await browser.post_form("/sign-in", {"email": "grace@example.com", "password": PASSWORD})
        for page, scope in DEMANDS.items():
            method, _, path = page.partition(" ")
            address = re.sub(r"\{\w+:str\}", request_id, path)
            if scope not in scopes:
                answer = await (browser.get(address) if method == "GET" else browser.post_form(address, {}))
                assert (answer.status_code, "Your role does not allow this" in answer.text) == (403, True), page
        start = (await browser.get("/start")).text
        for path in LINKED:
            may = DEMANDS[f"GET {path}"] in scopes
            assert (f'href="{path}"' in start) == may, path
            assert (await browser.get(path)).status_code == (200 if may else 403), path
        found = (await browser.get(f"/troubleshoot?requestId={request_id}")).text
        assert ("Your role does not read the calls" in found) == (Scope.EVENTS_READ not in scopes)


async def test_pages_of_a_group_name_the_group(portal: Program) -> None:
    owner = await portal.register("Lumen")
    north = await owner.make("/v1/groups", name="North")
    await join(owner, email="grace@example.com", password=PASSWORD, role="org_owner", groupId=north["_id"])
    async with new_browser(portal.client) as browser:
        await browser.post_form("/sign-in", {"email": "grace@example.com", "password": PASSWORD})
        for path, told in (("/keys", "Keys of"), ("/usage", "What"), ("/events", "every call of")):
            assert f"{told} Lumen / North" in (await browser.get(path)).text
        assert "for <strong>Lumen / North</strong>" in (await browser.get("/reference/createEntity")).text


async def test_every_member_is_listed_with_their_group(portal: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "ROWS_SHOWN", 1)
    owner = await portal.register("Lumen")
    south = await owner.make("/v1/groups", name="South")
    await owner.make("/v1/groups", name="North")
    await join(owner, "Sam", groupId=south["_id"])
    await join(owner, email="grace@example.com", password=PASSWORD, role="org_owner")
    async with new_browser(portal.client) as browser:
        await browser.post_form("/sign-in", {"email": "grace@example.com", "password": PASSWORD})
        address: str | None = "/members"
        shown: list[str] = []
        while address:
            page = (await browser.get(address)).text
            shown += re.findall(r'<h3 class="key-name">(\w+).*?</li>', page, re.DOTALL)
            assert ("<dd>South</dd>" in page) == (shown[-1] == "Sam")
            older = re.search(r'href="(/members\?cursor=[^"]+)"', page)
            address = unescape(older[1]) if older else None
    assert shown == ["Grace", "Sam", "Ada"]
