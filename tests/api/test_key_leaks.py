"""A leaked key is ended as its organisation wants it, whoever reports it, and no report tells whether a key exists."""

import base64
import json
import logging
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ontology.database import open_transaction
from ontology.groups import Group
from ontology.key_secrets import make_secret
from ontology.request_log import STREAM
from ontology.scopes import Scope
from tests.parts import Parts
from tests.program import Caller, Program, running_program
from worker.request_log import drain_request_log

DAY_MS = 86_400_000
PLACE = "https://github.com/acme/shop/blob/main/.env"


async def _shorten(api: Program, owner: Caller) -> None:
    """The organisation wants a day to replace a leaked key in."""
    async with open_transaction(api.engine, owner.owner) as session:
        group = await session.get_one(Group, owner.org_id)
        group.settings = group.settings | {"leakedKeys": "shorten"}


async def _notices(owner: Caller) -> list[dict[str, Any]]:
    return await owner.all_rows("/v1/entities", type="notification")


@pytest.fixture
async def fresh(api: Program) -> None:
    """Without reports that earlier tests made from this machine."""
    await api.redis.delete("attempts:leaks:127.0.0.1")


async def test_an_owner_reports_a_key_and_it_is_revoked(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    assert (await key.get("/v1/entities")).status_code == 200
    answer = await owner.post("/v1/leaks", {"key": key.key, "url": PLACE})
    assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    assert (await key.get("/v1/entities")).status_code == 401
    (event,) = (await owner.get("/v1/events", params={"type": "api_key_revoked"})).json()["data"]
    told = event["metadata"]
    assert (event["targetId"], told["reason"], told["source"], told["foundAt"]) == (
        key.key_id,
        "leaked",
        "owner",
        PLACE,
    )
    (notice,) = await _notices(owner)
    assert notice["properties"]["type"] == "warning"
    assert PLACE in notice["properties"]["message"]
    again = await owner.post("/v1/leaks", {"key": key.key})
    assert (again.status_code, again.json()["status"]) == (200, "revoked")
    assert len(await _notices(owner)) == 1


async def test_an_organisation_may_want_a_day_instead(api: Program, owner: Caller) -> None:
    await _shorten(api, owner)
    key = await api.issue(owner, Scope.ENTITIES_READ)
    answer = (await owner.post("/v1/leaks", {"key": key.key})).json()
    shown = (await owner.get(f"/v1/api-keys/{key.key_id}")).json()
    assert (answer["status"], shown["expiresAt"]) == ("active", answer["expiresAt"])
    assert 0 < answer["expiresAt"] - shown["createdAt"] <= DAY_MS + 60_000
    assert (await key.get("/v1/entities")).status_code == 200
    later = (await owner.post("/v1/leaks", {"key": key.key})).json()
    assert later["expiresAt"] == answer["expiresAt"], "a second report must not extend it"
    (event,) = (await owner.get("/v1/events", params={"targetId": key.key_id, "type": "thing_updated"})).json()["data"]
    assert (event["metadata"]["action"], event["metadata"]["reason"]) == ("shortened", "leaked")
    assert len(await _notices(owner)) == 1


async def test_what_replaces_a_shortened_key_lives_as_long_as_the_key_was_to(api: Program, owner: Caller) -> None:
    await _shorten(api, owner)
    leaked = await api.issue(owner)
    assert (await owner.post("/v1/leaks", {"key": leaked.key})).json()["expiresAt"]
    refused = await leaked.post(f"/v1/api-keys/{leaked.key_id}/rotation", {})
    assert (refused.status_code, refused.json()["code"]) == (403, "privilege_escalation"), "a thief has it too"
    assert (await owner.make(f"/v1/api-keys/{leaked.key_id}/rotation"))["expiresAt"] is None


async def test_nobody_reports_keys_beyond_reach_under_their_own_name(api: Program, owner: Caller) -> None:
    stranger = await api.register("Stranger")
    group = await owner.make("/v1/groups", name="Branch", type="business")
    child = await api.issue(owner, group_id=group["_id"])
    unknown = make_secret("k7m2x9q4ra").text
    answers = [
        await caller.post("/v1/leaks", {"key": text})
        for caller, text in ((owner, stranger.key), (child, owner.key), (owner, unknown), (owner, "no key"))
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    for caller in (stranger, owner):
        assert (await caller.get("/v1/whoami")).status_code == 200


@pytest.mark.usefixtures("fresh")
async def test_anybody_reports_a_key_and_learns_nothing(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    texts = (key.key, make_secret("k7m2x9q4ra").text, "no key at all", key.key)
    answers = [await api.client.post("/leaks", json={"key": text, "url": PLACE}) for text in texts]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"received":true}')}
    assert (await key.get("/v1/entities")).status_code == 401
    (event,) = (await owner.get("/v1/events", params={"type": "api_key_revoked"})).json()["data"]
    assert event["metadata"]["source"] == "public_report"
    assert len(await _notices(owner)) == 1


async def test_anonymous_reports_are_limited_by_address(api: Program) -> None:
    async with api.client_at("198.51.100.200") as client:
        statuses = [(await client.post("/leaks", json={"key": "x"})).status_code for _ in range(21)]
        refused = await client.post("/leaks", json={"key": "x"}, headers={"X-Forwarded-For": "192.0.2.1"})
    assert statuses == [202] * 20 + [429]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    async with api.client_at("198.51.100.201") as client:
        assert (await client.post("/leaks", json={"key": "x"})).status_code == 202


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"key": 1}', b'{"key": ""}', b'{"key": "a", "more": 1}'])
async def test_a_malformed_report_is_refused(api: Program, body: bytes) -> None:
    answer = await api.client.post("/leaks", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("where", ["?api_key={}", "?q=my%20key%20is%20{}", "/{}", "?a%5B%5D={}&b"])
async def test_a_key_in_an_address_is_refused_ended_and_never_logged(
    api: Program, owner: Caller, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    caplog.set_level(logging.DEBUG)
    answer = await owner.get("/v1/entities" + where.format(key.key.replace("_", "%5F")))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "so it was ended" in answer.json()["errors"][0]["fix"]
    assert key.key not in answer.text
    assert (await key.get("/v1/entities")).status_code == 401
    assert key.key not in caplog.text
    while await drain_request_log(api.engine, api.redis):
        continue
    events = await owner.get("/v1/events", params={"limit": "1000"})
    assert '"request_address"' in events.text
    assert key.key not in events.text
    assert (await owner.get("/v1/entities")).status_code == 200


async def test_who_opens_a_page_by_an_address_with_a_key_is_told_that_it_was_ended(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    for text, ended in ((key.key, True), (make_secret("k7m2x9q4ra").text, False)):
        page = await api.client.get(f"/search?q={text}", headers={"Accept": "text/html"})
        assert page.status_code == 400 and "The address holds an API key: " in page.text
        assert ("so it was ended" in page.text, "treated as leaked" in page.text) == (ended, not ended)


async def test_a_form_with_a_key_is_searched_without_it(api: Program, owner: Caller) -> None:
    answer = await api.client.post("/search", data={"q": f"why is {owner.key} refused"})
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/search?q=why%20is%20org_%2A%2A%2A_key_%2A%2A%2A%20refused",
    )
    assert "An API key was taken out" in (await api.client.get(answer.headers["location"])).text
    assert (await owner.get("/v1/whoami")).status_code == 200


async def test_a_key_in_a_body_is_refused_ended_and_not_stored(api: Program, owner: Caller) -> None:
    key = await api.issue(owner, Scope.ENTITIES_READ)
    body = {"type": "course", "name": "Botany", "properties": {"note": f"use {key.key}."}}
    answer = await owner.post("/v1/entities", body)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "body")
    assert key.key not in answer.text
    assert (await key.get("/v1/entities")).status_code == 401
    assert await owner.all_rows("/v1/entities", type="course") == []
    (event,) = (await owner.get("/v1/events", params={"type": "api_key_revoked"})).json()["data"]
    assert event["metadata"]["source"] == "request_body"


async def test_a_text_that_only_looks_like_a_key_is_stored(owner: Caller) -> None:
    unknown = make_secret("k7m2x9q4ra").text
    made = await owner.make_thing(properties={"title": unknown, "note": "org_k7m2x9q4ra_key_…"})
    stored = (await owner.get(f"/v1/entities/{made['_id']}")).json()
    assert (stored["properties"]["title"], stored["properties"]["note"]) == (unknown, "org_k7m2x9q4ra_key_…")


async def test_a_key_in_the_user_agent_is_not_logged(api: Program, owner: Caller) -> None:
    await owner.get("/v1/entities", headers={"User-Agent": f"curl {owner.key}"})
    while await drain_request_log(api.engine, api.redis):
        continue
    events = await owner.get("/v1/events", params={"limit": "1000"})
    assert owner.key not in events.text
    assert "org_***_key_***" in events.text


# --- GitHub ---------------------------------------------------------------------------------------------------------


class GitHub:
    """Signs as GitHub does, with a key pair of its own, made by OpenSSL."""

    def __init__(self, directory: Path) -> None:
        self.private, self.listed = directory / "private.pem", directory / "keys.json"
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.private))
        public = self._run("ec", "-in", str(self.private), "-pubout").decode()
        entry = {"key_identifier": "test-key", "key": public, "is_current": True}
        self.listed.write_text(json.dumps({"public_keys": [entry]}))

    def sign(self, body: bytes, name: str = "test-key") -> dict[str, str]:
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.private)], input=body, capture_output=True, check=True
        ).stdout
        return {
            "Content-Type": "application/json",
            "Github-Public-Key-Identifier": name,
            "Github-Public-Key-Signature": base64.b64encode(signature).decode(),
        }

    def _run(self, *arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> GitHub:
    return GitHub(tmp_path_factory.mktemp("github"))


@pytest.fixture(scope="module")
async def partner(parts: Parts, github: GitHub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A program that knows the public key."""
    keys = str(github.listed)
    with parts.new_database() as database:
        settings = parts.settings(database, tmp_path_factory.mktemp("partner"), GITHUB_PUBLIC_KEYS=keys)
        async with running_program(settings) as program:
            yield program
            await program.redis.delete(STREAM)  # calls that only this program's database could store


def _matches(*texts: str) -> bytes:
    return json.dumps(
        [{"token": text, "type": "one_api_key", "url": PLACE, "source": "content"} for text in texts]
    ).encode()


async def test_a_signed_alert_ends_keys_and_tells_which_were_real(partner: Program, github: GitHub) -> None:
    owner = await partner.register()
    key = await partner.issue(owner, Scope.ENTITIES_READ)
    body = _matches(key.key, make_secret("k7m2x9q4ra").text, "nonsense")
    answer = await partner.client.post("/leaks/github", content=body, headers=github.sign(body))
    assert answer.status_code == 200, answer.text
    assert [match["label"] for match in answer.json()] == ["true_positive", "false_positive", "false_positive"]
    assert key.key not in answer.text
    assert (await key.get("/v1/entities")).status_code == 401
    (event,) = (await owner.get("/v1/events", params={"type": "api_key_revoked"})).json()["data"]
    assert (event["metadata"]["source"], event["metadata"]["foundAt"]) == ("github", PLACE)
    assert len(await _notices(owner)) == 1
    again = await partner.client.post("/leaks/github", content=body, headers=github.sign(body))
    assert again.json() == answer.json()
    assert len(await _notices(owner)) == 1


async def test_a_forged_alert_changes_nothing(partner: Program, github: GitHub, tmp_path: Path) -> None:
    owner = await partner.register()
    body = _matches(owner.key)
    good, other = github.sign(body), github.sign(_matches("x"))
    stranger = GitHub(tmp_path).sign(body)
    forged: list[dict[str, str]] = [
        {},
        good | {"Github-Public-Key-Identifier": "unknown"},
        good | {"Github-Public-Key-Signature": "!"},
        {name: value for name, value in good.items() if "Signature" not in name},
        {name: value for name, value in good.items() if "Identifier" not in name},
    ]
    forged += [other, stranger, good | {"Github-Public-Key-Signature": base64.b64encode(b"x" * 70).decode()}]
    for headers in forged:
        answer = await partner.client.post("/leaks/github", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
    assert (await owner.get("/v1/whoami")).status_code == 200


async def test_an_alert_is_believed_only_for_its_exact_bytes(partner: Program, github: GitHub) -> None:
    owner = await partner.register()
    body = _matches(owner.key)
    answer = await partner.client.post("/leaks/github", content=body + b" ", headers=github.sign(body))
    assert answer.status_code == 401
    assert (await owner.get("/v1/whoami")).status_code == 200


async def test_an_alert_of_ten_thousand_is_answered_whole(partner: Program, github: GitHub) -> None:
    """Within the test's own time limit, in one transaction for each organisation that it concerns."""
    owners = [await partner.register() for _ in range(2)]
    keys = [await partner.issue(owner, Scope.ENTITIES_READ) for owner in owners for _ in range(10)]
    texts = [make_secret("k7m2x9q4ra").text for _ in range(10_000 - len(keys))] + [key.key for key in keys]
    body = _matches(*texts)
    answer = await partner.client.post("/leaks/github", content=body, headers=github.sign(body))
    assert answer.status_code == 200
    assert [match["label"] for match in answer.json()].count("true_positive") == len(keys)
    for owner in owners:
        shown = {row["_id"]: row["status"] for row in await owner.all_rows("/v1/api-keys")}
        assert {shown[key.key_id] for key in keys if key.key_id in shown} == {"revoked"}
    assert (await keys[-1].get("/v1/entities")).status_code == 401


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"type": "x"}]', b'[{"token": 1}]', b"[", b"\xff"])
async def test_a_signed_alert_that_is_malformed_is_refused(partner: Program, github: GitHub, body: bytes) -> None:
    answer = await partner.client.post("/leaks/github", content=body, headers=github.sign(body))
    assert answer.status_code == 400
