"""The catalogue of a migrated database, and the program on one of its own."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

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
