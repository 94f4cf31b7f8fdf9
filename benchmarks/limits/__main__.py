"""`python -m benchmarks.limits`: ask until the limits bind, on four web processes, and judge every decision.

Keys with limits of their own ask beside keys that share their organisation's limit. The exit status is 1 when a
request was admitted over a limit, or refused while there was room.
"""

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any, cast
from urllib.request import Request, urlopen

from redis import Redis

from benchmarks.cases import request
from benchmarks.client import run_client
from benchmarks.limits.clients import Asked, Order
from benchmarks.limits.rule import AdmissionLog, count_false_refusals, count_over_admissions
from benchmarks.program import (
    RunningProgram,
    lift_limits,
    program_environment,
    register,
    running_program,
    server_processes,
    temporary_data_dir,
)
from benchmarks.report import Conditions, describe_conditions, write_report
from ontology.ids import decode_id
from ontology.plans import PLAN_LIMITS, Plan
from portal.child_process import PROJECT_DIR

LOOK_SECONDS = 5.0
# Between what is refused nearly always and what is refused at the end of a minute.
KEY_LIMITS = (60, 300, 600, 1_200, 2_400, 4_000)
SHARING_KEYS = 3


@dataclass(frozen=True)
class Subject:
    """What a limit is counted for: a key, or an organisation with several keys."""

    name: str
    limit: int
    list_name: str
    keys: Sequence[str]


@dataclass(frozen=True)
class Judged:
    """A subject's decisions; `unaccounted` is by how many admissions the server's log and the clients differ."""

    subject: str
    limit: int
    admitted: int
    refused: int
    over_admissions: int
    false_refusals: int
    unaccounted: int

    @property
    def holds(self) -> bool:
        return not (self.over_admissions or self.false_refusals or self.unaccounted)


@dataclass(frozen=True)
class Results:
    """Everything of one run."""

    conditions: Conditions
    web_processes: int
    serving_processes: int
    connections: int
    seconds: float
    others: dict[str, int]
    judged: list[Judged]

    @property
    def holds(self) -> bool:
        everything_asked = self.serving_processes == self.web_processes and not self.others
        return everything_asked and all(each.holds for each in self.judged)


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions(" ".join(("python -m benchmarks.limits", *arguments)))
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, parsed.processes)
        with running_program(env) as program:
            results = measure(parsed, conditions, program, make_subjects(program, env))
    print(as_markdown(results))
    write_report("limits", conditions, asdict(results), as_markdown(results), parsed.output)
    return int(not results.holds)


def make_subjects(program: RunningProgram, env: dict[str, str]) -> list[Subject]:
    """Keys with limits of their own in an organisation without one that binds, and an organisation with a limit."""
    organisation_id, key = register(env)
    lift_limits(program, organisation_id)
    org_id = decode_id(organisation_id)[1]
    subjects: list[Subject] = []
    for limit in KEY_LIMITS:
        own = _make_key(program, key, limit)
        list_name = f"limit:{{{org_id}}}:{decode_id(own['_id'])[1]}:minute"
        subjects.append(Subject(f"key, {limit} a minute", limit, list_name, [own["key"]]))
    organisation_id, key = register(env)
    shared = PLAN_LIMITS[Plan.ENTERPRISE].requests_per_minute
    keys = [_make_key(program, key, shared)["key"] for _ in range(SHARING_KEYS)]
    list_name = f"limit:{{{decode_id(organisation_id)[1]}}}:minute"
    return [*subjects, Subject(f"organisation, {shared} a minute, {SHARING_KEYS} keys", shared, list_name, keys)]


def measure(
    parsed: argparse.Namespace, conditions: Conditions, program: RunningProgram, subjects: Sequence[Subject]
) -> Results:
    keys = [(place, key) for place, subject in enumerate(subjects) for key in subject.keys]
    requests = [request("GET", "/v1/whoami", key) for _, key in keys]
    before = _serving_seconds(program)
    began = monotonic()
    with _watching(program, subjects) as logs:
        already = [len(log.times) for log in logs]
        asked = _send(Order(program.port, requests, parsed.connections, parsed.decisions))
    seconds = monotonic() - began
    used = [after - before[pid] for pid, after in _serving_seconds(program).items() if pid in before]
    judged: list[Judged] = []
    for place, (subject, log) in enumerate(zip(subjects, logs, strict=True)):
        own = [index for index, (of, _) in enumerate(keys) if of == place]
        admitted = sum(asked.admitted[index] for index in own)
        refused = [moments for index in own for moments in asked.refused[index]]
        judged.append(
            Judged(
                subject=subject.name,
                limit=subject.limit,
                admitted=admitted,
                refused=len(refused),
                over_admissions=count_over_admissions(log.times, subject.limit),
                false_refusals=count_false_refusals(log.times, subject.limit, refused),
                unaccounted=len(log.times) - already[place] - admitted,
            )
        )
    return Results(
        conditions=conditions,
        web_processes=parsed.processes,
        serving_processes=sum(each > 0 for each in used),
        connections=parsed.connections,
        seconds=round(seconds, 1),
        others=asked.others,
        judged=judged,
    )


def _make_key(program: RunningProgram, key: str, limit: int) -> dict[str, Any]:
    body = {
        "name": f"{limit} a minute",
        "preset": "read-only",
        "rateLimit": {"requestsPerMinute": limit, "requestsPerDay": 1_000_000},
    }
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    asked = Request(f"http://127.0.0.1:{program.port}/v1/api-keys", json.dumps(body).encode(), headers)
    with urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def _send(order: Order) -> Asked:
    return Asked(**run_client("benchmarks.limits.clients", order))


@contextmanager
def _watching(program: RunningProgram, subjects: Sequence[Subject]) -> Generator[list[AdmissionLog]]:
    """The admission logs, complete when the block has ended."""
    logs = [AdmissionLog() for _ in subjects]
    over = Event()

    def look() -> None:
        for subject, log in zip(subjects, logs, strict=True):
            log.look([int(time) for time in cast("list[bytes]", redis.lrange(subject.list_name, 0, -1))])

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            look()

    with Redis.from_url(program.installation.settings.redis_url) as redis:
        look()
        watcher = Thread(target=watch)
        watcher.start()
        try:
            yield logs
        finally:
            over.set()
            watcher.join()
        look()


def _serving_seconds(program: RunningProgram) -> dict[int, float]:
    """Processor time of each web process, without their master."""
    _, *serving = server_processes(program.process)
    return {process.pid: process.cpu_times().user for process in serving}


def as_markdown(results: Results) -> str:
    """The table."""
    about = results.conditions
    decisions = sum(each.admitted + each.refused for each in results.judged)
    lines = [
        f"# Decisions of the rate limiter, {about.date[:10]}",
        "",
        about.in_words(),
        "",
        f"{'Holds' if results.holds else 'BROKEN'}: {decisions} decisions in {results.seconds} s over "
        f"{results.connections} connections, on {results.serving_processes} of {results.web_processes} web processes; "
        f"other answers: {results.others or 'none'}. Judged by the server's own times of admission; a refusal is false "
        "when there was room all the time from its sending to its answer.",
        "",
        "| Limit | Admitted | Refused | Over-admissions | False refusals | Admissions unaccounted for |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.subject} | {each.admitted} | {each.refused} | {each.over_admissions} | {each.false_refusals} "
        f"| {each.unaccounted} |"
        for each in results.judged
    ]
    return "\n".join(lines) + "\n"


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.limits", description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=4, help="web processes")
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
