"""The clients, in a process of their own: keep-alive connections that ask with the keys in turn.

`python -m benchmarks.limits.clients` reads an `Order` as JSON from standard input and writes an `Asked` as JSON.
"""

import base64
import json
import selectors
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import time

from benchmarks.load import ANSWER_SECONDS_MAX, Connection

_DEGRADED = b"ratelimit-mode"


@dataclass(frozen=True)
class Order:
    """So many requests, over so many connections; `requests` are Base64, one for each key."""

    port: int
    requests: Sequence[str]
    connections: int
    decisions: int


@dataclass
class Asked:
    """What was decided, for each key by its place in the order; moments in microseconds since 1970."""

    admitted: list[int]
    refused: list[list[tuple[int, int]]]
    """When each refused request was sent and answered."""

    others: dict[str, int] = field(default_factory=dict[str, int])
    """Answers that are neither, and those that the limiter of the database did not give."""


def ask(order: Order) -> Asked:
    requests = [base64.b64decode(request) for request in order.requests]
    asked = Asked([0] * len(requests), [[] for _ in requests])
    selector = selectors.DefaultSelector()
    sent: dict[Connection, tuple[int, int]] = {}
    number = 0
    for _ in range(order.connections):
        connection = Connection(order.port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        sent[connection] = (number % len(requests), _now())
        connection.send(requests[number % len(requests)])
        number += 1
    while sent:
        ready = selector.select(ANSWER_SECONDS_MAX)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS_MAX} s")
        for selected, _ in ready:
            connection: Connection = selected.data
            if not connection.receive():
                continue
            key, at = sent.pop(connection)
            _note(asked, key, at, connection.received)
            if number < order.decisions:
                sent[connection] = (number % len(requests), _now())
                connection.send(requests[number % len(requests)])
                number += 1
    return asked


def _note(asked: Asked, key: int, at: int, answer: bytes) -> None:
    status = answer[9:12]
    if status == b"200":
        asked.admitted[key] += 1
    elif status == b"429":
        asked.refused[key].append((at, _now()))
    if status not in (b"200", b"429") or _DEGRADED in answer:
        name = status.decode("latin-1") + (" degraded" if _DEGRADED in answer else "")
        asked.others[name] = asked.others.get(name, 0) + 1


def _now() -> int:
    return int(time() * 1_000_000)


if __name__ == "__main__":
    json.dump(asdict(ask(Order(**json.load(sys.stdin)))), sys.stdout)
