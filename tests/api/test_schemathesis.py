"""The OpenAPI document against the running program: every answer documented, no 5xx, no bug behind a 4xx.

`make fuzz` does the same with ten times as many cases, several seeds, and requests that follow one another.
"""

from pathlib import Path

import pytest

from benchmarks.fuzz.tool import load_report, run_tool
from tests.parts import INDEXING_SECONDS, RunningPortal

CASES_MIN = 2_000
# The operations that the configuration leaves out, each with its reason.
LEFT_OUT = 2
RUN_SECONDS = 900


@pytest.mark.timeout(RUN_SECONDS + INDEXING_SECONDS)
def test_every_case_gets_a_documented_answer_and_none_a_5xx(running_portal: RunningPortal, tmp_path: Path) -> None:
    running_portal.wait_searchable()
    key = running_portal.register("Schemathesis", plan="enterprise")["key"]
    before = len(running_portal.output)
    path = tmp_path / "report.json"
    single = ("--phases", "examples,coverage,fuzzing")
    finished = run_tool(running_portal.base_url, key, path, *single, seconds_max=RUN_SECONDS)
    report = load_report(path, (finished.stdout + finished.stderr)[-20_000:], running_portal.output[before:])
    assert finished.returncode == 0, report.said
    assert report.holds, report
    assert report.tested == report.operations - LEFT_OUT, report.said
    assert report.generated >= CASES_MIN, report.said
