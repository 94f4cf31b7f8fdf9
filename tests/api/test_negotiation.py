"""Callers that take no JSON are told so; everybody else gets it, however they ask."""

import pytest

from api.negotiation import accepts
from tests.program import Caller


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/csv, application/*;q=0.1", True),
        ("application/json;q=often", True),
        ("text/csv", False),
        ("text/*", False),
        ("application/json;q=0, */*", False),
        ("*/*;q=0", False),
        ("json", False),
    ],
)
def test_the_most_specific_range_decides(header: str | None, taken: bool) -> None:
    assert accepts(header, "application/json") is taken


async def test_a_caller_that_takes_no_json_is_told_the_place(owner: Caller) -> None:
    answer = await owner.get("/v1/whoami", headers={"Accept": "text/csv"})
    assert answer.status_code == 406
    assert answer.json()["code"] == "not_acceptable"
    assert [flaw["location"] for flaw in answer.json()["errors"]] == ["header.Accept"]
