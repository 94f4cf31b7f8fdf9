"""The usage page and the keys page show what was counted, to those who manage keys."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Program, running_program

CALLS = 7


@pytest.fixture
async def portal(parts: Parts, tmp_path: Path) -> AsyncIterator[Program]:
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path, PUBLIC_URL="http://one.test")) as program:
            yield program


async def test_calls_are_shown_by_day_operation_and_key(portal: Program) -> None:
    client = portal.client
    assert (await client.get("/usage")).headers["location"].startswith("/sign-in")
    shown = await client.get("/sign-up")
    ((name, token), *_) = re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', shown.text)
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    made = await client.post("/sign-up", data={name: token} | account, headers={"Origin": "http://one.test"})
    (key,) = set(re.findall(r"org_\w+_key_\w{49}", made.text))
    assert "No call yet" in (await client.get("/usage")).text
    for _ in range(CALLS):
        answer = await client.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    await client.get("/v1/entities?limit=0", headers={"Authorization": f"Bearer {key}"})
    await drain(portal)
    page = (await client.get("/usage")).text
    assert page.count(f"<dd>{CALLS + 1}</dd>") == 3
    assert f"<code>GET /v1/whoami</code></th><td>{CALLS}</td><td>0</td>" in page
    assert "<code>GET /v1/entities</code></th><td>1</td><td>1</td>" in page
    assert f'value="{CALLS + 1}"' in page and page.count("<meter") == 30
    keys = (await client.get("/keys")).text
    assert f"<dt>Calls, 7 days</dt><dd>{CALLS + 1}</dd>" in keys
    assert f"<dt>Calls this month</dt><dd>{CALLS + 1}</dd>" in keys
