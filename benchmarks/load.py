"""The load: one process, a number of keep-alive connections, each sending its next request when its answer is complete.

`python -m benchmarks.load` reads a `Load` as JSON from standard input and prints a `Measured`. It is a process of its
own and knows just enough HTTP/1.1, so that it costs little beside what it measures.
"""

import base64
import json
import selectors
import socket
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from time import perf_counter

from benchmarks.percentiles import Latencies, describe_latencies

ANSWER_SECONDS_MAX = 30.0
_RECEIVE_BYTES = 262_144
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """What to send: the whole requests, taken in turn; `warm_seconds` come before the `seconds` that count."""

    port: int
    requests: list[str]
    """Base64, since they are bytes."""
    connections: int
    seconds: float
    warm_seconds: float
    requests_max: int = 10**9


@dataclass(frozen=True)
class Measured:
    """What came of it; `statuses` counts every answer that counted."""

    requests_per_second: float
    latencies: Latencies
    statuses: dict[str, int]
    answers: int
    """All of them, those before the time that counts included."""
    example: str = field(default="")
    """The end of the first answer that was not a success."""


class Connection:
    """A keep-alive connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; True when the answer is complete."""
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionError(f"the server closed a connection; last received: {self.received[:300]!r}")
        self.received += received
        return is_complete(self.received)


def is_complete(answer: bytes) -> bool:
    """Whether these bytes are a whole answer whose length is told by `content-length`."""
    end = answer.find(_HEAD_END)
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise ValueError(f"an answer without content-length: {answer[:300]!r}")
    length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
    return len(answer) >= end + len(_HEAD_END) + length


def run(load: Load) -> Measured:
    """Send the load and measure it.

    Raises:
        TimeoutError: no answer on any connection for `ANSWER_SECONDS_MAX`.
    """
    requests = [base64.b64decode(request) for request in load.requests]
    selector = selectors.DefaultSelector()
    connections = [Connection(load.port) for _ in range(load.connections)]
    number = 0
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(requests[number % len(requests)])
        number += 1
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    example = b""
    answers = 0
    began = perf_counter() + load.warm_seconds
    ends = began + load.seconds
    now = 0.0
    while now < ends and len(seconds) < load.requests_max:
        ready = selector.select(ANSWER_SECONDS_MAX)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS_MAX} s")
        for key, _ in ready:
            connection = key.data
            if not connection.receive():
                continue
            now = perf_counter()
            answers += 1
            if began <= now < ends:
                seconds.append(now - connection.sent_at)
                status = connection.received[9:12].decode("latin-1")
                statuses[status] += 1
                if status[0] != "2" and not example:
                    example = connection.received[-500:]
            connection.send(requests[number % len(requests)])
            number += 1
    passed = min(now, ends) - began
    for connection in connections:
        connection.socket.close()
    latencies = describe_latencies(seconds)
    rate = len(seconds) / passed if passed > 0 else 0.0
    return Measured(rate, latencies, dict(statuses), answers, example.decode("latin-1"))


if __name__ == "__main__":
    json.dump(asdict(run(Load(**json.load(sys.stdin)))), sys.stdout)
