"""The settings page: everybody's own password, and feature sets for who administers the whole organisation."""

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


async def test_the_organisation_is_for_administrators(portal: Program) -> None:
    owner = await portal.register()
    async with new_browser(portal.client) as browser:
        assert (await browser.get("/settings")).headers["location"].startswith("/sign-in")
        await sign_in(browser, owner, role="org_user")
        page = await browser.get("/settings")
        assert "Change password" in page.text and "Feature sets" not in page.text and owner.group_id not in page.text
        assert (await browser.post_form("/settings/features", {"feature": ["shop"]})).status_code == 403


async def test_who_knows_their_password_changes_it_and_stays_signed_in_only_there(portal: Program) -> None:
    owner = await portal.register()
    async with new_browser(portal.client) as browser, new_browser(portal.client) as elsewhere:
        await sign_in(browser, owner, role="org_user")
        here = {"email": "1@example.com", "password": PASSWORD}
        assert (await elsewhere.post_form("/sign-in", here)).status_code == 303
        for present, chosen, problem in (
            ("lamp under the oak", "another horse", "This is not your present password."),
            (PASSWORD, "password12", "This password is among the first that are tried."),
        ):
            refused = await browser.post_form("/settings/password", {"present": present, "password": chosen})
            assert refused.status_code == 422 and problem in refused.text
        assert (await elsewhere.get("/settings")).status_code == 200
        change = {"present": PASSWORD, "password": "lamp under the oak"}
        assert (await browser.post_form("/settings/password", change)).status_code == 303
        assert "signed out everywhere else" in (await browser.get("/settings?saved=password")).text
        assert (await elsewhere.get("/settings")).headers["location"].startswith("/sign-in")
        assert (await elsewhere.post_form("/sign-in", here)).status_code == 422
        assert (await elsewhere.post_form("/sign-in", here | {"password": change["password"]})).status_code == 303
    (event,) = await owner.all_rows("/v1/events", type="password_reset_completed")
    assert event["actorId"] == event["targetId"] and event["actorId"].startswith("person_")
