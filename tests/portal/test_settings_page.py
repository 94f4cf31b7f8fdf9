"""The settings page switches feature sets, for who administers the whole organisation."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ontology.vocabulary import FEATURE_SETS
from tests.parts import Parts
from tests.program import Browser, Caller, Program, join, new_browser, running_program

PASSWORD = "correct horse battery"


@pytest.fixture
async def portal(parts: Parts, tmp_path: Path) -> AsyncIterator[Program]:
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path, PUBLIC_URL="http://one.test")) as program:
            yield program


async def sign_in(browser: Browser, owner: Caller, **invitation: Any) -> None:
    """As somebody new of the organisation."""
    email = f"{len(invitation)}@example.com"
    await join(owner, email=email, password=PASSWORD, **invitation)
    answer = await browser.post_form("/sign-in", {"email": email, "password": PASSWORD})
    assert answer.status_code == 303


def checked(page: str) -> set[str]:
    return set(re.findall(r'name="feature" value="(\w+)" checked', page))


async def test_what_is_saved_holds_for_the_next_call(portal: Program) -> None:
    owner = await portal.register()
    async with new_browser(portal.client) as browser:
        await sign_in(browser, owner, role="org_owner")
        page = await browser.get("/settings")
        assert set(re.findall(r'name="feature" value="(\w+)"', page.text)) == set(FEATURE_SETS)
        assert checked(page.text) == set()
        for wanted in (["shop", "blog"], ["blog"], []):
            assert (await browser.post_form("/settings/features", {"feature": wanted})).status_code == 303
            assert checked((await browser.get("/settings")).text) == set(wanted)
            features = (await owner.get("/v1/ontology/features")).json()["features"]
            assert {name for name, on in features.items() if on} == set(wanted)
        events = await owner.all_rows("/v1/events", targetId=owner.group_id, type="thing_updated")
        assert [event["actorId"].partition("_")[0] for event in events] == ["person"] * 3


async def test_who_administers_a_group_sees_what_is_on_and_cannot_switch_it(portal: Program) -> None:
    owner = await portal.register()
    await owner.call("PATCH", "/v1/ontology/features", json={"features": {"tokens": True}})
    group = await owner.make("/v1/groups", name="North")
    async with new_browser(portal.client) as browser:
        await sign_in(browser, owner, role="org_owner", groupId=group["_id"])
        page = await browser.get("/settings")
        assert checked(page.text) == {"tokens"}
        assert '<fieldset class="field" disabled>' in page.text and "Save feature sets" not in page.text
        assert (await browser.post_form("/settings/features", {"feature": ["shop"]})).status_code == 404
    features = (await owner.get("/v1/ontology/features")).json()["features"]
    assert {name for name, on in features.items() if on} == {"tokens"}


async def test_the_page_is_for_administrators(portal: Program) -> None:
    owner = await portal.register()
    async with new_browser(portal.client) as browser:
        assert (await browser.get("/settings")).headers["location"].startswith("/sign-in")
        await sign_in(browser, owner, role="org_user")
        assert (await browser.get("/settings")).status_code == 403
        assert 'href="/settings"' not in (await browser.get("/start")).text
        assert (await browser.post_form("/settings/features", {"feature": ["shop"]})).status_code == 403
