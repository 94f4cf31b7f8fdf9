"""`python -m benchmarks.steady`: ten thousand requests a minute for ten minutes, on one process with embedded parts.

Reads, lists, creations and `whoami`, half of them reads. Afterwards every answered creation has to be stored with its
event, and every answered request has to be in the log. The exit status is 1 when anything was lost, or a bar missed.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cases import api_cases
from benchmarks.client import run_client
from benchmarks.percentiles import Latencies
from benchmarks.program import (
    RunningProgram,
    fill,
    lift_limits,
    program_environment,
    register,
    running_program,
    temporary_data_dir,
)
from benchmarks.report import Conditions, describe_conditions, write_report
from benchmarks.steady.stream import Stream, Streamed
from ontology.ids import decode_id
from portal.child_process import PROJECT_DIR

THINGS = 10_000
P95_MAX_MS, P99_MAX_MS = 15, 40
# Of the memory after the first tenth of the time.
MEMORY_GROWTH_MAX = 1.10
_TURN = ("read", "list", "read", "create", "read", "list", "read", "whoami")


@dataclass(frozen=True)
class Stored:
    """What the database holds of the organisation."""

    things: int
    events: int
    calls: int


@dataclass(frozen=True)
class Results:
    """Everything of one run; memory of the web process in megabytes, once every tenth of the time."""

    conditions: Conditions
    requests_per_minute: int
    minutes: float
    streamed: Streamed
    created: int
    gained: Stored
    memory_mb: list[float]

    @property
    def lost(self) -> int:
        """Answered creations, their events and answered requests that are not there."""
        gained = self.gained
        return (
            abs(gained.things - self.created) + abs(gained.events - self.created) + self.streamed.answers - gained.calls
        )

    @property
    def memory_growth(self) -> float:
        return max(self.memory_mb[1:]) / self.memory_mb[0]

    @property
    def holds(self) -> bool:
        times = self.streamed.latencies
        in_time = times.p95 < P95_MAX_MS and times.p99 < P99_MAX_MS
        return in_time and not self.lost and self.memory_growth <= MEMORY_GROWTH_MAX


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions(" ".join(("python -m benchmarks.steady", *arguments)))
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, 1)
        with running_program(env) as program:
            organisation_id, key = register(env)
            lift_limits(program, organisation_id)
            cases = {
                case.name.split()[0]: case.requests for case in api_cases(key, fill(program, organisation_id, THINGS))
            }
            program.wait_indexed()
            requests = [cases[name][turn % len(cases[name])] for turn in range(100) for name in _TURN]
            rate = parsed.requests_per_minute / 60
            _send(Stream(program.port, requests, rate, 5, parsed.connections))
            program.settle()
            before = _count(program, organisation_id)
            stream = Stream(program.port, requests, rate, parsed.minutes * 60, parsed.connections)
            with ThreadPoolExecutor(1) as pool:
                streaming = pool.submit(_send, stream)
                memory_mb: list[float] = []
                while len(memory_mb) < 10:
                    try:
                        streaming.result(parsed.minutes * 6)
                        break
                    except TimeoutError:
                        memory_mb.append(program.web_memory_mb())
                streamed = streaming.result()
            memory_mb.append(program.web_memory_mb())
            program.settle()
            after = _count(program, organisation_id)
    gained = Stored(after.things - before.things, after.events - before.events, after.calls - before.calls)
    created = streamed.statuses.get("201", 0)
    results = Results(conditions, parsed.requests_per_minute, parsed.minutes, streamed, created, gained, memory_mb)
    print(as_markdown(results))
    content = asdict(results) | {"lost": results.lost, "holds": results.holds}
    write_report("steady", conditions, content, as_markdown(results), parsed.output)
    return 0 if results.holds else 1


def _send(stream: Stream) -> Streamed:
    """Send a stream from a process of its own."""
    found = run_client("benchmarks.steady.stream", stream)
    return Streamed(**(found | {"latencies": Latencies(**found["latencies"])}))


def _count(program: RunningProgram, organisation_id: str) -> Stored:
    org_id = str(decode_id(organisation_id)[1])
    with program.owner_connection() as connection:
        connection.execute(
            "SELECT set_config('app.org_id', %s, true), set_config('app.group_id', %s, true)", [org_id] * 2
        )
        found = connection.execute(
            "SELECT (SELECT count(*) FROM things), (SELECT count(*) FROM events WHERE type = 'thing_created'), "
            "(SELECT count(*) FROM request_log)"
        ).fetchone()
        assert found is not None
        return Stored(*found)


def as_markdown(results: Results) -> str:
    """The table."""
    about, streamed = results.conditions, results.streamed
    times = streamed.latencies
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(streamed.statuses.items()))
    memory = (
        f"{results.memory_mb[0]:.0f} MB after a tenth of the time, at most {max(results.memory_mb[1:]):.0f} MB later"
    )
    return (
        "\n".join(
            [
                f"# Steady load of {about.date[:10]}",
                "",
                about.in_words(),
                "",
                f"{results.requests_per_minute} requests a minute for {results.minutes:g} minutes, by the clock; times "
                "count from when a request was due.",
                "",
                "| | | At most |",
                "|---|---|---|",
                f"| p50 | {times.p50:.1f} ms | |",
                f"| p95 | {times.p95:.1f} ms | {P95_MAX_MS} |",
                f"| p99 | {times.p99:.1f} ms | {P99_MAX_MS} |",
                f"| longest | {times.max:.0f} ms | |",
                f"| answers | {streamed.answers} ({statuses}) | |",
                f"| lost | {results.lost} | 0 |",
                f"| memory of the web process | {memory} | growth of {MEMORY_GROWTH_MAX - 1:.0%} |",
                "",
                f"Verdict: {'holds' if results.holds else 'does not hold'}.",
            ]
        )
        + "\n"
    )


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.steady", description=__doc__)
    parser.add_argument("--requests-per-minute", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
