"""People over HTTP: invitations, joining, roles and leaving, by API and by the portal's forms."""

import asyncio
import itertools
import re
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from ontology.database import open_transaction, run_sql
from ontology.groups import ACTIVE
from ontology.ids import decode_id, encode_id, new_id
from ontology.roles import MEMBER_ROLES, ROLES, Role
from ontology.scopes import ALL_SCOPES, Scope
from tests.parts import Parts
from tests.program import Browser, Caller, Program, join, new_browser

PASSWORD = "correct horse battery"


def _address() -> str:
    return f"{uuid4().hex}@example.com"


async def _invite(caller: Caller, **more: Any) -> dict[str, Any]:
    return await caller.make("/v1/invitations", **({"email": _address(), "role": "org_user"} | more))


def _code(invited: dict[str, Any]) -> str:
    return str(invited["link"]).partition("#")[2]


async def _accept(browser: Browser, code: str, *, name: str = "Grace", password: str = PASSWORD) -> Any:
    return await browser.post_form("/join/accept", {"code": code, "name": name, "password": password})


async def _sign_in(browser: Browser, email: str, password: str = PASSWORD) -> Any:
    return await browser.post_form("/sign-in", {"email": email, "password": password, "next": "/start"})


async def _explorer(browser: Browser, owner: Caller) -> Caller:
    """A key that acts as who is signed in, as the explorer gets one."""
    page = await browser.get("/")
    token = re.search(r'name="csrf-token" content="([0-9a-f]+)"', page.text)
    assert token
    answer = await browser.client.post("/explorer-key", headers={"x-csrf-token": token[1]})
    assert answer.status_code == 201, answer.text
    return Caller(owner.client, answer.json()["key"], "", owner.group_id, owner.owner)


async def _join_and_stay(browser: Browser, owner: Caller, **invitation: Any) -> str:
    """Join in a browser that stays signed in; the person's id."""
    invited = await _invite(owner, **invitation)
    assert (await _accept(browser, _code(invited))).status_code == 303
    query = {"email": invited["email"], "groupId": invited["groupId"], "status": "active"}
    return (await owner.get("/v1/people", params=query)).json()["data"][0]["_id"]


async def _events(owner: Caller, type: str) -> list[dict[str, Any]]:
    return (await owner.get("/v1/events", params={"type": type})).json()["data"]


def test_owners_have_every_scope_and_each_role_less_than_the_one_above() -> None:
    assert ROLES[Role.ORG_OWNER].scopes == ALL_SCOPES
    levels = sorted(ROLES.values(), key=lambda rights: rights.level, reverse=True)
    assert [rights.role for rights in levels] == list(Role)
    for above, below in itertools.pairwise(levels):
        assert below.scopes <= above.scopes
    assert ROLES[Role.CUSTOMER].scopes == {Scope.ENTITIES_READ, Scope.CONNECTIONS_READ}
    user = ROLES[Role.ORG_USER]
    assert {Scope.ENTITIES_WRITE, Scope.PEOPLE_READ, Scope.GROUPS_READ} <= user.scopes
    assert not {Scope.PEOPLE_WRITE, Scope.GROUPS_WRITE, Scope.API_KEYS_MANAGE, Scope.ENTITIES_DELETE} & user.scopes
    assert [rights.role for rights in levels if rights.edits_own_only] == [Role.ORG_USER]


async def test_invited_person_joins_once_and_is_a_member(owner: Caller) -> None:
    invited = await _invite(owner, role="org_user")
    assert invited["status"] == "pending"
    assert invited["expiresAt"] - invited["createdAt"] == 7 * 86_400_000
    async with new_browser(owner.client) as browser:
        shown = await browser.post_form("/join", {"code": invited["link"]})
        assert shown.status_code == 200
        assert invited["email"] in shown.text
        answer = await _accept(browser, _code(invited))
        assert (answer.status_code, answer.headers["location"]) == (303, "/start")
        assert "Acme" in (await browser.get("/start")).text
    (person,) = (await owner.get("/v1/people", params={"email": invited["email"]})).json()["data"]
    assert (person["role"], person["status"], person["groupId"]) == ("org_user", "active", owner.group_id)
    (kept,) = (await owner.get("/v1/invitations")).json()["data"]
    assert (kept["status"], "link" in kept) == ("accepted", False)
    (joined,) = await _events(owner, "user_joined_group")
    assert (joined["actorId"], joined["metadata"]["role"]) == (person["_id"], "org_user")
    (told,) = (await owner.get("/v1/connections", params={"fromId": person["_id"]})).json()["data"]
    assert (told["relationshipType"], told["toId"]) == ("member_of", owner.group_id)
    assert told["metadata"]["role"] == "org_user"
    assert told["metadata"]["invitedBy"] == invited["createdBy"]
    async with new_browser(owner.client) as stranger:
        again = await _accept(stranger, _code(invited))
        assert (again.status_code, "used already" in again.text) == (422, True)


async def test_a_code_used_at_once_by_many_lets_in_one(owner: Caller) -> None:
    code = _code(await _invite(owner))

    async def accept() -> int:
        async with new_browser(owner.client) as browser:
            return (await _accept(browser, code)).status_code

    assert sorted(await asyncio.gather(*(accept() for _ in range(5)))) == [303, 422, 422, 422, 422]
    assert len(await owner.all_rows("/v1/people")) == 2


async def test_expired_cancelled_unknown_and_replaced_codes_let_nobody_in(api: Program, owner: Caller) -> None:
    address = _address()
    replaced, cancelled, expired = await _invite(owner, email=address), await _invite(owner), await _invite(owner)
    await _invite(owner, email=address.upper())
    assert (await owner.delete(f"/v1/invitations/{cancelled['_id']}")).json()["status"] == "cancelled"
    assert (await owner.delete(f"/v1/invitations/{cancelled['_id']}")).status_code == 200
    async with open_transaction(api.engine, owner.owner) as session:
        late = text("UPDATE invitations SET expires_at = now() - interval '1 second' WHERE id = :id")
        await run_sql(session, late, {"id": decode_id(expired["_id"])[1]})
    async with new_browser(owner.client) as browser:
        for code, said in (
            (_code(replaced), "withdrawn"),
            (_code(cancelled), "withdrawn"),
            (_code(expired), "expired"),
            ("never-made", "no such invitation"),
            ("", "no such invitation"),
        ):
            for path in ("/join", "/join/accept"):
                form = {"code": code, "name": "Grace", "password": PASSWORD}
                answer = await browser.post_form(path, form)
                assert (answer.status_code, said in answer.text) == (422, True), answer.text
    assert len(await owner.all_rows("/v1/people")) == 1
    found = {row["_id"]: row["status"] for row in await owner.all_rows("/v1/invitations")}
    assert found[expired["_id"]] == "expired"
    for status, count in (("pending", 1), ("expired", 1), ("cancelled", 2), ("accepted", 0)):
        assert len(await owner.all_rows("/v1/invitations", status=status)) == count


async def test_of_many_invitations_at_once_one_is_good(owner: Caller) -> None:
    email = _address()
    await asyncio.gather(*(_invite(owner, email=email) for _ in range(8)))
    found = await owner.all_rows("/v1/invitations", status="pending")
    assert [row["email"] for row in found] == [email]


async def test_no_code_is_stored_logged_or_told_in_an_event(
    api: Program, parts: Parts, owner: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        invited = await _invite(owner)
        async with new_browser(owner.client) as browser:
            await browser.post_form("/join", {"code": invited["link"]})
            assert (await _accept(browser, _code(invited))).status_code == 303
    assert _code(invited) not in caplog.text
    database = api.engine.url.database or ""
    with psycopg.connect(parts.superuser_url(database)) as connection:
        for table in ("events", "request_log", "invitations", "people", "accounts", "connections", "portal_sessions"):
            rows = connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            assert not [row for row in rows if _code(invited) in row[0]], table


async def test_only_members_of_the_inviters_rank_or_below_are_invited(api: Program, owner: Caller) -> None:
    narrow = await api.issue(owner, Scope.PEOPLE_WRITE, Scope.ENTITIES_READ, Scope.CONNECTIONS_READ)
    for role, status in (("customer", 201), ("org_user", 403), ("org_owner", 403)):
        body = {"email": _address(), "role": role}
        assert (await narrow.post("/v1/invitations", body)).status_code == status, role
    wide = await _invite(owner, role="org_owner")
    again = {"email": wide["email"], "role": "customer"}
    for answer in (await narrow.delete(f"/v1/invitations/{wide['_id']}"), await narrow.post("/v1/invitations", again)):
        assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")
    answer = await owner.post("/v1/invitations", {"email": _address(), "role": "platform_owner"})
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")
    async with new_browser(owner.client) as browser:
        await _join_and_stay(browser, owner, role="org_user")
        refused = await browser.post_form("/members/invitations", {"email": _address(), "role": "customer"})
        assert refused.status_code == 403


async def test_a_member_is_not_invited_again(owner: Caller) -> None:
    address = _address()
    await join(owner, email=address)
    answer = await owner.post("/v1/invitations", {"email": address, "role": "customer"})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (409, "body.email")


async def test_an_account_belongs_to_several_organisations_and_switches(api: Program, owner: Caller) -> None:
    other = await api.register("Beta")
    address = _address()
    async with new_browser(owner.client) as browser:
        await _join_and_stay(browser, owner, email=address)
        invited = await _invite(other, email=address, role="customer")
        shown = await browser.post_form("/join", {"code": _code(invited)})
        assert "You are signed in with this address" in shown.text
        before = browser.client.cookies["one_session"]
        assert (await _accept(browser, _code(invited), password="")).status_code == 303
        page = (await browser.get("/start")).text
        choices = dict(re.findall(r'<option value="(person_\w+)"[^>]*>([^<]+)</option>', page))
        assert set(choices.values()) == {"Acme", "Beta"}
        assert '<strong class="step-name">Beta</strong>' in page
        acme = next(identity for identity, label in choices.items() if label == "Acme")
        token = browser.client.cookies["one_session"]
        assert (await browser.post_form("/switch", {"person": acme})).status_code == 303
        assert '<strong class="step-name">Acme</strong>' in (await browser.get("/start")).text
        assert len({before, token, browser.client.cookies["one_session"]}) == 3
        foreign = encode_id("person", new_id())
        assert (await browser.post_form("/switch", {"person": foreign})).status_code == 404
        assert (await browser.post_form("/switch", {"person": owner.owner.id})).status_code == 404
        browser.client.cookies.clear()
        browser.client.cookies.set("one_session", token)
        assert (await browser.get("/members")).headers["location"].startswith("/sign-in")


async def test_joining_needs_the_password_of_an_account_that_exists(api: Program, owner: Caller) -> None:
    other = await api.register("Beta")
    address = _address()
    await join(owner, email=address)
    code = _code(await _invite(other, email=address))
    async with new_browser(owner.client) as browser:
        wrong = await _accept(browser, code, password="another password")
        assert (wrong.status_code, "enter its password" in wrong.text) == (422, True)
        assert (await _accept(browser, code)).status_code == 303


async def test_signed_in_with_another_address_is_not_the_invited_person(owner: Caller) -> None:
    async with new_browser(owner.client) as browser:
        await _join_and_stay(browser, owner)
        invited = await _invite(owner, role="org_owner")
        assert (await _accept(browser, _code(invited), name="", password="")).status_code == 422
    assert len(await owner.all_rows("/v1/people")) == 2


async def test_what_a_member_may_do_follows_the_role_on_the_next_request(owner: Caller) -> None:
    async with new_browser(owner.client) as browser:
        person = await _join_and_stay(browser, owner, role="org_owner")
        key = await _explorer(browser, owner)
        assert (await key.get("/v1/whoami")).json()["actor"] == {"_id": person, "type": "person"}
        assert (await key.get("/v1/api-keys")).status_code == 200
        assert (await browser.get("/keys")).status_code == 200
        answer = await owner.call("PATCH", f"/v1/people/{person}", json={"role": "customer"})
        assert answer.json()["role"] == "customer"
        assert (await key.get("/v1/api-keys")).json()["code"] == "insufficient_scope"
        assert (await key.get("/v1/entities")).status_code == 200
        assert (await browser.get("/keys")).status_code == 403
        assert (await browser.get("/members")).status_code == 403
        fresh = await _explorer(browser, owner)
        scopes = (await fresh.get("/v1/whoami")).json()["key"]["scopes"]
        assert scopes == ["connections:read", "entities:read"]
    event = (await _events(owner, "profile_updated"))[0]
    assert event["metadata"]["previousValues"] == {"role": "org_owner"}
    assert event["metadata"]["changes"] == {"role": "customer"}
    (told,) = (await owner.get("/v1/connections", params={"fromId": person})).json()["data"]
    assert (told["metadata"]["role"], told["metadata"]["permissions"]) == ("customer", [])


async def test_org_user_changes_only_what_they_created(owner: Caller) -> None:
    thing = await owner.make_thing()
    async with new_browser(owner.client) as browser:
        person = await _join_and_stay(browser, owner, role="org_user")
        key = await _explorer(browser, owner)
        own = await key.make_thing()
        assert own["createdBy"] == person
        assert (await key.get(f"/v1/entities/{thing['_id']}")).status_code == 200
        for identity, status in ((own["_id"], 200), (thing["_id"], 403)):
            answer = await key.call("PATCH", f"/v1/entities/{identity}", json={"name": "Changed"})
            assert answer.status_code == status, answer.text
        assert answer.json()["code"] == "insufficient_scope"
        items = [{"operation": "update", "_id": identity, "name": "Again"} for identity in (own["_id"], thing["_id"])]
        batch = (await key.post("/v1/entities/batch", {"items": items})).json()["data"]
        assert [item["status"] for item in batch] == [200, 403]
        page = {"title": "Rules", "text": "Be kind.", "externalId": "rules"}
        assert (await owner.call("PUT", "/v1/knowledge/documents", json=page)).status_code == 200
        for text, status in (("Be kind.", 200), ("Be rude.", 403)):
            answer = await key.call("PUT", "/v1/knowledge/documents", json=page | {"text": text})
            assert answer.status_code == status, answer.text


async def test_removed_person_is_out_at_once(owner: Caller) -> None:
    async with new_browser(owner.client) as browser:
        person = await _join_and_stay(browser, owner, role="org_owner")
        key = await _explorer(browser, owner)
        invited = await key.make("/v1/invitations", email=_address(), role="org_owner")
        assert (await key.get("/v1/whoami")).status_code == 200
        answer = await owner.delete(f"/v1/people/{person}")
        assert (answer.status_code, answer.json()["status"]) == (200, "archived")
        refused = await key.get("/v1/whoami")
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")
        assert (await browser.get("/members")).headers["location"].startswith("/sign-in")
        email = answer.json()["email"]
        assert "belongs to no organisation" in (await _sign_in(browser, email)).text
        assert (await _accept(browser, _code(invited))).status_code == 422
    assert (await owner.get("/v1/connections", params={"fromId": person})).json()["data"] == []
    (event,) = await _events(owner, "user_removed_from_group")
    assert (event["targetId"], event["metadata"]["userId"]) == (person, person)
    keys = await owner.all_rows("/v1/api-keys")
    assert {row["status"] for row in keys if row["createdBy"] == person} == {"revoked"}
    ends = {"fromId": person, "toId": (await owner.make_thing())["_id"]}
    assert (await owner.post("/v1/connections", {"relationshipType": "enrolled_in"} | ends)).status_code == 404
    assert (await owner.delete(f"/v1/people/{person}")).status_code == 200
    assert len(await _events(owner, "user_removed_from_group")) == 1


async def test_removed_person_comes_back_by_invitation_with_the_old_account(owner: Caller) -> None:
    address = _address()
    first = await join(owner, email=address)
    assert (await owner.delete(f"/v1/people/{first}")).status_code == 200
    second = await join(owner, email=address, password=PASSWORD)
    assert second != first
    rows = await owner.all_rows("/v1/people", email=address)
    assert {row["_id"]: row["status"] for row in rows} == {first: "archived", second: "active"}


async def test_the_last_owner_stays_one(owner: Caller) -> None:
    me = owner.owner.id
    for method, body in (("DELETE", None), ("PATCH", {"role": "org_user"})):
        answer = await owner.call(method, f"/v1/people/{me}", **({"json": body} if body else {}))
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    other = await join(owner, role="org_owner")
    answers = await asyncio.gather(*(owner.delete(f"/v1/people/{person}") for person in (me, other)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    owners = await owner.all_rows("/v1/people", role="org_owner", status="active")
    assert len(owners) == 1


async def test_nobody_changes_or_removes_whoever_may_do_more(api: Program, owner: Caller) -> None:
    narrow = await api.issue(owner, Scope.PEOPLE_WRITE, *ROLES[Role.ORG_USER].scopes)
    other = await join(owner, role="org_owner")
    user = await join(owner, role="org_user")
    for method, path, body in (
        ("DELETE", f"/v1/people/{other}", None),
        ("PATCH", f"/v1/people/{other}", {"role": "customer"}),
        ("PATCH", f"/v1/people/{other}", {"name": "Renamed"}),
        ("PATCH", f"/v1/people/{user}", {"role": "org_owner"}),
    ):
        answer = await narrow.call(method, path, **({"json": body} if body else {}))
        assert answer.json()["code"] == "privilege_escalation", (method, body)
    assert (await narrow.call("PATCH", f"/v1/people/{user}", json={"role": "customer"})).status_code == 200


async def test_a_member_of_a_sub_group_reaches_no_further(api: Program, owner: Caller) -> None:
    group = (await owner.make("/v1/groups", name="Branch"))["_id"]
    here, there = await owner.make_thing(groupId=group), await owner.make_thing()
    async with new_browser(owner.client) as browser:
        person = await _join_and_stay(browser, owner, role="org_owner", groupId=group)
        key = await _explorer(browser, owner)
        assert (await key.get(f"/v1/entities/{here['_id']}")).status_code == 200
        assert (await key.get(f"/v1/entities/{there['_id']}")).status_code == 404
        assert [row["_id"] for row in await key.all_rows("/v1/people")] == [person]
        assert "Branch" in (await browser.get("/members")).text
        assert (await owner.delete(f"/v1/groups/{group}")).status_code == 200
        assert (await browser.get("/members")).headers["location"].startswith("/sign-in")
        assert (await key.get("/v1/whoami")).json()["code"] == "group_archived"


async def test_memberships_are_listed_over_the_groups_within_reach(api: Program, owner: Caller) -> None:
    group = (await owner.make("/v1/groups", name="Branch"))["_id"]
    address = _address()
    top = await join(owner, email=address, role="customer")
    low = await join(owner, email=address, role="org_user", groupId=group)
    found = (await owner.get(f"/v1/people/{low}/memberships")).json()["data"]
    assert [(row["personId"], row["groupId"], row["role"]) for row in found] == [
        (top, owner.group_id, "customer"),
        (low, group, "org_user"),
    ]
    assert all(row["joinedAt"] and row["invitedBy"] for row in found)
    inner = await api.issue(owner, group_id=group)
    found = (await inner.get(f"/v1/people/{low}/memberships")).json()["data"]
    assert [row["personId"] for row in found] == [low]
    assert (await inner.get(f"/v1/people/{top}/memberships")).status_code == 404


async def test_memberships_of_groups_are_not_written_as_connections(owner: Caller) -> None:
    person = await join(owner, role="customer")
    body = {
        "relationshipType": "member_of",
        "fromId": person,
        "toId": owner.group_id,
        "metadata": {"role": "org_owner"},
    }
    assert (await owner.post("/v1/connections", body)).json()["code"] == "managed_type"
    (told,) = (await owner.get("/v1/connections", params={"fromId": person})).json()["data"]
    assert (await owner.delete(f"/v1/connections/{told['_id']}")).json()["code"] == "managed_type"


async def test_people_are_found_by_group_role_status_and_address(owner: Caller) -> None:
    address = _address()
    customer = await join(owner, email=address, role="customer")
    gone = await join(owner, role="customer")
    await owner.delete(f"/v1/people/{gone}")

    async def found(**query: str) -> set[str]:
        return {row["_id"] for row in await owner.all_rows("/v1/people", **query)}

    assert await found(role="customer") == {customer, gone}
    assert await found(role="customer", status=ACTIVE) == {customer}
    assert await found(email=address.upper()) == {customer}
    assert await found(groupId=owner.group_id, role="org_owner") == {owner.owner.id}
    assert await found(role=MEMBER_ROLES[1]) == set()
