"""`python -m benchmarks.faults [name …]`: start the program, inflict faults under load, print a verdict for each.

The exit status is 1 when anything that must hold does not.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from benchmarks.faults.inflict import FAULTS, Fault
from benchmarks.faults.load import Load, steady_load
from benchmarks.faults.report import as_markdown, describe_verdict, write_verdicts
from benchmarks.faults.verdict import Verdict, judge, read_stored, repeat_ambiguous
from benchmarks.program import (
    RunningProgram,
    lift_limits,
    program_environment,
    register,
    running_program,
    temporary_data_dir,
)
from benchmarks.report import describe_conditions
from portal.child_process import PROJECT_DIR

WEB_PROCESSES = 2
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 8.0


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    conditions = describe_conditions(" ".join(("python -m benchmarks.faults", *arguments)))
    verdicts: list[Verdict] = []
    with temporary_data_dir() as data_dir:
        env = program_environment(data_dir, WEB_PROCESSES)
        with running_program(env) as program:
            organisation_id, key = register(env)
            lift_limits(program, organisation_id)
            for name in parsed.names or FAULTS:
                if "search" in FAULTS[name].kinds:
                    program.wait_indexed()
                verdict = asyncio.run(try_fault(program, organisation_id, key, name, FAULTS[name]))
                print(describe_verdict(verdict), flush=True)
                verdicts.append(verdict)
        if not all(verdict.holds for verdict in verdicts):
            print((data_dir / "output.log").read_text(errors="replace")[-3_000:], file=sys.stderr)
    print(as_markdown(conditions, verdicts))
    if not parsed.names:
        write_verdicts(conditions, verdicts, parsed.output)
    return int(not all(verdict.holds for verdict in verdicts))


async def try_fault(program: RunningProgram, organisation_id: str, key: str, name: str, fault: Fault) -> Verdict:
    """Load, the fault in the middle of it, and the verdict."""
    load = Load(f"http://127.0.0.1:{program.port}", key, f"{name}-{int(monotonic())}", fault.kinds)
    async with steady_load(load):
        await asyncio.sleep(BEFORE_SECONDS)
        await asyncio.to_thread(fault.inflict, program)
        returned_at = monotonic()
        await asyncio.sleep(AFTER_SECONDS)
    broken = await repeat_ambiguous(program, key, load.sent)
    stored = await asyncio.to_thread(read_stored, program, organisation_id, load.run)
    return judge(fault, load.sent, stored, returned_at, broken)


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(FAULTS)}; all are recorded when none is named")
    parser.add_argument("--output", type=Path, default=PROJECT_DIR / "benchmarks" / "results")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.names) - set(FAULTS):
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    return parsed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
