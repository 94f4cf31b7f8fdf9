"""One database for all tests of the ontology's rules: each test registers an organisation of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.parts import Parts
from tests.program import Caller, Program, running_program


@pytest.fixture(scope="package")
async def program(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The program, for its pool and its settings; most tests call the rules themselves."""
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path_factory.mktemp("ontology"))) as program:
            yield program


@pytest.fixture
async def owner(program: Program) -> Caller:
    """The first key of a new organisation without limits on what it holds."""
    return await program.register()
