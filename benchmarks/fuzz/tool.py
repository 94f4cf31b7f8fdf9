"""Runs Schemathesis with its checks and ours, and reads what it says."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.child_process import PROJECT_DIR

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# What the program prints when a bug is behind an answer, or was kept from being one by the database alone.
SIGNS_OF_BUGS = ('"level": "error"', "reached the database unchecked", "Traceback")


@dataclass(frozen=True)
class Report:
    """What one run found; `said` is what the tool printed, with a command that repeats each failure."""

    seed: int
    seconds: float
    complete: bool
    generated: int
    operations: int
    tested: int
    phases: dict[str, str]
    failures: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    logged: list[str]
    said: str

    @property
    def holds(self) -> bool:
        return self.complete and not (self.failures or self.errors or self.logged)


def run_tool(base_url: str, key: str, report: Path, *more: str, seconds_max: float) -> subprocess.CompletedProcess[str]:
    """All checks, the tool's and ours, in the order of the seed; `more` overrides the configuration."""
    arguments = (
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(CONFIGURATION), "run", f"{base_url}/openapi.json"),
        *("--url", base_url, "--header", f"Authorization: Bearer {key}", "--checks", "all"),
        *("--report", "json", "--report-json-path", str(report), *more),
    )
    return subprocess.run(
        arguments,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "benchmarks.fuzz.checks", "NO_COLOR": "1"},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )


def read_report(document: dict[str, Any], said: str, output: Sequence[str]) -> Report:
    """From the tool's own report, what it printed, and what the program printed meanwhile."""
    operations = document["operations"] or {"total": 0, "tested": 0}
    return Report(
        seed=document["seed"],
        seconds=round(document["running_time"] or 0, 1),
        complete=document["complete"] and document["exit_code"] in (0, 1),
        generated=document["test_cases"]["generated"],
        operations=operations["total"],
        tested=operations["tested"],
        phases={name: phase["status"] for name, phase in (document["phases"] or {}).items()},
        failures=document["failures"],
        errors=document["errors"],
        logged=[line for line in output if any(sign in line for sign in SIGNS_OF_BUGS)],
        said=said,
    )


def load_report(path: Path, said: str, output: Sequence[str]) -> Report:
    """Raises: OSError, ValueError when the tool has left no report."""
    return read_report(json.loads(path.read_text(encoding="utf-8")), said, output)
