"""The OpenAPI document against the running program: every answer documented, no 5xx, no bug behind a 4xx."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parts import INDEXING_SECONDS, RunningPortal

HERE = Path(__file__).parent
CASES_MIN = 2_000
# The operations that the configuration leaves out, each with its reason.
LEFT_OUT = 2
RUN_SECONDS = 900


@pytest.mark.timeout(RUN_SECONDS + INDEXING_SECONDS)
def test_every_case_gets_a_documented_answer_and_none_a_5xx(running_portal: RunningPortal, tmp_path: Path) -> None:
    running_portal.wait_searchable()
    key = running_portal.register("Schemathesis", plan="enterprise")["key"]
    before = len(running_portal.output)
    finished = run_schemathesis(running_portal.base_url, key, tmp_path / "report.json")
    said = (finished.stdout + finished.stderr)[-20_000:]
    assert finished.returncode == 0, said
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"], said
    assert report["operations"]["tested"] == report["operations"]["total"] - LEFT_OUT, said
    assert report["test_cases"]["generated"] >= CASES_MIN, said
    logged = running_portal.output[before:]
    assert [line for line in logged if '"level": "error"' in line or "reached the database unchecked" in line] == []


def run_schemathesis(base_url: str, key: str, report: Path) -> subprocess.CompletedProcess[str]:
    """All checks, the tool's and ours, in the order of the configuration's seed."""
    arguments = (
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(HERE / "schemathesis.toml"), "run", f"{base_url}/openapi.json"),
        *("--url", base_url, "--header", f"Authorization: Bearer {key}", "--checks", "all"),
        *("--report", "json", "--report-json-path", str(report)),
    )
    return subprocess.run(
        arguments,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_checks", "NO_COLOR": "1"},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
