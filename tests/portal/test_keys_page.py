"""Keys in the browser's door, without a browser: forms that are sent as a page sends them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.parts import Parts
from tests.program import Program, running_program


@pytest.fixture
async def portal(parts: Parts, tmp_path: Path) -> AsyncIterator[Program]:
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path, PUBLIC_URL="http://one.test")) as program:
            yield program


async def _send(client: httpx.AsyncClient, page: str, path: str, **fields: str) -> httpx.Response:
    shown = await client.get(page)
    (name, token), *_ = re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', shown.text)
    return await client.post(path, data={name: token} | fields, headers={"Origin": "http://one.test"})


async def _sign_up(client: httpx.AsyncClient) -> dict[str, str]:
    """A new organisation; its first key as the header of a call."""
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    answer = await _send(client, "/sign-up", "/sign-up", **account)
    (key,) = set(re.findall(r"org_\w+_key_\w{49}", answer.text))
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_is_rotated_and_both_work_until_the_old_one_is_revoked(portal: Program) -> None:
    client = portal.client
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    assert (await _send(client, "/sign-up", "/sign-up", **account)).status_code == 201
    made = await _send(client, "/keys", "/keys", name="Shop", access="read-only", expires_days="")
    (old,) = set(re.findall(r"org_\w+_key_\w{49}", made.text))
    found = re.search(r'data-key="(thing_\w+)">.*?Rotate Shop', made.text, re.DOTALL)
    assert found
    rotated = await _send(client, "/keys", f"/keys/{found.group(1)}/rotate")
    assert rotated.status_code == 201, rotated.text
    (new,) = set(re.findall(r"org_\w+_key_\w{49}", rotated.text))
    assert "Replaced; works until" in rotated.text
    for key in (old, new):
        answer = await client.get("/v1/entities", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    revoked = await _send(client, "/keys", f"/keys/{found.group(1)}/revoke")
    assert "The key is revoked." in (await client.get(revoked.headers["location"])).text
    again = await _send(client, "/keys", f"/keys/{found.group(1)}/rotate")
    assert again.status_code == 422


async def test_each_key_of_the_start_page_has_a_name_of_its_own_and_a_line_for_the_shell(portal: Program) -> None:
    client = portal.client
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    first = await _send(client, "/sign-up", "/sign-up", **account)
    (key,) = set(re.findall(r"org_\w+_key_\w{49}", first.text))
    assert f"export ONE_API_KEY={key}" in first.text
    await _send(client, "/start", "/start/key")
    names = re.findall(r'<h3 class="key-name">([^<]+)<', (await client.get("/keys")).text)
    assert names == ["Key 2", "First key"]


async def test_keys_that_have_ended_are_listed_last(portal: Program) -> None:
    client = portal.client
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    await _send(client, "/sign-up", "/sign-up", **account)
    page = (await _send(client, "/keys", "/keys", name="Shop", access="read-only", expires_days="")).text
    newest = re.search(r'data-key="(thing_\w+)"', page)
    assert newest and page.index("Revoke Shop") < page.index("Revoke First key")
    await _send(client, "/keys", f"/keys/{newest[1]}/revoke")
    names = re.findall(r'<h3 class="key-name">([^<]+)<', (await client.get("/keys")).text)
    assert names == ["First key", "Shop"]


async def test_a_key_is_renamed_and_limited_from_its_next_request_on(portal: Program) -> None:
    client = portal.client
    key = await _sign_up(client)
    assert (await client.get("/v1/whoami", headers=key)).json()["key"]["name"] == "First key"
    found = re.search(r'data-key="(thing_\w+)"', (await client.get("/keys")).text)
    assert found
    path = f"/keys/{found[1]}/change"
    for per_minute, per_day in (("0", "500"), ("many", "500"), ("7", "")):
        refused = await _send(client, "/keys", path, name="Shop", per_minute=per_minute, per_day=per_day)
        assert refused.status_code == 422 and "or neither." in refused.text and 'value="Shop"' in refused.text
    changed = await _send(client, "/keys", path, name="Shop", per_minute="7", per_day="500")
    assert "The key is changed." in (await client.get(changed.headers["location"])).text
    answer = await client.get("/v1/whoami", headers=key)
    assert answer.json()["key"]["name"] == "Shop"
    assert '"key-minute";q=7' in answer.headers["ratelimit-policy"]
    await _send(client, "/keys", path, name="Shop", per_minute="", per_day="")
    assert "key-minute" not in (await client.get("/v1/whoami", headers=key)).headers["ratelimit-policy"]


async def test_the_start_page_knows_which_steps_are_done(portal: Program) -> None:
    client = portal.client
    key = await _sign_up(client)

    async def find_done() -> list[str]:
        return re.findall(r'step-done" data-step="(\w+)"', (await client.get("/start")).text)

    assert await find_done() == ["organisation", "key"]
    made = await client.post("/v1/entities", json={"type": "course", "name": "Botany"}, headers=key)
    assert made.status_code == 201, made.text
    assert await find_done() == ["organisation", "key", "call"]
