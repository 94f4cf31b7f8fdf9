"""What operators do at the command line beside a running program."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.parts import RunningPortal, run_portal
from tests.program import Browser


def run_command(env: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    finished = run_portal(env, *arguments)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


async def test_a_registered_owner_gets_a_password_and_a_lost_one_is_replaced(running_portal: RunningPortal) -> None:
    email = "lost-password@example.com"
    made = running_portal.register(email=email)
    refused = run_portal(running_portal.env, "password", email)
    assert (refused.returncode, refused.stderr) == (
        1,
        "error: no account has this e-mail address; for who has none yet, name the --organisation\n",
    )
    first = run_command(running_portal.env, "password", email.upper(), "--organisation", made["organisationId"])
    assert first["newAccount"] is True and first["sessionsEnded"] == 0
    async with httpx.AsyncClient(base_url=running_portal.base_url) as client:
        browser = Browser(client)
        form = {"email": email, "password": first["password"]}
        assert (await browser.post_form("/sign-in", form)).status_code == 303
        second = run_command(running_portal.env, "password", email)
        assert second["newAccount"] is False and second["sessionsEnded"] == 1
        assert (await browser.get("/settings")).headers["location"].startswith("/sign-in")
        assert (await browser.post_form("/sign-in", form)).status_code == 422
        assert (await browser.post_form("/sign-in", form | {"password": second["password"]})).status_code == 303
        key = {"Authorization": f"Bearer {made['key']}"}
        events = await client.get("/v1/events", params={"type": "password_reset_completed"}, headers=key)
    assert [event["actorId"] for event in events.json()["data"]] == ["group_00000000000000000000000000"] * 2


async def test_a_larger_plan_holds_for_the_next_call(running_portal: RunningPortal) -> None:
    made = running_portal.register(plan="starter")
    headers = {"Authorization": f"Bearer {made['key']}"}
    async with httpx.AsyncClient(base_url=running_portal.base_url, headers=headers) as client:
        for plan, minute in (("pro", 600), ("enterprise", 6_000), ("starter", 60)):
            before = (await client.get("/v1/whoami")).json()["organisation"]["plan"]
            changed = run_command(running_portal.env, "plan", made["organisationId"], plan)
            assert changed == {"organisationId": made["organisationId"], "plan": plan, "previousPlan": before}
            assert (await client.get("/v1/whoami")).json()["organisation"]["plan"] == plan
            quota = (await client.get("/v1/quota")).json()
            assert (quota["plan"], quota["limits"]["requestsPerMinute"]) == (plan, minute)
        run_command(running_portal.env, "plan", made["organisationId"], "starter")
        events = (await client.get("/v1/events", params={"type": "thing_updated"})).json()["data"]
        assert [event["metadata"]["changes"]["plan"] for event in events] == ["starter", "enterprise", "pro"]
        assert {event["actorId"] for event in events} == {"group_00000000000000000000000000"}
    unknown = run_portal(running_portal.env, "plan", "group_01jd8kq3v5e9ra7t2m4xw6yz0c", "pro")
    assert (unknown.returncode, unknown.stderr) == (1, "error: no organisation has this id\n")
