"""The documentation cannot lie: the curl, Python and JavaScript samples of every page run against the program.

The samples of one language on one page are one script, as for a reader who copies them from top to bottom. Each page
has an organisation of its own, so pages neither see nor disturb one another and may run side by side.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import playwright
import pytest

from knowledge.markdown import code_samples
from tests.documentation import DocumentationPage, documentation_pages
from tests.parts import INDEXING_SECONDS, RunningPortal

pytestmark = pytest.mark.timeout(300 + INDEXING_SECONDS)
SCRIPT_SECONDS = 60
SCRIPTS_AT_ONCE = 3
LANGUAGES = {"curl": "bash", "Python": "python", "JavaScript": "js"}
# The browser's driver brings Node.js.
NODE = Path(playwright.__file__).parent / "driver" / "node"
# Codes that no request can provoke on a sound installation: their samples show how to cope instead.
NOT_PROVOKED = frozenset(
    {
        "group_archived",
        "idempotency_in_flight",
        "internal_error",
        "quota_exceeded",
        "search_unavailable",
        "service_unavailable",
    }
)


@dataclass(frozen=True)
class Case:
    """The samples of one page in one language."""

    page: DocumentationPage
    tab: str

    @property
    def script(self) -> str:
        return self.page.script(LANGUAGES[self.tab], self.tab)

    def __str__(self) -> str:
        return f"{self.page.name}-{self.tab}"


CASES = [case for page in documentation_pages() for tab in LANGUAGES if (case := Case(page, tab)).script]


@pytest.fixture(scope="module")
def finished_scripts(
    request: pytest.FixtureRequest, running_portal: RunningPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The scripts of the selected cases, a few at a time; each page with a key of its own organisation."""
    running_portal.wait_searchable()
    selected = [case for item in request.session.items if (case := find_case(item)) is not None]
    pool = ThreadPoolExecutor(SCRIPTS_AT_ONCE)
    keys: dict[str, Future[str]] = {}
    scripts: dict[str, Future[subprocess.CompletedProcess[str]]] = {}
    for case in selected:
        name = case.page.name
        if name not in keys:  # queued before the scripts that wait for it, so none of them can block it
            keys[name] = pool.submit(lambda name: running_portal.register(name=name)["key"], name)
        directory = tmp_path_factory.mktemp("sample")
        scripts[str(case)] = pool.submit(run_script, case, running_portal.base_url, keys[name], directory)
    yield scripts
    pool.shutdown(cancel_futures=True)


def find_case(item: pytest.Item) -> Case | None:
    """The case of a selected test of this module; None for every other test."""
    if not isinstance(item, pytest.Function) or item.originalname != "test_samples_run_as_printed":
        return None
    case = item.callspec.params["case"]
    assert isinstance(case, Case)
    return case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples_run_as_printed(
    finished_scripts: dict[str, Future[subprocess.CompletedProcess[str]]], case: Case
) -> None:
    finished = finished_scripts[str(case)].result()
    output = f"{finished.stdout}\n{finished.stderr}"
    assert finished.returncode == 0, output
    code = case.page.path.stem
    if case.page.page.kind == "error" and code not in NOT_PROVOKED:
        assert code in finished.stdout, f"the sample does not provoke the error:\n{output}"
        if case.tab == "curl":
            printed, documented = printed_problem(finished.stdout), documented_problem(case.page)
            assert (places(printed), leads(printed)) == (places(documented), leads(documented))


def printed_problem(output: str) -> dict[str, Any]:
    """The last problem document that curl printed."""
    start = [match.start() for match in re.finditer(r'\{"type": ?"http', output)][-1]
    return json.JSONDecoder().raw_decode(output[start:])[0]


def documented_problem(page: DocumentationPage) -> dict[str, Any]:
    """The problem document that the page shows of its own error."""
    answers = [json.loads(s.text) for s in code_samples(page.page) if s.response is not None]
    return next(answer for answer in answers if answer["code"] == page.path.stem)


def places(problem: dict[str, Any]) -> list[tuple[str, str]]:
    """What a problem says of each flaw; `fix` may hold an id or a proposal of its own."""
    return [(flaw["location"], flaw["message"]) for flaw in problem["errors"]]


def leads(problem: dict[str, Any]) -> list[str]:
    """The operations that a problem says help further."""
    return [entry["operationId"] for entry in problem.get("next", [])]


def run_script(case: Case, url: str, key: Future[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run one script in an empty directory; a hanging one fails."""
    commands = {
        "curl": ["bash", "-c", f"set -euo pipefail\n{case.script}"],
        "Python": [sys.executable, "-c", case.script],
        "JavaScript": [str(NODE), "--input-type=module", "-e", case.script],
    }
    return subprocess.run(
        commands[case.tab],
        env=os.environ | {"ONE_URL": url, "ONE_API_KEY": key.result()},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )


def test_every_section_has_samples_that_run() -> None:
    """Guards the test itself: if samples were no longer found, everything above would pass without running."""
    for tab, language in LANGUAGES.items():
        folders = {page.folder for page in documentation_pages() if page.script(language, tab)}
        assert folders >= {"errors", "patterns", "guides", "getting-started"}, tab
    assert {page.path.stem for page in documentation_pages() if page.page.kind == "error"} >= NOT_PROVOKED
