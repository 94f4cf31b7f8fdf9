"""Malformed HTTP over plain sockets: one answer for each request, never a 5xx, never a hang, never a trace.

Answers of the program are problem documents; what the HTTP server itself refuses, before the program sees it, is an
empty 400, 414 or 431 that ends the connection.
"""

import gzip
import json

import pytest

from tests.wire import ANSWER_SECONDS, Wire

# The program waits this long for the rest of a head or a body, and the answer has to follow at once.
PATIENCE_SECONDS = {"head": 10.0, "body": 8.0, "continue": 8.0}
GOOD = b'{"type":"course","name":"Botany"}'


def wrapped(depth: int) -> bytes:
    return b'{"type":"course","name":"x","properties":' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)


def with_property(value: bytes) -> bytes:
    return b'{"type":"course","name":"x","properties":{"a":' + value + b"}}"


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b"Host: localhost\r\nHost: elsewhere", "header.Host"),
        (b"Host:", "header.Host"),
        (b"X-Nothing: 1", "header.Host"),
    ],
    ids=["two", "empty", "none"],
)
def test_host_must_stand_exactly_once(wire: Wire, line: bytes, place: str) -> None:
    answer = wire.send(b"GET /v1/whoami HTTP/1.1\r\n" + line + b"\r\n" + wire.authorization + b"\r\n")
    assert (answer.status, answer.places()) == (400, {place})


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/v1/entities/%00", 400),
        (b"/v1/entities/%FF", 400),
        (b"/v1/entities/%zz", 400),
        (b"/v1/entities/%", 400),
        (b"/v1/entities?q=%00", 400),
        (b"/v1/entities?q=%FF", 400),
        (b"/v1/entities?%FF=a", 400),
        (b"/v1/entities?q=%ED%A0%80", 400),
        (b"/v1/entities?q=a&q=b", 400),
        (b"/v1/entities?limit=1&limit=1", 400),
        (b"/v1/entities?&&=&limit", 400),
        (b"/v1/entities?" + b"&".join(b"a%d=1" % number for number in range(200)), 400),
        (b"/v1/entities/..%2f..%2fetc", 404),
        (b"/v1/../v1/whoami", 404),
        (b"/v1/whoami;a=b", 404),
        (b"/v1\\whoami", 404),
        (b"/v1/entities?q=" + b"a" * 9_000, 414),
        (b"/" + b"a" * 9_000, 414),
    ],
)
def test_an_address_that_means_nothing_is_refused_with_a_problem(wire: Wire, target: bytes, status: int) -> None:
    answer = wire.send(wire.get(target))
    assert answer.status == status
    assert answer.problem["requestId"].encode() in answer.head


@pytest.mark.parametrize(("method", "target"), [(b"OPTIONS", b"*"), (b"CONNECT", b"example.com:80")])
def test_targets_that_are_no_path_are_refused(wire: Wire, method: bytes, target: bytes) -> None:
    assert wire.send(wire.get(target, method=method)).problem["code"] == "invalid_request"


def test_an_absolute_address_changes_neither_who_answers_nor_any_link(wire: Wire) -> None:
    answer = wire.send(wire.get(b"http://elsewhere.example/v1/entities?nothing=1"))
    assert answer.status == 400
    assert b"elsewhere" not in answer.head + answer.body


@pytest.mark.parametrize("method", [b"TRACE", b"BREW", b"A" * 5_000, b"get"])
def test_other_methods_are_told_which_there_are(wire: Wire, method: bytes) -> None:
    answer = wire.send(wire.get(method=method))
    assert answer.status == 405
    assert b"\r\nallow: get, head, options\r\n" in answer.head.lower() + b"\r\n"
    assert wire.authorization.strip() not in answer.body


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (b"", "missing_api_key"),
        (b"Authorization: Bearer " + b"a" * 65_536 + b"\r\n", "invalid_api_key"),
        (b"Authorization: Bearer org_\xc3\xa9\xff_key_\r\n", "invalid_api_key"),
        (b"Authorization: Bearer\r\n", "invalid_api_key"),
        (b"Authorization: \r\n", "invalid_api_key"),
        (b"Authorization: Bearer a b\r\n", "invalid_api_key"),
        (b"Authorization: Basic YTpi\r\n", "invalid_api_key"),
        (b"Authorization: Bearer org_aaaa_key_" + b"0" * 49 + b"\r\n", "invalid_api_key"),
        (b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "invalid_request"),
    ],
)
def test_credentials_that_are_none_act_as_nobody(wire: Wire, authorization: bytes, code: str) -> None:
    answer = wire.send(b"GET /v1/whoami HTTP/1.1\r\n" + wire.host + authorization + b"\r\n")
    assert answer.problem["code"] == code
    assert answer.status == (400 if code == "invalid_request" else 401)


def test_two_valid_keys_in_one_request_are_refused(wire: Wire) -> None:
    answer = wire.send(wire.get(extra=wire.authorization))
    assert (answer.status, answer.places()) == (400, {"header.Authorization"})


@pytest.mark.parametrize(
    "extra",
    [
        b"X-A : a\r\n",
        b"X-A: a\r\n folded\r\n",
        b"X A: a\r\n",
        b"X-A: \x00\r\n",
        b"X-A: \x01\r\n",
        b": a\r\n",
        b"nothing\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1000000000000000000000000000000\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"X-A: " + b"a" * 1_000_000 + b"\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(10_000)),
        b"".join(b"X-%d: a\r\n" % number for number in range(99)),
    ],
)
def test_a_malformed_or_huge_head_is_refused(wire: Wire, extra: bytes) -> None:
    answer = wire.send(wire.get(extra=extra))
    assert answer.status in (400, 431)
    assert answer.seconds < ANSWER_SECONDS


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/ent\x00ities HTTP/1.1",
        b"GET /v1/entities/\xff HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /v1/whoami HTTP/9.9",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1",
        b"GET /v1/whoami",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0",
        b"GE\x00T / HTTP/1.1",
    ],
)
def test_a_malformed_request_line_ends_the_connection(wire: Wire, request_line: bytes) -> None:
    answer = wire.send(request_line + b"\r\n" + wire.host + b"\r\n")
    assert answer.status in (0, 400, 414)


def test_bare_line_feeds_and_bare_returns_are_one_request_or_none(wire: Wire) -> None:
    assert wire.send_and_count(wire.get().replace(b"\r\n", b"\n")) == 1
    assert wire.send(wire.get().replace(b"\r\n", b"\r")).status in (0, 400)


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"-1\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n" + GOOD,
        b"%x\r\n" % len(GOOD) + GOOD + b"XX0\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_chunks_that_are_none_are_a_client_error_and_end_the_connection(wire: Wire, chunks: bytes) -> None:
    answer = wire.send(wire.chunked(chunks))
    assert (answer.status, answer.places()) == (400, {"body"})
    assert wire.send_and_count(wire.chunked(chunks) + wire.get()) == 1


@pytest.mark.parametrize("sent", [b"1d\r\n{", b""])
def test_a_body_that_ends_early_creates_nothing(wire: Wire, sent: bytes) -> None:
    answer = wire.send(wire.chunked(sent), end=True)
    assert (answer.status, answer.places()) == (400, {"body"})


def test_a_length_and_chunks_at_once_are_one_request(wire: Wire) -> None:
    """The server takes the chunks, as RFC 9112 asks, and closes: what is smuggled behind is never read."""
    chunks = b"%x\r\n" % len(GOOD) + GOOD + b"\r\n0\r\n\r\n"
    assert wire.send_and_count(wire.chunked(chunks, b"Content-Length: 5") + wire.get()) == 1
    assert wire.send(wire.chunked(chunks, b"Transfer-Encoding: identity")).status == 400


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", PATIENCE_SECONDS)
def test_a_sender_that_stops_is_cut_off(wire: Wire, what: str) -> None:
    """While it is waited for it holds a socket and nothing else."""
    json_head = wire.head(b"Content-Type: application/json", b"Content-Length: 100")
    request = {
        "head": wire.get()[:-2],
        "body": json_head + b"\r\n" + GOOD,
        "continue": json_head + b"Expect: 100-continue\r\n\r\n",
    }[what]
    patience = PATIENCE_SECONDS[what]
    answer = wire.send(request, seconds=patience + ANSWER_SECONDS)
    assert patience - 1 < answer.seconds < patience + ANSWER_SECONDS
    assert answer.status in ((0, 400, 408) if what == "head" else (100, 400))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (gzip.compress(GOOD), b"Content-Encoding: gzip"),
        (GOOD, b"Content-Encoding: br, gzip"),
        (GOOD, b"Content-Encoding: identity\r\nContent-Encoding: gzip"),
    ],
)
def test_compressed_bodies_are_refused(wire: Wire, body: bytes, line: bytes) -> None:
    assert wire.send(wire.post(body, line)).status in (400, 415)


@pytest.mark.parametrize(
    "media_type",
    [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"text/plain", b"*/*", b"", b"\xff"],
)
def test_bodies_of_another_media_type_are_refused(wire: Wire, media_type: bytes) -> None:
    answer = wire.send(wire.post(GOOD, media_type=media_type))
    assert (answer.status, answer.places()) == (415, {"header.Content-Type"})


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        wrapped(100_000),
        wrapped(65),
        with_property(b"9" * 5_000),
        with_property(b"-" + b"9" * 20),
        with_property(b"1e999"),
        with_property(b"NaN"),
        with_property(b"-Infinity"),
        with_property(b'"\\u0000"'),
        with_property(b'"\\ud800"'),
        with_property(b'{"\\ud800":1}'),
        with_property(b'{"\\u0000":1}'),
        b'{"type":"course","name":"\xff"}',
        b'{"type":"course","name":"\xed\xa0\x80"}',
        b'{"type":"course","type":"lesson","name":"x"}',
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD + GOOD,
        b"",
        b"null,",
        b"{'type': 'course'}",
    ],
)
def test_json_that_is_none_is_refused_with_its_place(wire: Wire, body: bytes) -> None:
    answer = wire.send(wire.post(body))
    assert (answer.status, answer.problem["code"]) == (400, "invalid_json")
    assert answer.places() != set()
    assert all(place.startswith("body") for place in answer.places())


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"true", b"[" * 60 + b"]" * 60])
def test_json_that_is_no_object_is_refused_with_its_place(wire: Wire, body: bytes) -> None:
    answer = wire.send(wire.post(body))
    assert (answer.status, answer.problem["code"], answer.places()) == (400, "invalid_request", {"body"})


@pytest.mark.parametrize("megabytes", [2, 11])
def test_a_large_body_is_refused_without_being_read_to_its_end(wire: Wire, megabytes: int) -> None:
    answer = wire.send(wire.post(b'"' + b"a" * (megabytes * 1_000_000) + b'"'))
    assert (answer.status, answer.problem["code"]) == (413, "payload_too_large")


def test_a_large_body_in_chunks_is_refused(wire: Wire) -> None:
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    assert wire.send(wire.chunked(chunk * 40)).status == 413


def test_the_program_still_answers_afterwards(wire: Wire) -> None:
    answer = wire.send(wire.get())
    assert answer.status == 200
    assert json.loads(answer.body)["organisation"]["name"] == "Raw"
