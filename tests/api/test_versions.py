"""A caller can hold on to a version, and hears in good time when an operation ends."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from api import routes
from api.openapi import build_document
from api.operations import Call, NoBody, find_operations, operation
from api.parameters import NoQuery
from api.versions import VERSIONS, Deprecation
from ontology.settings import Settings
from tests.program import Caller, Program, running_program


@operation(
    "GET",
    "/v1/old-way",
    id="oldWay",
    tag="Organisation",
    scope=None,
    deprecated=Deprecation(date(2026, 11, 1), date(2027, 11, 1), successor="whoami"),
    answer_example={},
)
async def old_way(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Do it the old way."""
    return {}


@pytest.fixture
async def program(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Program]:
    """The program with one operation that is on its way out."""
    monkeypatch.setattr(routes, "operation_handlers", [*routes.operation_handlers, old_way])
    async with running_program(settings) as program:
        yield program


@pytest.mark.parametrize("version", [None, *VERSIONS])
async def test_every_answer_names_the_version_that_made_it(owner: Caller, version: str | None) -> None:
    headers = {"API-Version": version} if version else {}
    for path in ("/v1/whoami", "/v1/entities?limit=0", "/v1/nowhere"):
        assert (await owner.get(path, headers=headers)).headers["api-version"] == (version or VERSIONS[0])


@pytest.mark.parametrize("version", ["2020-01-01", "latest", "", "2026-13-45"])
async def test_an_unknown_version_is_refused_with_those_there_are(owner: Caller, version: str) -> None:
    answer = await owner.get("/v1/whoami", headers={"API-Version": version})
    (flaw,) = answer.json()["errors"]
    assert (answer.status_code, flaw["location"]) == (400, "header.API-Version")
    assert VERSIONS[0] in flaw["fix"]


async def test_pages_have_no_version(owner: Caller) -> None:
    assert "api-version" not in (await owner.get("/health/live")).headers


async def test_a_deprecated_operation_says_so_in_every_answer(program: Program) -> None:
    caller = await program.register()
    refused = await program.client.get("/v1/old-way")
    for answer in (await caller.get("/v1/old-way"), refused):
        since = int(answer.headers["deprecation"].removeprefix("@"))
        assert datetime.fromtimestamp(since, UTC) == datetime(2026, 11, 1, tzinfo=UTC)
        assert parsedate_to_datetime(answer.headers["sunset"]) == datetime(2027, 11, 1, tzinfo=UTC)
        assert '/docs/guides/versioning>; rel="deprecation"' in answer.headers["link"]
        assert '/reference/whoami>; rel="successor-version"' in answer.headers["link"]
    assert not {"deprecation", "sunset"} & set((await caller.get("/v1/whoami")).headers)


def test_a_deprecated_operation_is_marked_in_the_document() -> None:
    document = build_document(find_operations([*routes.operation_handlers, old_way]), public_url="http://one.test")
    about = document["paths"]["/v1/old-way"]["get"]
    assert (about["deprecated"], about["x-sunset"]) == (True, "2027-11-01")
    assert "Use `whoami` instead." in about["description"]
    assert {"Deprecation", "Sunset", "API-Version"} <= set(about["responses"]["200"]["headers"])
