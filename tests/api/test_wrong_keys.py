"""Wrong keys are slowed by the address they come from, and nobody else pays for them."""

import itertools
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from ontology.key_secrets import make_secret
from ontology.wrong_keys import SECONDS, WRONG_KEYS_MAX
from tests.parts import Parts
from tests.program import Caller, Program, running_program

_numbers = itertools.count(1)


@pytest.fixture
def address() -> str:
    """An address of its own for every test."""
    return f"198.51.100.{next(_numbers)}"


async def _try(client: httpx.AsyncClient, key: str, **headers: str) -> httpx.Response:
    return await client.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"} | headers)


def _wrong_keys() -> list[str]:
    """Malformed, of the right form with a wrong checksum, and well made but of nobody."""
    unknown = make_secret("k7m2x9q4ra").text
    return [unknown, unknown[:-1] + ("a" if unknown[-1] != "a" else "b"), "x", "org_abc_key_"]


async def _fill(client: httpx.AsyncClient) -> None:
    keys = itertools.cycle(_wrong_keys())
    for key in itertools.islice(keys, WRONG_KEYS_MAX):
        answer = await _try(client, key)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


async def test_after_ten_wrong_keys_further_ones_wait_five_minutes(api: Program, address: str) -> None:
    async with api.client_at(address) as client:
        await _fill(client)
        for key in _wrong_keys():
            answer = await _try(client, key)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limit_exceeded")
            assert SECONDS - 60 < int(answer.headers["retry-after"]) <= SECONDS


async def test_trying_on_does_not_make_the_wait_longer(api: Program, address: str) -> None:
    async with api.client_at(address) as client:
        await _fill(client)
        await _try(client, "x")
        await api.redis.expire(f"wrong-keys:{address}", 100)
        assert 90 < int((await _try(client, "x")).headers["retry-after"]) <= 100
        await api.redis.delete(f"wrong-keys:{address}")
        assert (await _try(client, "x")).status_code == 401


async def test_a_valid_key_works_on_and_pays_nothing(api: Program, owner: Caller, address: str) -> None:
    used = (await owner.get("/v1/quota")).json()["usage"]["requestsToday"]
    async with api.client_at(address) as client:
        await _fill(client)
        assert (await _try(client, "x")).status_code == 429
        answer = await replace(owner, client=client).get("/v1/quota")
        assert (answer.status_code, answer.json()["usage"]["requestsToday"]) == (200, used + 1)
        assert (await _try(client, "x")).status_code == 429


async def test_a_valid_key_ends_a_row_that_has_not_come_to_ten(api: Program, owner: Caller, address: str) -> None:
    async with api.client_at(address) as client:
        for _ in range(3):
            for _ in range(WRONG_KEYS_MAX - 1):
                assert (await _try(client, "x")).status_code == 401
            assert (await _try(client, owner.key)).status_code == 200
        await _fill(client)
        assert (await _try(client, "x")).status_code == 429


async def test_other_addresses_are_not_slowed(api: Program, address: str) -> None:
    async with api.client_at(address) as client, api.client_at("203.0.113.77") as elsewhere:
        await _fill(client)
        assert (await _try(client, "x")).status_code == 429
        assert (await _try(elsewhere, "x")).status_code == 401


async def test_forwarding_headers_change_nothing(api: Program, address: str) -> None:
    async with api.client_at(address) as client:
        names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP")
        for number in range(WRONG_KEYS_MAX):
            forged = dict.fromkeys(names, f"192.0.2.{number}")
            assert (await _try(client, "x", **forged)).status_code == 401
        assert (await _try(client, "x", **dict.fromkeys(names, "192.0.2.99"))).status_code == 429
    async with api.client_at("192.0.2.99") as client:
        assert (await _try(client, "x")).status_code == 401


async def test_ipv6_addresses_count_by_their_network(api: Program) -> None:
    for number in range(WRONG_KEYS_MAX):
        async with api.client_at(f"2001:db8:1:2::{number:x}") as client:
            assert (await _try(client, "x")).status_code == 401
    async with api.client_at("2001:db8:1:2:ffff::1") as client:
        assert (await _try(client, "x")).status_code == 429
    async with api.client_at("2001:db8:1:3::1") as client:
        assert (await _try(client, "x")).status_code == 401


async def test_an_ipv4_address_written_as_ipv6_is_the_same(api: Program, address: str) -> None:
    async with api.client_at(address) as client:
        await _fill(client)
    async with api.client_at(f"::ffff:{address}") as client:
        assert (await _try(client, "x")).status_code == 429


async def test_revoked_keys_are_slowed_too_and_missing_ones_are_not(api: Program, owner: Caller, address: str) -> None:
    revoked = await api.issue(owner)
    await owner.delete(f"/v1/api-keys/{revoked.key_id}")
    async with api.client_at(address) as client:
        for _ in range(WRONG_KEYS_MAX + 5):
            assert (await client.get("/v1/whoami")).status_code == 401
        for _ in range(WRONG_KEYS_MAX):
            assert (await _try(client, revoked.key)).status_code == 401
        assert (await _try(client, revoked.key)).status_code == 429


async def test_behind_a_trusted_network_the_nearest_stranger_counts(parts: Parts, tmp_path: Path) -> None:
    with parts.new_database() as database:
        settings = parts.settings(database, tmp_path, TRUSTED_PROXIES="10.1.0.0/16, 127.0.0.1")
        async with running_program(settings) as program, program.client_at("10.1.2.3") as proxy:
            for number in range(WRONG_KEYS_MAX):
                hops = f"192.0.2.{number}, 198.51.100.250, 10.1.9.9"
                assert (await _try(proxy, "x", **{"X-Forwarded-For": hops})).status_code == 401
            again = {"X-Forwarded-For": "192.0.2.200, 198.51.100.250"}
            assert (await _try(proxy, "x", **again)).status_code == 429
            other = {"X-Forwarded-For": "198.51.100.250, 198.51.100.251"}
            assert (await _try(proxy, "x", **other)).status_code == 401
