"""The documentation cannot lie: the curl and Python samples of every page run against the program.

The samples of one language on one page are one script, as for a reader who copies them from top to bottom. Each page
has an organisation of its own, so pages neither see nor disturb one another and may run side by side.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documentation import DocumentationPage, documentation_pages
from tests.parts import RunningPortal

SCRIPT_SECONDS = 60
LANGUAGES = {"curl": "bash", "Python": "python"}
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
CASES = [
    pytest.param(page, tab, id=f"{page.name}-{tab}")
    for page in documentation_pages()
    for tab, language in LANGUAGES.items()
    if page.script(language, tab)
]


@pytest.fixture(scope="module")
def key_of(running_portal: RunningPortal) -> Callable[[str], str]:
    """The first key of a page's own organisation, which is registered when it is first asked for."""
    keys: dict[str, str] = {}

    def find_or_register(page_name: str) -> str:
        if page_name not in keys:
            keys[page_name] = running_portal.register(name=page_name)["key"]
        return keys[page_name]

    return find_or_register


@pytest.mark.parametrize(("page", "tab"), CASES)
def test_samples_of_a_page_run_as_printed(
    running_portal: RunningPortal,
    key_of: Callable[[str], str],
    page: DocumentationPage,
    tab: str,
    tmp_path: Path,
) -> None:
    script = page.script(LANGUAGES[tab], tab)
    environment = os.environ | {"ONE_URL": running_portal.base_url, "ONE_API_KEY": key_of(page.name)}
    finished = run_script(tab, script, environment, tmp_path)
    output = f"{finished.stdout}\n{finished.stderr}"
    assert finished.returncode == 0, output
    if page.page.kind == "error" and page.path.stem not in NOT_PROVOKED:
        assert page.path.stem in finished.stdout, f"the sample does not provoke the error:\n{output}"


def run_script(tab: str, script: str, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run one script in an empty directory; a hanging one fails."""
    command = ["bash", "-c", f"set -euo pipefail\n{script}"] if tab == "curl" else [sys.executable, "-c", script]
    return subprocess.run(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )


def test_every_section_has_samples_that_run() -> None:
    """Guards the test itself: if samples were no longer found, everything above would pass without running."""
    folders = {page.folder for page in documentation_pages() if page.script("bash", "curl")}
    assert folders >= {"errors", "patterns", "guides", "getting-started"}
    assert {page.path.stem for page in documentation_pages() if page.page.kind == "error"} >= NOT_PROVOKED
