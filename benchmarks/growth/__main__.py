"""`python -m benchmarks.growth`: measure, let a thousand organisations store a million things, measure again.

Beside the figures it counts what Postgres read: every scan of a whole table of customers' rows while the operations
ran, and every scan of a month of the request log that nobody had asked for. The exit status is 1 when there was one,
or when an operation is more than `RATIO_MAX` times slower than before.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from urllib.request import Request, urlopen

from benchmarks.__main__ import measure
from benchmarks.cases import api_cases
from benchmarks.growth.others import Others, store_others
from benchmarks.growth.scans import count_scans, find_new_scans
from benchmarks.program import (
    RunningProgram,
    fill,
    lift_limits,
    program_environment,
    register,
    running_floor,
    running_program,
    temporary_data_dir,
)
from benchmarks.report import Conditions, Row, describe_conditions, write_report
from portal.child_process import PROJECT_DIR

OWN_THINGS = 10_000
RATIO_MAX = 1.5
# Each kind of list with its filters, by a key of the whole organisation and within the present month.
LOOKS = (
    "/v1/entities?type=course&limit=20",
    "/v1/entities?type=course&status=active&sort=updatedAt&order=desc&limit=20",
    "/v1/entities?q=number&type=course&limit=20",
    "/v1/entities?properties.price=50&type=course&limit=20",
    "/v1/connections?limit=20",
    "/v1/groups?limit=20",
    "/v1/people?limit=20",
    "/v1/api-keys?limit=20",
    "/v1/events?limit=20",
    "/v1/events?type=thing_created&limit=20",
    "/v1/events?type=api_request_made&limit=20",
    "/v1/usage",
    "/v1/usage/keys",
)


@dataclass(frozen=True)
class Results:
    """Everything of one run; `whole_scans` are tables with the number of times each was read from end to end."""

    conditions: Conditions
    own_things: int
    others: Others
    storing_seconds: float
    before: list[Row]
    after: list[Row]
    whole_scans: dict[str, int]
    indexes_used: dict[str, int]

    def ratio(self, number: int) -> float:
        """How many times slower the operation is now, the floor's own change taken out."""
        return self.before[number].share / self.after[number].share

    @property
    def holds(self) -> bool:
        return not self.whole_scans and all(self.ratio(number) <= RATIO_MAX for number in range(len(self.after)))


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions(" ".join(("python -m benchmarks.growth", *arguments)))
    others = Others(parsed.organisations, parsed.things, parsed.keys, parsed.calls)
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, 1)
        with running_program(env) as program, running_floor() as floor:
            organisation_id, key = register(env)
            lift_limits(program, organisation_id)
            cases = api_cases(key, fill(program, organisation_id, OWN_THINGS))
            program.wait_indexed()
            _, before = measure(parsed, program, floor, cases)
            began = monotonic()
            store_others(program, others)
            storing_seconds = round(monotonic() - began, 1)
            program.settle()
            scans = count_scans(program)
            _, after = measure(parsed, program, floor, cases)
            _look_around(program, key)
            whole_scans, indexes_used = find_new_scans(scans, count_scans(program))
    results = Results(conditions, OWN_THINGS, others, storing_seconds, before, after, whole_scans, indexes_used)
    print(as_markdown(results))
    ratios = {row.name: round(results.ratio(number), 3) for number, row in enumerate(results.after)}
    content = asdict(results) | {"ratios": ratios, "holds": results.holds}
    write_report("growth", conditions, content, as_markdown(results), parsed.output)
    return 0 if results.holds else 1


def _look_around(program: RunningProgram, key: str) -> None:
    for path in LOOKS:
        asked = Request(f"http://127.0.0.1:{program.port}{path}", headers={"Authorization": f"Bearer {key}"})
        with urlopen(asked, timeout=30) as answer:
            answer.read()


def as_markdown(results: Results) -> str:
    """The table."""
    about, others = results.conditions, results.others
    lines = [
        f"# Growth of {about.date[:10]}",
        "",
        about.in_words(),
        "",
        f"The organisation that asks has {results.own_things} things. In between {others.organisations} others stored "
        f"{others.things} things with an event each, {others.keys} keys and {others.calls} calls in the request log, "
        f"in {results.storing_seconds:.0f} s. Ratios are of the requests a second, before to after, each as its share "
        f"of the bare handler's in the same round; at most {RATIO_MAX}.",
        "",
        "| | Requests/s before | after | p50 ms before | after | Ratio |",
        "|---|---|---|---|---|---|",
    ]
    for number, (before, after) in enumerate(zip(results.before, results.after, strict=True)):
        rates = f"{before.rate:.0f} | {after.rate:.0f} | {before.p50:.1f} | {after.p50:.1f}"
        lines.append(f"| {after.name} | {rates} | {results.ratio(number):.2f} |")
    scans = ", ".join(f"{name} {count} times" for name, count in results.whole_scans.items()) or "none"
    lines += ["", f"Tables read from end to end while this ran and {len(LOOKS)} kinds of list were asked for: {scans}."]
    used = ", ".join(f"`{name}` ({count})" for name, count in results.indexes_used.items())
    lines += ["", f"Indexes that served, with their scans: {used}.", ""]
    lines.append(f"Verdict: {'holds' if results.holds else 'does not hold'}.")
    return "\n".join(lines) + "\n"


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--organisations", type=int, default=1_000)
    parser.add_argument("--things", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=10_000_000, help="rows of the request log, in two months of it")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names hold one of these words")
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
