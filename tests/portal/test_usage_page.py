"""The usage page and the keys page show what was counted, to those who manage keys."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portal.pages.usage import round_up
from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Program, running_program

CALLS = 7


def test_the_chart_ends_at_a_number_that_can_be_halved() -> None:
    assert [round_up(calls) for calls in (0, 1, 4, 5, 10, 11, 21, 131, 1_000_001)] == [
        4, 4, 4, 6, 10, 12, 40, 160, 1_200_000,
    ]  # fmt: skip


async def test_keys_of_the_explorer_are_one_row(portal: Program) -> None:
    client = portal.client
    shown = await client.get("/sign-up")
    ((name, token), *_) = re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', shown.text)
    account = {"organisation": "Acme", "name": "Ada", "email": "ada@example.com", "password": "a long enough one"}
    await client.post("/sign-up", data={name: token} | account, headers={"Origin": "http://one.test"})
    for _ in range(2):
        (csrf,) = re.findall(r'name="csrf-token" content="(\w+)"', (await client.get("/usage")).text)
        made = await client.post("/explorer-key", headers={"Origin": "http://one.test", "X-CSRF-Token": csrf})
        await client.get("/v1/whoami", headers={"Authorization": f"Bearer {made.json()['key']}"})
    await drain(portal)
    page = (await client.get("/usage")).text
    assert page.count("Explorer") == 1
    assert 'Explorer <span class="usage-prefix">2 keys</span></th><td>2</td><td>2</td><td>2</td>' in page


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
    assert f"<code>/v1/whoami</code></th><td>{CALLS}</td><td>0</td>" in page
    assert '<code>/v1/entities</code></th><td>1</td><td class="usage-errors">1</td>' in page
    assert f": {CALLS + 1} calls, 1 refused or failed</title>" in page and page.count("<title>") == 31
    assert '1 <span class="usage-share">12.5 %</span>' in page
    assert "<dt>Entities</dt><dd>0</dd>" in page and "<dt>Members</dt><dd>1</dd>" in page
    assert "room for 1,000 entities in each group" in page
    keys = (await client.get("/keys")).text
    assert f"<dt>Calls, 7 days</dt><dd>{CALLS + 1}</dd>" in keys
    assert f"<dt>Calls this month</dt><dd>{CALLS + 1}</dd>" in keys
