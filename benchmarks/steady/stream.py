"""The stream: requests leave by the clock, whether or not earlier ones were answered.

`python -m benchmarks.steady.stream` reads a `Stream` as JSON from standard input and prints a `Streamed`. An answer's
time counts from the moment its request was due, so that a server which stops for a while is not spared.
"""

import base64
import json
import selectors
import sys
from collections import Counter, deque
from dataclasses import asdict, dataclass
from time import perf_counter

from benchmarks.load import ANSWER_SECONDS_MAX, Connection
from benchmarks.percentiles import Latencies, describe_latencies


@dataclass(frozen=True)
class Stream:
    """What to send: the whole requests in Base64, taken in turn."""

    port: int
    requests: list[str]
    requests_per_second: float
    seconds: float
    connections: int


@dataclass(frozen=True)
class Streamed:
    """What came of it; `latest_ms` is by how much a request left late because no connection was free, at most."""

    answers: int
    statuses: dict[str, int]
    latencies: Latencies
    latest_ms: float


def run(stream: Stream) -> Streamed:
    """Send the stream and wait for its last answer.

    Raises:
        TimeoutError: no answer on any connection for `ANSWER_SECONDS_MAX`.
    """
    requests = [base64.b64decode(request) for request in stream.requests]
    selector = selectors.DefaultSelector()
    # In turn, so that none is idle for long enough to be closed.
    free = deque(Connection(stream.port) for _ in range(stream.connections))
    for connection in free:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    due_at: dict[Connection, float] = {}
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    latest = 0.0
    count = int(stream.requests_per_second * stream.seconds)
    sent = 0
    began = perf_counter()
    while sent < count or due_at:
        due = began + sent / stream.requests_per_second
        while sent < count and free and due <= (now := perf_counter()):
            connection = free.popleft()
            due_at[connection] = due
            latest = max(latest, now - due)
            connection.send(requests[sent % len(requests)])
            sent += 1
            due = began + sent / stream.requests_per_second
        waits = max(0.0, due - perf_counter()) if sent < count and free else ANSWER_SECONDS_MAX
        ready = selector.select(waits)
        if not ready and waits == ANSWER_SECONDS_MAX:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS_MAX} s")
        for key, _ in ready:
            connection = key.data
            if connection.receive():
                seconds.append(perf_counter() - due_at.pop(connection))
                statuses[connection.received[9:12].decode("latin-1")] += 1
                free.append(connection)
    return Streamed(len(seconds), dict(statuses), describe_latencies(seconds), round(latest * 1000, 1))


if __name__ == "__main__":
    json.dump(asdict(run(Stream(**json.load(sys.stdin)))), sys.stdout)
