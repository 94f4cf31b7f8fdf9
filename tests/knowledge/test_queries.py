"""What becomes of a query before it is looked up."""

import json

import pytest

from knowledge.queries import CLEANED_CHARACTERS_MAX, NAMES_MAX, read_query, route_name
from knowledge.words import count_words, path_words, split_identifiers
from tests.growth import is_linear

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
    assert split_identifiers("返品は 21日") == "返品は 21日 返品 品は"
    assert count_words("two words") == 2 and count_words("返品できます") == 1 + 3
    assert path_words("/v1/api-keys/{keyId}") == "api keys by key id"
    assert path_words("/api/v3/CountryInfo/{countryCode}") == "country info by country code"


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "a_",
        "/",
        "\n",
        "at (",
        "aA",
        "[a=",
        "\\a",
        "a.b:1 ",
        'File "',
        "1 validation error for ",
        "http://",
        '{"a":',
    ],
)
def test_reading_takes_as_long_as_the_query_and_no_longer(piece: str) -> None:
    assert is_linear(lambda length: read_query(piece * (length // len(piece))), length=1_000)


@pytest.mark.parametrize("typed", ["{" * 20_000, "a_" * 10_000, "at (" * 5_000, "\x00\ud800", "\n" * 20_000])
def test_no_query_becomes_longer_than_what_is_embedded(typed: str) -> None:
    query = read_query(typed)
    assert all(len(text) <= max(CLEANED_CHARACTERS_MAX, len(typed)) for text in query.texts)
    assert len(query.names) <= NAMES_MAX
    assert "\ud800" not in "".join((*query.texts, query.words, *query.names))


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("could not open /srv/app/main.py:12 for reading\n", "could not open for reading"),
        ("broken: C:\\srv\\app\\main.py is gone\n", "broken: is gone"),
        ("see src/app/main.py there\n", "see src there"),
        ("no file in /srv/app/main here\n", "no file in /srv/app/main here"),
        ("must be a list [type=list_type, input=3]\n", "must be a list"),
        ("keeps [this] and (that)\n", "keeps this and (that)"),
    ],
)
def test_places_are_taken_out_of_what_is_pasted(typed: str, left: str) -> None:
    assert read_query(f"oops\n{typed}").texts[-1] == f"oops {left}"
