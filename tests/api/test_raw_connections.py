"""Connections as strangers use them: many requests in one, half of one, two in the clothes of one, and noise.

Whatever comes, each request is answered at most once, with no 5xx; what is doubtful ends the connection, so that
nothing behind it is taken for a request; and the server goes on serving.
"""

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.wire import ANSWER_SECONDS, Wire

GOOD = b'{"type":"course","name":"Botany"}'
JSON = b"Content-Type: application/json"
LAST = b"Connection: close\r\n"
MUTANTS = 600


@pytest.fixture(autouse=True)
def serving(wire: Wire) -> Iterator[None]:
    """Afterwards the server answers as ever."""
    yield
    assert wire.send(wire.get()).status == 200


def _entities(wire: Wire, text: str) -> list[str]:
    answer = wire.send(wire.get(b"/v1/entities?q=" + text.encode()))
    return [row["name"] for row in json.loads(answer.body)["data"]]


def test_requests_sent_at_once_are_answered_in_their_order(wire: Wire) -> None:
    targets = [b"/v1/whoami", b"/v1/entities?limit=1", b"/v1/nothing", b"/v1/quota"] * 20
    codes = {b"/v1/nothing": 404}
    sent = b"".join(wire.get(target) for target in targets) + wire.get(extra=LAST)
    heard = wire.exchange(sent)
    assert heard.statuses == [codes.get(target, 200) for target in targets] + [200]
    assert heard.ended
    assert (
        len({answer.head.lower().partition(b"x-request-id: ")[2][:28] for answer in heard.answers}) == len(targets) + 1
    )


def test_what_stands_behind_a_refused_request_is_no_request(wire: Wire) -> None:
    bad = wire.get().replace(b"Host: localhost", b"Host : localhost")
    assert wire.exchange(wire.get() + bad + wire.get()).statuses == [200, 400]
    assert wire.exchange(wire.get() + bad + wire.get()).ended


def _smuggled(wire: Wire, name: str) -> bytes:
    """A whole request, to be hidden in another."""
    body = json.dumps({"type": "course", "name": name}).encode()
    return wire.post(body, LAST.strip())


AMBIGUOUS = {
    "chunks and a length of nothing": b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    "chunks and a length": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "length after chunks": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5",
    "a list of lengths": b"Content-Length: 0, 5",
    "a length with a sign": b"Content-Length: +0",
    "a length in hexadecimal": b"Content-Length: 0x0",
    "a length with a blank": b"Content-Length: 0 0",
    "a length and no digit": b"Content-Length: ",
    "a length below zero": b"Content-Length: -5",
    "a space before the colon": b"Transfer-Encoding : chunked",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked",
    "a coding nobody knows": b"Transfer-Encoding: xchunked",
    "a coding after chunks": b"Transfer-Encoding: chunked, identity",
    "a second coding": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "chunks twice": b"Transfer-Encoding: chunked, chunked",
    "a parameter of chunks": b"Transfer-Encoding: chunked;q=1",
    "quoted chunks": b'Transfer-Encoding: "chunked"',
    "a folded coding": b"Transfer-Encoding:\r\n chunked",
    "a coding behind a bare return": b"X: x\rTransfer-Encoding: chunked",
    "a coding behind a NUL": b"X: x\x00Transfer-Encoding: chunked",
    "a coding in an old version": b"Transfer-Encoding: chunked",
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_a_body_whose_length_is_doubtful_hides_no_second_request(wire: Wire, kind: str) -> None:
    """Where a proxy in front may see one request, the server sees no two: it answers once and ends the connection."""
    name = f"smuggled{sorted(AMBIGUOUS).index(kind):03}"
    outer = wire.head(JSON, AMBIGUOUS[kind])
    if "old version" in kind:
        outer = outer.replace(b"HTTP/1.1", b"HTTP/1.0")
    heard = wire.exchange(outer + b"\r\n0\r\n\r\n" + _smuggled(wire, name))
    assert len(heard.answers) <= 1
    assert all(answer.status < 500 for answer in heard.answers)
    assert heard.ended
    assert _entities(wire, name) == []


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"HEAD", b"OPTIONS"])
def test_a_body_where_none_belongs_is_read_as_a_body(wire: Wire, method: bytes) -> None:
    hidden = _smuggled(wire, "hidden")
    heard = wire.exchange(wire.get(extra=b"Content-Length: %d\r\n" % len(hidden), method=method) + hidden)
    assert len(heard.answers) == 1
    assert heard.statuses[0] < 500
    assert _entities(wire, "hidden") == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"21;name=value\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"021\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"21\r\n" + GOOD + b"\r\n0\r\nX-Trailer: a\r\n\r\n",
        b"10\r\n" + GOOD[:16] + b"\r\n11\r\n" + GOOD[16:] + b"\r\n0\r\n\r\n",
    ],
    ids=["extension", "leading zero", "trailer", "two"],
)
def test_chunks_as_the_standard_has_them_are_taken(wire: Wire, chunks: bytes) -> None:
    heard = wire.exchange(wire.chunked(chunks, LAST.strip()))
    assert heard.statuses == [201]


@pytest.mark.parametrize(
    "chunks",
    [
        b"21\n" + GOOD + b"\n0\n\n",
        b"21 \r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"0x21\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"21\r\n" + GOOD + b"0\r\n\r\n",
        b"20\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"21;" + b"a" * 100_000 + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"21;a\nb\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"21\r\n" + GOOD + b"\r\n0\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"21\r\n" + GOOD + b"\r\n0\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
        b"10000000000000021\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"\x00\r\n\r\n",
    ],
    ids=range(11),
)
def test_chunks_that_are_nearly_right_are_one_request_or_none(wire: Wire, chunks: bytes) -> None:
    heard = wire.exchange(wire.chunked(chunks) + _smuggled(wire, "behind"), end=True)
    assert heard.ended
    assert all(answer.status < 500 for answer in heard.answers)
    assert len(heard.answers) <= 1 or (heard.statuses == [201, 201] and chunks.startswith(b"21 "))


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        (b"http://elsewhere.example/v1/whoami", {200, 400}),
        (b"https://localhost/v1/whoami", {200, 400}),
        (b"HTTP://[::1]:80/v1/whoami", {200, 400}),
        (b"http://user:word@localhost/v1/whoami", {200, 400}),
        (b"http:///v1/whoami", {0, 400, 404}),
        (b"http://localhost", {200, 301, 302, 303, 307, 400, 404}),
        (b"ftp://localhost/v1/whoami", {200, 400, 404}),
        (b"localhost:80", {0, 400, 404}),
        (b"v1/whoami", {0, 400, 404}),
        (b"*", {0, 400, 404}),
        (b"//v1/whoami", {200, 400, 404}),
        (b"//elsewhere.example/v1/whoami", {400, 404}),
        (b"/v1/whoami#part", {0, 200, 400, 404}),
        (b"/v1//whoami", {200, 400, 404}),
        (b"/v1/whoami/", {200, 400, 404}),
        (b"/%76%31/whoami", {200, 400, 404}),
        (b"?limit=1", {0, 400, 404}),
        (b"/v1/entities/\xff\xfe", {0, 400, 404}),
        (b"/v1/entities/\xc3\x28", {0, 400, 404}),
        (b"/v1/entities?q=\xf0\x28\x8c\x28", {0, 400}),
        (b"/v1/entities?q=%C0%AF", {400}),
        (b"/v1/entities?q=%F4%90%80%80", {400}),
    ],
)
def test_targets_of_every_form_are_answered_or_refused(wire: Wire, target: bytes, statuses: set[int]) -> None:
    answer = wire.send(wire.get(target, LAST))
    assert answer.status in statuses
    assert b"elsewhere" not in answer.head + answer.body
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/whoami\r\n",
        b"GET /v1/whoami\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n" * 10_000,
        b"\x00" * 1_000,
        b"GET / HTTP/0.9\r\n\r\n",
    ],
)
def test_what_is_no_request_of_this_protocol_ends_the_connection(wire: Wire, request_bytes: bytes) -> None:
    heard = wire.exchange(request_bytes, end=True)
    assert heard.ended
    assert set(heard.statuses) <= {400}


def test_an_old_client_is_answered_and_let_go(wire: Wire) -> None:
    heard = wire.exchange(wire.get(b"/v1/quota").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (heard.statuses, heard.ended) == ([200], True)
    nameless = b"GET /v1/quota HTTP/1.0\r\n" + wire.authorization + b"\r\n"
    heard = wire.exchange(nameless)
    assert heard.ended
    assert len(heard.answers) == 1
    assert heard.statuses[0] in (200, 400)


def test_another_protocol_offered_is_not_taken_up(wire: Wire) -> None:
    upgrades = (b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"websocket\r\nSec-WebSocket-Version: 13", b"TLS/1.0")
    for upgrade in upgrades:
        extra = b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
        answer = wire.send(wire.get(extra=extra))
        assert answer.status != 101
        assert answer.status < 500


def test_a_body_that_trickles_in_is_waited_for(wire: Wire) -> None:
    head = wire.head(JSON, LAST.strip(), b"Content-Length: %d" % len(GOOD)) + b"\r\n"
    pieces = [GOOD[start : start + 4] for start in range(0, len(GOOD), 4)]
    assert wire.exchange(head, *pieces, pause_seconds=0.1).statuses == [201]


def test_a_head_that_trickles_in_is_waited_for(wire: Wire) -> None:
    request = wire.get(extra=LAST)
    pieces = [request[start : start + 20] for start in range(0, len(request), 20)]
    assert wire.exchange(*pieces, pause_seconds=0.05).statuses == [200]


def test_halves_of_requests_hold_up_nobody(wire: Wire) -> None:
    """Two hundred connections with half a head or half a body, open while others are served."""
    whole = wire.post(GOOD)
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(wire.connection())
            connection.sendall(whole[: len(whole) * (number % 9 + 1) // 10])
        began = monotonic()
        statuses = {wire.send(wire.get()).status for _ in range(50)}
        served_in = monotonic() - began
    assert statuses == {200}
    assert served_in < 50 * ANSWER_SECONDS / 10


def test_who_hangs_up_before_the_answer_disturbs_nobody(wire: Wire) -> None:
    before = len(_entities(wire, "Botany"))
    for number in range(100):
        wire.send_and_vanish((wire.get(b"/v1/events?limit=1000"), wire.post(GOOD))[number % 2])
    assert wire.send(wire.get()).status == 200
    assert len(_entities(wire, "Botany")) >= before


def _mutate(request: bytes, chance: random.Random) -> bytes:
    """One to four small changes anywhere."""
    changed = bytearray(request)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        length = chance.choice((1, 1, 2, 5, 40))
        match chance.randrange(6):
            case 0:
                del changed[place : place + length]
            case 1:
                changed[place:place] = chance.randbytes(length)
            case 2:
                changed[place : place + 1] = chance.choice(
                    (b"\x00", b"\r", b"\n", b"\xff", b" ", b":", b"\t", b"%", b'"')
                )
            case 3:
                changed[place:place] = changed[place : place + length] * chance.randint(1, 30)
            case 4:
                changed[place:] = changed[place + length :] + changed[place : place + length]
            case _:
                del changed[place:]
    return bytes(changed)


@pytest.mark.timeout(300)
def test_noise_is_answered_or_ends_the_connection(wire: Wire) -> None:
    """Good requests with bytes changed, lost, doubled and moved; the same ones every time."""
    chance = random.Random(20_261_127)
    chunks = b"21\r\n" + GOOD + b"\r\n0\r\n\r\n"
    patterns = [
        wire.get(),
        wire.get(b"/v1/entities?limit=2&q=a%20b"),
        wire.post(GOOD),
        wire.chunked(chunks),
        wire.get() * 2,
    ]
    told: dict[int, int] = {}
    for _ in range(MUTANTS):
        request = _mutate(chance.choice(patterns), chance)
        heard = wire.exchange(request, end=True)
        assert heard.ended, request
        for answer in heard.answers:
            assert 200 <= answer.status < 500, request
            assert b"Traceback" not in answer.body
            told[answer.status] = told.get(answer.status, 0) + 1
    assert told.keys() >= {200, 400, 401}, "the changes are too great or too small to be worth sending"
