"""What a run of generated cases must not let pass is told, and counts."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz.__main__ import Results, as_markdown, write_results
from benchmarks.fuzz.tool import Report, read_report
from benchmarks.report import describe_conditions

GOOD: dict[str, Any] = {
    "seed": 7,
    "running_time": 12.34,
    "complete": True,
    "exit_code": 0,
    "operations": {"total": 73, "selected": 71, "tested": 71},
    "phases": {"fuzzing": {"status": "success"}, "stateful": {"status": "success"}},
    "test_cases": {"generated": 20_500},
    "failures": [],
    "errors": [],
}
FAILURE = {"title": "Server error", "count": 2, "operations": ["GET /v1/whoami"]}


def _read(output: tuple[str, ...] = (), **changed: Any) -> Report:
    return read_report(GOOD | changed, "said", output)


def test_a_clean_run_holds_and_is_written_down(tmp_path: Path) -> None:
    results = Results(describe_conditions("python -m benchmarks.fuzz"), [_read(('{"level": "info"}',))], 20_000)
    assert results.holds
    assert "Holds" in as_markdown(results)
    write_results(results, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}


@pytest.mark.parametrize(
    "broken",
    [
        _read(exit_code=1, failures=[FAILURE]),
        _read(errors=[{"title": "Network Error", "count": 1}]),
        _read(complete=False),
        _read(exit_code=2),
        _read(('{"level": "error", "event": "a bug"}',)),
        _read(("Traceback (most recent call last):",)),
        _read(("psycopg.errors: reached the database unchecked",)),
        _read(phases={"fuzzing": {"status": "success"}, "stateful": {"status": "skip"}}),
        _read(test_cases={"generated": 19_999}),
    ],
    ids=["failure", "error", "unfinished", "unable", "logged", "trace", "unchecked", "skipped phase", "too few"],
)
def test_anything_else_is_broken(broken: Report) -> None:
    results = Results(describe_conditions("python -m benchmarks.fuzz"), [_read(), broken], 20_000)
    assert not results.holds
    assert "BROKEN" in as_markdown(results)
