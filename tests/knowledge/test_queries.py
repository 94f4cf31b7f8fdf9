"""What becomes of a query before it is looked up."""

import json

import pytest

from knowledge.queries import read_query, route_name
from knowledge.words import path_words, split_identifiers

TRACE = """Traceback (most recent call last):
  File "/srv/app/main.py", line 12, in <module>
    create()
httpx.HTTPStatusError: Client error '403 Forbidden' for url 'http://127.0.0.1:8000/v1/entities'
"""


def test_prose_is_left_alone() -> None:
    query = read_query("How do I give each customer a sub-group?")
    assert query.texts == ("How do I give each customer a sub-group?",)


def test_a_trace_is_cleaned_and_its_message_embedded_beside_it() -> None:
    query = read_query(TRACE)
    assert query.texts[0].startswith("Client error '403 Forbidden'")
    assert all("main.py" not in text and "127.0.0.1" not in text for text in query.texts)


def test_where_an_error_happened_is_taken_from_what_happened() -> None:
    assert read_query("src/app/module.py:108:0: Abstract class instantiated").texts == ("Abstract class instantiated",)
    pasted = "1 validation error for Model\na.0.b\n  Input should be a valid list [input_value='{}', input_type=dict]"
    query = read_query(pasted)
    assert query.texts == ("Input should be a valid list",)
    assert query.names == ()


def test_a_problem_document_gives_its_message_and_code() -> None:
    problem = {
        "title": "The key has expired",
        "detail": "Create a new one.",
        "code": "expired_api_key",
        "requestId": "req_01jd8kq3v5e9ra7t2m4xw6yz0c",
    }
    query = read_query(json.dumps(problem))
    assert query.texts[0] == "The key has expired Create a new one."
    assert "expired_api_key" in query.names
    assert "req_01jd8kq3v5e9ra7t2m4xw6yz0c" not in query.words


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("invalid_api_key", "invalid_api_key"),
        ("conflict", "conflict"),
        ("what does createEntity do", "createentity"),
        ("GET /v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c", "GET /v1/entities/{}"),
        ("post /v1/groups", "POST /v1/groups"),
        ("curl http://localhost:8000/v1/groups/{groupId}/children?limit=3", "/v1/groups/{}/children"),
    ],
)
def test_identifiers_are_taken_out_for_exact_lookup(typed: str, name: str) -> None:
    assert name in read_query(typed).names


def test_a_route_with_a_method_means_that_method_only() -> None:
    assert "/v1/entities" not in read_query("POST /v1/entities").names


def test_a_plain_word_inside_a_sentence_is_no_name() -> None:
    assert read_query("how do I resolve a conflict").names == ()


def test_parameters_in_routes_lose_their_names() -> None:
    assert route_name("get", "/v1/entities/{entityId}") == "GET /v1/entities/{}"


def test_identifiers_are_split_and_kept() -> None:
    assert split_identifiers("createEntity") == "createEntity create Entity"
    assert split_identifiers("invalid_api_key").endswith(" invalidapikey")
    assert path_words("/v1/api-keys/{keyId}") == "api keys by key id"
    assert path_words("/api/v3/CountryInfo/{countryCode}") == "country info by country code"


@pytest.mark.parametrize(
    "typed", ["{" * 20_000, "a_" * 10_000, "/" * 20_000, "\n" * 20_000, "at (" * 5_000, "aA" * 10_000, "\x00\ud800"]
)
def test_hostile_queries_are_read_quickly(typed: str) -> None:
    read_query(typed)
