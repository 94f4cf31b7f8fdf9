"""The benchmark measures what it says: whole answers, the right percentiles, no refusals, and both of its files."""

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.__main__ import measure, read_arguments, send
from benchmarks.cases import api_cases, search_requests
from benchmarks.client import run_client
from benchmarks.load import Load, is_complete
from benchmarks.passages import make_documents
from benchmarks.percentiles import percentile
from benchmarks.program import RunningProgram, fill, lift_limits, register, running_floor
from benchmarks.report import Results, describe_conditions, write_results
from benchmarks.turns import Crowd
from portal.installation import assemble_installation
from tests.parts import RunningPortal

REQUEST = base64.b64encode(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").decode()


def test_percentile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7
    assert percentile([], 0.5) == 0


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-len", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", True),
    ],
)
def test_an_answer_is_complete_with_its_last_byte(answer: bytes, complete: bool) -> None:
    assert is_complete(answer) is complete


def test_load_counts_every_answer_by_its_status() -> None:
    with _server() as port:
        measured = send(Load(port, [REQUEST], 3, seconds=20, warm_seconds=0, requests_max=50))
    assert measured.statuses.keys() == {"200", "503"}
    assert abs(measured.statuses["200"] - measured.statuses["503"]) <= 3
    assert measured.answers >= sum(measured.statuses.values()) >= 50
    assert "not now" in measured.example
    assert 0 < measured.latencies.p50 <= measured.latencies.p95 <= measured.latencies.p99 <= measured.latencies.max


def test_documents_and_questions_differ_from_one_another() -> None:
    assert len(make_documents(2_000)) == 400
    assert len({text for document in make_documents(2_000) for _, text in document.passages}) > 1_900
    assert len(set(search_requests("key"))) == len(search_requests("key")) > 200


@pytest.mark.timeout(300)
def test_a_small_run_measures_every_operation(running_portal: RunningPortal, tmp_path: Path) -> None:
    program = RunningProgram(
        assemble_installation(running_portal.env), int(running_portal.env["PORT"]), 1.0, running_portal.process
    )
    organisation_id, key = register(running_portal.env)
    lift_limits(program, organisation_id)
    cases = api_cases(key, fill(program, organisation_id, 100))
    turned = run_client("benchmarks.turns", Crowd(dict(program.installation.env), cases[0].requests, 2, 0, 0.5))
    assert turned["statuses"] == {"200": turned["answers"]}
    assert turned["turns"] > turned["answers"] and 0 < turned["lengths"]["p50"] <= turned["lengths"]["max"]
    with running_floor() as bare:
        parsed = read_arguments(["--rounds", "1", "--seconds", "2", "--connections", "4"])
        floor, rows = measure(parsed, program, bare, cases)
    table = write_results(
        Results(
            conditions=describe_conditions("a test"),
            things=100,
            connections=4,
            web_processes=1,
            seconds=2,
            floor=floor,
            rows=rows,
            search=None,
            fresh=None,
            passages=0,
            first_start_seconds=1,
            later_start_seconds=1,
            web_memory_mb=program.web_memory_mb(),
        ),
        tmp_path,
    )
    written = json.loads(table.with_suffix(".json").read_text())
    assert written["shares"].keys() == {case.name for case in cases} == written["cpuShares"].keys()
    assert all(0 < share < 1.5 for share in written["cpuShares"].values())
    assert all(f"| {case.name} |" in table.read_text() for case in cases)
    assert written["web_memory_mb"] > 20


@contextmanager
def _server() -> Iterator[int]:
    """Answers every second request with a refusal, in two pieces."""
    turns = iter(range(10**6))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                refuses = next(turns) % 2
                body = b"not now" if refuses else b"welcome"
                status = b"503 Service Unavailable" if refuses else b"200 OK"
                self.request.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\n")
                self.request.sendall(b"\r\n" + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
