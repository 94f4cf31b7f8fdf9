"""API keys: their form, what of them is stored, and how far one may reach that another has made."""

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ontology.addresses import Source
from ontology.credentials import Credential, find_credential
from ontology.database import open_lookup, open_transaction
from ontology.errors import ExpiredApiKey, GroupArchived, InvalidApiKey
from ontology.groups import make_handle
from ontology.ids import decode_id
from ontology.key_secrets import digest_key, make_secret
from ontology.keys import get_key
from ontology.records import to_epoch_ms, utc_now
from ontology.scopes import PRESETS, Preset, Scope
from tests.program import Caller, Program

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEPPER = "pepper"

HERE = Source("127.0.0.1")


def test_a_key_has_the_published_form_and_its_prefix_is_of_the_secret() -> None:
    new = make_secret("k7m2x9q4ra")
    match = re.fullmatch(r"org_k7m2x9q4ra_key_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", new.text)
    assert match is not None
    assert new.prefix == match[1][:8]
    assert len(digest_key(new.text, PEPPER)) == 32


@given(st.binary(min_size=32, max_size=32))
def test_the_secret_is_thirty_two_random_bytes_in_base62(random: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_bytes", lambda size: random if size == 32 else pytest.fail("32 bytes"))
        new = make_secret("abcd")
    number = 0
    for character in new.secret[:43]:
        number = number * 62 + BASE62.index(character)
    assert number.to_bytes(32, "big") == random
    digest_key(new.text, PEPPER)


def test_ten_thousand_keys_have_no_collision_in_secret_or_digest() -> None:
    keys = [make_secret("abcd") for _ in range(10_000)]
    assert len({key.secret for key in keys}) == len(keys)
    assert len({digest_key(key.text, PEPPER) for key in keys}) == len(keys)


@given(st.integers(0, 200), st.sampled_from(BASE62 + "_ -\0é"))
def test_a_key_with_any_character_changed_is_refused_without_a_look_at_the_database(place: int, other: str) -> None:
    text = make_secret("k7m2x9q4ra").text
    place %= len(text)
    changed = text[:place] + other + text[place + 1 :]
    assume(changed != text)
    with pytest.raises(InvalidApiKey):
        digest_key(changed, PEPPER)


@given(st.integers(0, 47))
def test_neighbours_that_change_places_are_noticed(place: int) -> None:
    new = make_secret("abcd")
    swapped = list(new.secret)
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    assume("".join(swapped) != new.secret)
    with pytest.raises(InvalidApiKey):
        digest_key("org_abcd_key_" + "".join(swapped), PEPPER)


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    for candidate in (text, f"org_abcd_key_{text}", make_secret("abcd").text + (text or " ")):
        with pytest.raises(InvalidApiKey):
            digest_key(candidate, PEPPER)


def test_a_secret_moved_to_another_organisation_is_refused() -> None:
    new = make_secret("k7m2x9q4ra")
    with pytest.raises(InvalidApiKey):
        digest_key(new.text.replace("k7m2x9q4ra", "k7m2x9q4rb"), PEPPER)


def test_the_digest_is_worth_nothing_without_the_pepper() -> None:
    text = make_secret("abcd").text
    assert digest_key(text, "one pepper") != digest_key(text, "another pepper")


def test_handles_are_readable_and_do_not_repeat() -> None:
    handles = {make_handle() for _ in range(2_000)}
    assert len(handles) == 2_000
    assert all(re.fullmatch(r"[2-9a-hj-km-np-z]{10}", handle) for handle in handles)


async def test_expiry_is_computed_at_use(program: Program, owner: Caller) -> None:
    """Nothing has to run at the moment a key expires: the same row is active before it and expired from it on."""
    moment = utc_now() + timedelta(days=30)
    key = await program.issue(owner, expires_at=moment)
    instant = datetime.fromtimestamp(to_epoch_ms(moment) / 1000, UTC)
    credential = await load(program, key)
    tick = timedelta(microseconds=1)
    assert credential.admit(instant - tick, "req_x", HERE).request_id == "req_x"
    for now in (instant, instant + tick, instant + timedelta(days=1)):
        with pytest.raises(ExpiredApiKey, match=re.escape(instant.isoformat(timespec="seconds"))):
            credential.admit(now, "req_x", HERE)
    key_id = decode_id(key.key_id, "thing")[1]
    async with open_transaction(program.engine, owner.owner) as session:
        seen = [(await get_key(session, owner.owner, key_id, now)).status for now in (instant - tick, instant)]
    assert seen == ["active", "expired"]


async def test_revoked_outweighs_expired_and_both_outweigh_an_archived_group(program: Program, owner: Caller) -> None:
    """A thief who tries a revoked key learns nothing about it."""
    past, future = utc_now() - timedelta(days=1), utc_now() + timedelta(days=1)
    credential = replace(await load(program, owner), group_active=False)
    with pytest.raises(GroupArchived):
        replace(credential, expires_at=future).admit(utc_now(), "req_x", HERE)
    with pytest.raises(ExpiredApiKey):
        replace(credential, expires_at=past).admit(utc_now(), "req_x", HERE)
    with pytest.raises(InvalidApiKey):
        replace(credential, expires_at=past, revoked=True).admit(utc_now(), "req_x", HERE)


async def load(program: Program, caller: Caller) -> Credential:
    digest = digest_key(caller.key, program.settings.key_pepper)
    async with open_lookup(program.engine, key_digest=digest.hex()) as session:
        found = await find_credential(session, digest)
    assert found is not None
    return found


async def test_a_key_is_found_only_by_who_knows_its_digest(program: Program, owner: Caller) -> None:
    digest = digest_key(owner.key, program.settings.key_pepper)
    for stated in ({"key_digest": "00" * 32}, {"email": "ada@example.com"}, {"key_digest": ""}):
        async with open_lookup(program.engine, **stated) as session:
            assert await find_credential(session, digest) is None


async def test_the_text_is_shown_once_and_never_again(owner: Caller) -> None:
    made = await owner.make("/v1/api-keys", name="Dashboard", preset="read-only")
    secret = made["key"].rpartition("_")[2]
    assert made["prefix"] == secret[:8]
    places = (
        f"/v1/api-keys/{made['_id']}",
        "/v1/api-keys",
        f"/v1/entities/{made['_id']}",
        "/v1/entities?type=api_key",
        "/v1/events",
    )
    for path in places:
        answer = await owner.get(path)
        assert answer.status_code == 200
        assert secret not in answer.text
        assert secret[:8] in answer.text
    read = (await owner.get(places[0])).json()
    assert read == {name: value for name, value in made.items() if name != "key"}


async def test_revoking_is_repeatable_logged_once_and_kept_in_lists(owner: Caller) -> None:
    made = await owner.make("/v1/api-keys", name="Dashboard", preset="read-only")
    answers = [await owner.delete(f"/v1/api-keys/{made['_id']}") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["revokedAt"] == answers[1].json()["revokedAt"]
    listed = {row["_id"]: row["status"] for row in await owner.all_rows("/v1/api-keys")}
    assert listed == {made["_id"]: "revoked", owner.key_id: "active"}
    events = await owner.all_rows("/v1/events", type="api_key_revoked")
    assert [event["targetId"] for event in events] == [made["_id"]]


async def test_a_key_makes_none_wider_than_itself(program: Program, owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    south = await owner.make("/v1/groups", name="South")
    tomorrow = utc_now() + timedelta(days=1)
    narrow = await program.issue(
        owner,
        *(Scope.API_KEYS_MANAGE, Scope.ENTITIES_WRITE),
        group_id=north["_id"],
        expires_at=tomorrow,
        per_minute=100,
    )
    limits = {"requestsPerMinute": 100, "requestsPerDay": 1_000_000}
    within: dict[str, Any] = {
        "name": "Within",
        "scopes": ["entities:read"],
        "expiresAt": to_epoch_ms(tomorrow),
        "rateLimit": limits,
    }
    assert (await narrow.make("/v1/api-keys", **within))["groupId"] == north["_id"]
    wider = [
        ({"scopes": ["events:read"]}, "body.scopes"),
        ({"scopes": ["entities:delete"]}, "body.scopes"),
        ({"expiresAt": to_epoch_ms(tomorrow) + 1}, "body.expiresAt"),
        ({"expiresAt": None}, "body.expiresAt"),
        ({"rateLimit": limits | {"requestsPerMinute": 101}}, "body.rateLimit.requestsPerMinute"),
        ({"rateLimit": limits | {"requestsPerDay": 1_000_001}}, "body.rateLimit.requestsPerDay"),
        ({"rateLimit": None}, "body.rateLimit.requestsPerMinute"),
    ]
    for change, place in wider:
        answer = await narrow.post("/v1/api-keys", within | change)
        assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation"), change
        assert place in {flaw["location"] for flaw in answer.json()["errors"]}
    for beyond in (south["_id"], owner.group_id):
        assert (await narrow.post("/v1/api-keys", within | {"groupId": beyond})).status_code == 404
    assert (await narrow.delete(f"/v1/api-keys/{owner.key_id}")).status_code == 404


async def test_a_key_cannot_revoke_one_that_may_more(program: Program, owner: Caller) -> None:
    wide = await program.issue(owner)
    narrow = await program.issue(owner, Scope.API_KEYS_MANAGE)
    answer = await narrow.delete(f"/v1/api-keys/{wide.key_id}")
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")
    assert (await wide.get("/v1/whoami")).status_code == 200


async def test_a_preset_gives_what_the_creating_key_has_of_it(program: Program, owner: Caller) -> None:
    full = await owner.make("/v1/api-keys", name="Full", preset="read-write")
    assert full["scopes"] == sorted(PRESETS[Preset.READ_WRITE])
    narrow = await program.issue(owner, Scope.API_KEYS_MANAGE, Scope.ENTITIES_WRITE)
    part = await narrow.make("/v1/api-keys", name="Part", preset="read-write")
    assert part["scopes"] == ["entities:read", "entities:write"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "body.scopes"),
        ({"scopes": ["entities:read"], "preset": "admin"}, "body.scopes"),
        ({"preset": "admin", "expiresAt": 1_700_000_000_000}, "body.expiresAt"),
        ({"scopes": ["entities:fly"]}, "body.scopes[0]"),
        ({"scopes": []}, "body.scopes"),
        ({"preset": "admin", "name": "   "}, "body.name"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_with_its_place(
    owner: Caller, body: dict[str, Any], place: str
) -> None:
    answer = await owner.post("/v1/api-keys", {"name": "Key"} | body)
    assert answer.status_code == 400
    assert place in {flaw["location"] for flaw in answer.json()["errors"]}
