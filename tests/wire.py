"""Plain sockets to the running program: bytes are sent as they are, and answers read as they come."""

import json
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from tests.parts import RunningPortal

ANSWER_SECONDS = 5.0
PROBLEM = {"type", "title", "status", "detail", "code", "requestId", "errors", "troubleshoot"}


@dataclass(frozen=True)
class Answer:
    """One answer, or the end of the connection (`status` 0)."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    @property
    def problem(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert document.keys() - {"next"} == PROBLEM
        assert document["status"] == self.status
        return document

    def places(self) -> set[str]:
        return {flaw["location"] for flaw in self.problem["errors"]}


@dataclass(frozen=True)
class Exchange:
    """What one connection brought, in order."""

    answers: list[Answer]
    ended: bool

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


class Wire:
    """Builds requests with a valid key and sends bytes as they are."""

    def __init__(self, portal: RunningPortal, key: str) -> None:
        _, _, port = portal.base_url.rpartition(":")
        self._address = ("127.0.0.1", int(port))
        self.authorization = b"Authorization: Bearer " + key.encode() + b"\r\n"
        self.host = b"Host: localhost\r\n"

    def get(self, target: bytes = b"/v1/whoami", extra: bytes = b"", method: bytes = b"GET") -> bytes:
        return method + b" " + target + b" HTTP/1.1\r\n" + self.host + self.authorization + extra + b"\r\n"

    def head(self, *lines: bytes) -> bytes:
        """The head of a POST that creates an entity, without a length."""
        own = self.host + self.authorization + b"".join(line + b"\r\n" for line in lines)
        return b"POST /v1/entities HTTP/1.1\r\n" + own

    def post(self, body: bytes, *lines: bytes, media_type: bytes = b"application/json") -> bytes:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        return self.head(b"Content-Type: " + media_type, *lines) + length + body

    def chunked(self, chunks: bytes, *lines: bytes) -> bytes:
        own = self.head(b"Content-Type: application/json", *lines, b"Transfer-Encoding: chunked")
        return own + b"\r\n" + chunks

    def send(self, request: bytes, *, end: bool = False, seconds: float = ANSWER_SECONDS) -> Answer:
        """The first answer; with `end`, our side of the connection is closed after sending."""
        headless = request.startswith(b"HEAD ")
        began = monotonic()
        with socket.create_connection(self._address, timeout=seconds) as connection:
            received = b""
            try:
                connection.sendall(request)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before all of it was read; the answer is there to be read
            while not _is_complete(received, headless=headless):
                try:
                    piece = connection.recv(65_536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                received += piece
        return _read_answer(received, monotonic() - began)

    def send_and_count(self, request: bytes, seconds: float = 1.0) -> int:
        """How many answers a request gets."""
        received = b""
        with socket.create_connection(self._address, timeout=ANSWER_SECONDS) as connection:
            connection.sendall(request)
            while True:
                try:
                    piece = connection.recv(65_536)
                except TimeoutError:
                    break
                if not piece:
                    break
                received += piece
                connection.settimeout(seconds)
        return received.count(b"HTTP/1.")

    def exchange(
        self, *pieces: bytes, pause_seconds: float = 0, end: bool = False, quiet_seconds: float = 1
    ) -> "Exchange":
        """Every answer to what is sent piece by piece, and whether the server ended the connection by itself.

        It is given `quiet_seconds` to do so after its last word, and `ANSWER_SECONDS` to say the first.
        """
        received, ended = b"", False
        with self.connection() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    sleep(pause_seconds)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                ended = True
            while True:
                try:
                    piece = connection.recv(65_536)
                except TimeoutError:
                    break
                except ConnectionResetError:
                    piece = b""
                if not piece:
                    ended = True
                    break
                received += piece
                connection.settimeout(quiet_seconds)
        return Exchange(_read_answers(received), ended)

    @contextmanager
    def connection(self) -> Generator[socket.socket]:
        """Open, for the length of the block."""
        with socket.create_connection(self._address, timeout=ANSWER_SECONDS) as connection:
            yield connection

    def send_and_vanish(self, request: bytes) -> None:
        """Reset the connection as soon as the request is sent."""
        with self.connection() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request)


def _read_answers(received: bytes) -> list[Answer]:
    answers: list[Answer] = []
    while received:
        head, found, body = received.partition(b"\r\n\r\n")
        assert found and head.startswith(b"HTTP/1."), received[:200]
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        answers.append(_read_answer(head + found + body[:length], 0))
        received = body[length:]
    return answers


def _is_complete(received: bytes, *, headless: bool) -> bool:
    """An answer to HEAD tells the length of a body that does not follow."""
    head, found, body = received.partition(b"\r\n\r\n")
    if not found or headless:
        return bool(found)
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])


def _read_answer(received: bytes, seconds: float) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
    return Answer(status, head, body, seconds)
