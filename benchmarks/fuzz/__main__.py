"""`python -m benchmarks.fuzz`: thousands of generated requests, good and bad, one after another and in chains.

Each seed runs on a program of its own. The exit status is 1 when an answer was none that the OpenAPI document tells of,
a good request was refused or a bad one taken, or the program's log tells of a bug.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fuzz.tool import Report, load_report, run_tool
from benchmarks.program import lift_limits, program_environment, register, running_program, temporary_data_dir
from benchmarks.report import Conditions, describe_conditions
from portal.child_process import PROJECT_DIR

SEED = 20_261_101
PHASES = "examples,coverage,fuzzing,stateful"
SECONDS_MAX = 3_600.0
# Examples, edges of the document and chains make up the rest.
CASES_BESIDES = 3_500
EXAMPLES_MIN = 5
# Of each operation, by measurement; a good case is followed by a bad one.
CASES_PER_EXAMPLE = 1.2
OPERATIONS = 75


@dataclass(frozen=True)
class Results:
    """Everything of one run of the command."""

    conditions: Conditions
    reports: list[Report]
    cases_wanted: int

    @property
    def holds(self) -> bool:
        """Whether every seed had as many cases as were wanted, in all phases, and none of them is broken."""
        return all(
            each.holds and each.generated >= self.cases_wanted and "skip" not in each.phases.values()
            for each in self.reports
        )


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions(" ".join(("python -m benchmarks.fuzz", *arguments)))
    reports = [fuzz(seed, parsed.cases) for seed in range(parsed.first_seed, parsed.first_seed + parsed.seeds)]
    results = Results(conditions, reports, parsed.cases)
    for report in reports:
        if not report.holds:
            print(report.said, *report.logged, sep="\n")
    print(as_markdown(results))
    write_results(results, parsed.output)
    return int(not results.holds)


def fuzz(seed: int, cases: int) -> Report:
    """At least so many cases of one seed, on a new program that no limit binds."""
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, 1)
        with running_program(env) as program:
            organisation_id, key = register(env)
            lift_limits(program, organisation_id)
            program.wait_indexed()
            examples = max(EXAMPLES_MIN, round((cases - CASES_BESIDES) / OPERATIONS / CASES_PER_EXAMPLE))
            finished = run_tool(
                f"http://127.0.0.1:{program.port}",
                key,
                data_dir / "report.json",
                *("--phases", PHASES, "--seed", str(seed), "--max-examples", str(examples)),
                *("--rate-limit", "1000/s"),
                seconds_max=SECONDS_MAX,
            )
        output = (data_dir / "output.log").read_text(errors="replace").splitlines()
        return load_report(data_dir / "report.json", finished.stdout + finished.stderr, output)


def as_markdown(results: Results) -> str:
    """The table, and below it what was found."""
    about = results.conditions
    lines = [
        f"# Generated cases, {about.date[:10]}",
        "",
        f"`{about.command}` at revision {about.revision}, {about.date}. {about.processor}, {about.cores} cores, "
        f"{about.memory_gb} GB; {about.system}; Python {about.python}. Load average before: {about.load_average}.",
        "",
        f"{'Holds' if results.holds else 'BROKEN'}: at least {results.cases_wanted} cases of each seed; every answer "
        "is one the OpenAPI document tells of, no good request was refused, no bad one taken, and the log is clean.",
        "",
        "| Seed | Cases | Operations | Phases | Failures | Errors | Lines of bugs in the log | Seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results.reports:
        phases = ", ".join(f"{name} {status}" for name, status in each.phases.items())
        lines.append(
            f"| {each.seed} | {each.generated} | {each.tested} of {each.operations} | {phases} | {len(each.failures)} "
            f"| {len(each.errors)} | {len(each.logged)} | {each.seconds} |"
        )
    for each in results.reports:
        for failure in each.failures:
            lines += [
                "",
                f"- {each.seed}: {failure['title']}, {failure['count']} times: {', '.join(failure['operations'])}",
            ]
    return "\n".join(lines) + "\n"


def write_results(results: Results, directory: Path) -> None:
    """Both files, named by date and revision."""
    name = f"fuzz-{results.conditions.date[:16].replace(':', '')}-{results.conditions.revision[:8]}"
    document = asdict(results)
    for report in document["reports"]:
        del report["said"]
    (directory / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (directory / f"{name}.md").write_text(as_markdown(results), encoding="utf-8")


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="of each seed, at least")
    parser.add_argument("--seeds", type=int, default=3, help="how many, one after another")
    parser.add_argument("--first-seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
