"""An organisation's programs: each with its service account, and with keys that die with it."""

from dataclasses import replace
from typing import Any

import pytest

from ontology.scopes import Scope
from tests.program import Caller, Program


async def _key_for(owner: Caller, application: dict[str, Any], **more: Any) -> Caller:
    body = {"name": "Key", "preset": "read-only", "applicationId": application["_id"]} | more
    made = await owner.make("/v1/api-keys", **body)
    assert made["applicationId"] == application["_id"]
    return replace(owner, key=made["key"], key_id=made["_id"], group_id=made["groupId"])


async def _connections(owner: Caller, **query: str) -> set[tuple[str, str]]:
    rows = await owner.all_rows("/v1/connections", **query)
    return {(row["relationshipType"], row["toId"]) for row in rows}


async def test_each_application_has_a_service_account_that_its_keys_act_as(owner: Caller) -> None:
    first = await owner.make("/v1/applications", name="Web shop", description="Sells")
    second = await owner.make("/v1/applications", name="Importer")
    assert first["serviceAccountId"] != second["serviceAccountId"]
    for application in (first, second):
        key = await _key_for(owner, application)
        assert (await key.get("/v1/whoami")).json()["actor"]["_id"] == application["serviceAccountId"]
    listed = await owner.all_rows("/v1/applications")
    assert [row["name"] for row in listed] == ["Importer", "Web shop", "Default application"]
    assert listed[1] == first == (await owner.get(f"/v1/applications/{first['_id']}")).json()


async def test_an_application_is_connected_as_the_one_of_registration_is(owner: Caller) -> None:
    application = await owner.make("/v1/applications", name="Web shop")
    key = await _key_for(owner, application)
    default = (await owner.all_rows("/v1/applications"))[-1]
    as_registered = await _connections(owner, fromId=default["_id"])
    made = await _connections(owner, fromId=application["_id"])
    assert {type for type, _ in made} == {type for type, _ in as_registered}
    assert {pair for pair in made if pair[0] != "authenticated_by"} < as_registered
    assert ("authenticated_by", key.key_id) in made


async def test_archiving_an_application_kills_its_keys_on_the_next_request(owner: Caller) -> None:
    application = await owner.make("/v1/applications", name="Web shop")
    keys = [await _key_for(owner, application), await _key_for(owner, application, preset="admin")]
    heir = await keys[1].make("/v1/api-keys", name="Heir", preset="read-only")
    assert heir["applicationId"] == application["_id"]
    keys.append(replace(owner, key=heir["key"], key_id=heir["_id"]))
    other = await _key_for(owner, await owner.make("/v1/applications", name="Importer"))
    assert [(await key.get("/v1/entities")).status_code for key in keys] == [200] * 3
    archived = await owner.delete(f"/v1/applications/{application['_id']}")
    assert (archived.status_code, archived.json()["status"]) == (200, "archived")
    assert [(await key.get("/v1/entities")).status_code for key in keys] == [401] * 3
    assert (await other.get("/v1/entities")).status_code == 200
    shown = (await owner.get(f"/v1/api-keys/{keys[0].key_id}")).json()
    assert (shown["status"], shown["revokedReason"]) == ("revoked", "application_archived")
    revoked = (await owner.get("/v1/events", params={"type": "api_key_revoked"})).json()["data"]
    assert {event["targetId"] for event in revoked} == {key.key_id for key in keys}


async def test_no_key_ends_wider_ones_by_archiving_their_application(api: Program, owner: Caller) -> None:
    application = await owner.make("/v1/applications", name="Web shop")
    key = await _key_for(owner, application)
    manager = await api.issue(owner, Scope.API_KEYS_MANAGE)
    refused = await manager.delete(f"/v1/applications/{application['_id']}")
    assert (refused.status_code, refused.json()["code"]) == (403, "privilege_escalation")
    assert (await key.get("/v1/whoami")).status_code == 200


async def test_an_archived_application_takes_no_keys_and_no_changes(owner: Caller) -> None:
    application = await owner.make("/v1/applications", name="Web shop")
    for _ in range(2):
        assert (await owner.delete(f"/v1/applications/{application['_id']}")).status_code == 200
    body = {"name": "Key", "preset": "read-only", "applicationId": application["_id"]}
    assert (await owner.post("/v1/api-keys", body)).status_code == 409
    changed = await owner.call("PATCH", f"/v1/applications/{application['_id']}", json={"name": "Back"})
    assert changed.status_code == 409


async def test_a_key_lies_in_the_group_of_its_application_or_below(owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="Branch", type="business")
    below = await owner.make("/v1/groups", name="Desk", type="business", parentGroupId=group["_id"])
    application = await owner.make("/v1/applications", name="Till", groupId=group["_id"])
    assert (await _key_for(owner, application)).group_id == group["_id"]
    assert (await _key_for(owner, application, groupId=below["_id"])).group_id == below["_id"]
    body = {"name": "Key", "preset": "read-only", "applicationId": application["_id"], "groupId": owner.group_id}
    answer = await owner.post("/v1/api-keys", body)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (409, "body.groupId")


async def test_another_organisations_application_looks_like_none(api: Program, owner: Caller) -> None:
    stranger = await api.register("Stranger")
    theirs = await stranger.make("/v1/applications", name="Theirs")
    path = f"/v1/applications/{theirs['_id']}"
    for method, options in (("GET", {}), ("PATCH", {"json": {"name": "Mine"}}), ("DELETE", {})):
        assert (await owner.call(method, path, **options)).status_code == 404
    body = {"name": "Key", "preset": "read-only", "applicationId": theirs["_id"]}
    assert (await owner.post("/v1/api-keys", body)).status_code == 404


async def test_an_application_is_changed_by_merge_patch_with_an_event(owner: Caller) -> None:
    application = await owner.make("/v1/applications", name="Web shop", description="Sells")
    path = f"/v1/applications/{application['_id']}"
    changed = (await owner.call("PATCH", path, json={"name": "Shop"})).json()
    assert (changed["name"], changed["description"]) == ("Shop", "Sells")
    changed = (await owner.call("PATCH", path, json={"description": None})).json()
    assert (changed["name"], changed["description"]) == ("Shop", None)
    events = (await owner.get("/v1/events", params={"targetId": application["_id"]})).json()["data"]
    types = [event["type"] for event in events]
    assert types == ["thing_updated", "thing_updated", "api_application_registered", "thing_created"]


async def test_applications_need_the_scope_that_keys_need(api: Program, owner: Caller) -> None:
    reader = await api.issue(owner, Scope.ENTITIES_WRITE)
    assert (await reader.post("/v1/applications", {"name": "Web shop"})).status_code == 403
    refused = await owner.post("/v1/entities", {"type": "api_application", "name": "Web shop"})
    assert (refused.status_code, refused.json()["code"]) == (403, "managed_type")
    assert "/v1/applications" in refused.json()["errors"][0]["fix"]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": " "}, {"name": "x" * 201}, {"name": "x", "status": "a"}])
async def test_what_is_no_application_is_refused(owner: Caller, body: dict[str, Any]) -> None:
    assert (await owner.post("/v1/applications", body)).status_code == 400
