"""`python -m benchmarks`: start the program, measure it, write the results."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.cases import Case, api_cases, floor_requests, request, search_requests
from benchmarks.client import run_client
from benchmarks.freshness import measure_freshness
from benchmarks.load import Load, Measured
from benchmarks.passages import make_documents, write_points
from benchmarks.percentiles import Latencies
from benchmarks.program import (
    RunningFloor,
    RunningProgram,
    cpu_seconds,
    fill,
    knowledge_cpu_seconds,
    lift_limits,
    program_environment,
    register,
    running_floor,
    running_program,
    store_documents,
    temporary_data_dir,
)
from benchmarks.report import Results, Round, Row, SearchRounds, as_markdown, describe_conditions, write_results
from benchmarks.turns import Crowd, Turned
from portal.child_process import PROJECT_DIR

WARM_SECONDS = 0.5
FIRST_REQUESTS = 100
SEARCHES = 200
CROWD, CROWD_SECONDS = 16, 10.0


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions("python -m benchmarks " + " ".join(arguments))
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, parsed.processes)
        organisation_id, key = "", ""
        _say("first start")
        with running_program(env) as program:
            first_start_seconds = program.start_seconds
            organisation_id, key = register(env)
            lift_limits(program, organisation_id)
            _say(f"storing {parsed.rows} things and {parsed.passages} passages")
            thing_ids = fill(program, organisation_id, parsed.rows)
            documents = make_documents(parsed.passages)
            store_documents(program, organisation_id, documents)
            program.wait_indexed()
        write_points(program.installation.settings.data_dir / "qdrant", organisation_id, documents)
        _say("later start")
        with running_program(env) as program, running_floor() as bare:
            program.wait_indexed()
            search = _measure_search(program, key) if parsed.passages else None
            fresh = measure_freshness(program.port, key) if parsed.passages else None
            floor, rows = measure(parsed, program, bare, api_cases(key, thing_ids))
            results = Results(
                conditions=conditions,
                things=parsed.rows,
                connections=parsed.connections,
                web_processes=parsed.processes,
                seconds=parsed.seconds,
                floor=floor,
                rows=rows,
                search=search,
                fresh=fresh,
                passages=parsed.passages,
                first_start_seconds=first_start_seconds,
                later_start_seconds=program.start_seconds,
                web_memory_mb=program.web_memory_mb(),
            )
    path = write_results(results, parsed.output)
    print(as_markdown(results))
    _say(f"written to {path}")
    return 0


def measure(
    parsed: argparse.Namespace, program: RunningProgram, floor: RunningFloor, cases: list[Case]
) -> tuple[list[Round], list[Row]]:
    """Floor and every case in each round, so that what else the machine does falls on all of them."""
    wanted = [case for case in cases if not parsed.only or any(word in case.name for word in parsed.only)]
    for case in wanted:
        send(Load(program.port, case.requests, parsed.connections, 60, 0, requests_max=FIRST_REQUESTS))
    floor_rounds: list[Round] = []
    rounds: dict[str, list[Round]] = {case.name: [] for case in wanted}
    for number in range(parsed.rounds):
        program.settle()
        bare = _measure_once("floor", parsed, floor.port, floor.process, floor_requests())
        floor_rounds.append(bare)
        for case in wanted:
            program.settle()
            own = _measure_once(case.name, parsed, program.port, program.process, case.requests)
            rounds[case.name].append(own)
            rate, p99 = own.measured.requests_per_second, own.measured.latencies.p99
            shares = f"{rate / bare.measured.requests_per_second:.1%}, by processor time {bare.cpu_ms / own.cpu_ms:.1%}"
            _say(f"round {number + 1}: {case.name} {rate:.0f}/s, {shares}, p99 {p99:.1f} ms")
    rows = [Row(case.name, rounds[case.name], floor_rounds, case.share_wanted, case.p99_wanted_ms) for case in wanted]
    return floor_rounds, rows


def _measure_once(
    name: str, parsed: argparse.Namespace, port: int, process: subprocess.Popen[bytes], requests: list[str]
) -> Round:
    before = cpu_seconds(process)
    measured = send(Load(port, requests, parsed.connections, parsed.seconds, min(WARM_SECONDS, parsed.seconds)))
    _refuse_failures(name, measured)
    return Round(measured, (cpu_seconds(process) - before) * 1000 / measured.answers)


def _measure_search(program: RunningProgram, key: str) -> SearchRounds:
    program.settle()
    searches = search_requests(key)
    web, knowledge = cpu_seconds(program.process), knowledge_cpu_seconds(program.process)
    alone = send(Load(program.port, searches, 1, seconds=120, warm_seconds=1, requests_max=SEARCHES))
    web, knowledge = (
        1000 * (used - before) / alone.answers
        for used, before in (
            (cpu_seconds(program.process), web),
            (knowledge_cpu_seconds(program.process), knowledge),
        )
    )
    crowd = Load(program.port, searches, CROWD, seconds=CROWD_SECONDS, warm_seconds=1)
    beside = Load(program.port, [request("GET", "/v1/whoami", key)], 1, seconds=CROWD_SECONDS, warm_seconds=1)
    with ThreadPoolExecutor(2) as pool:
        crowded, disturbed = pool.map(send, (crowd, beside))
    for name, measured in {"search": alone, "searches": crowded, "whoami": disturbed}.items():
        _refuse_failures(name, measured)
        _say(f"{name}: {measured.latencies}")
    program.settle()
    served = run_client("benchmarks.turns", Crowd(dict(program.installation.env), searches, CROWD, 2, CROWD_SECONDS))
    turned = Turned(**(served | {"lengths": Latencies(**served["lengths"])}))
    if turned.statuses.keys() != {"200"}:
        raise RuntimeError(f"searches were answered {turned.statuses}")
    _say(f"turns of the loop: {turned.lengths}")
    return SearchRounds(alone, crowded, disturbed, turned, round(web, 2), round(knowledge, 2))


def send(load: Load) -> Measured:
    """Send a load from a process of its own."""
    found = run_client("benchmarks.load", load)
    return Measured(**(found | {"latencies": Latencies(**found["latencies"])}))


def _refuse_failures(name: str, measured: Measured) -> None:
    """Refusals are quick: a figure with some in it says nothing."""
    failed = {status: count for status, count in measured.statuses.items() if status[0] != "2"}
    if failed or not measured.statuses:
        raise SystemExit(f"{name}: answers {failed or 'none'}; {measured.example}")


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rows", type=int, default=10_000, help="things stored before")
    parser.add_argument("--passages", type=int, default=2_000, help="0: search is not measured")
    parser.add_argument("--processes", type=int, default=1, help="web processes")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names hold one of these words")
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    return parser.parse_args(arguments)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
