"""The catalogue of a migrated database, the program on one of its own, and the ground that isolation is attacked on."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.contracts.isolation_findings import SENT, WHERE
from tests.contracts.isolation_ground import Ground, Original, written_world
from tests.parts import Parts
from tests.program import Program, running_program


@pytest.fixture(scope="module")
def module_database(parts: Parts) -> Iterator[str]:
    """The name of a migrated database for all tests of a module."""
    with parts.new_database() as name:
        yield name


@pytest.fixture(scope="module")
def catalogue(parts: Parts, module_database: str) -> Iterator["psycopg.Connection[TupleRow]"]:
    """A superuser's look at that database."""
    with psycopg.connect(parts.superuser_url(module_database), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
async def api(parts: Parts, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The API, in this process, on that database."""
    async with running_program(parts.settings(module_database, tmp_path_factory.mktemp("api"))) as program:
        yield program


@pytest.fixture(scope="session")
async def original(parts: Parts) -> AsyncIterator[Original]:
    """Victims and attackers as they were written; take a copy to change one."""
    async with written_world(parts) as original:
        yield original


@pytest.fixture(scope="module")
async def ground(original: Original) -> AsyncIterator[Ground]:
    """Victims and attackers, for all tests of a module: none of them may change a victim."""
    async with original.copy() as ground:
        yield ground


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many probes each kind of attacker sent at each kind of place, by whose it was."""
    if not SENT:
        return
    terminalreporter.section("isolation: probes sent")
    for attacker in dict.fromkeys(attacker for attacker, _, _ in SENT):
        relations = dict.fromkeys(relation for one, _, relation in SENT if one == attacker)
        terminalreporter.write_line(f"{attacker:<18}" + "".join(f"{where:>17}" for where in WHERE))
        for relation in relations:
            counts = "".join(f"{SENT[attacker, where, relation]:>17}" for where in WHERE)
            terminalreporter.write_line(f"  {relation:<16}{counts}")
