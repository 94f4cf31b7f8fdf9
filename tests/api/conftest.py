"""One database and one program for all of the API's tests: each test registers an organisation of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.parts import Parts
from tests.program import Caller, Program, running_program


@pytest.fixture(scope="session")
async def api(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The API, in this process."""
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path_factory.mktemp("api"))) as program:
            yield program


@pytest.fixture
async def owner(api: Program) -> Caller:
    """The first key of a new organisation without limits on what it holds."""
    return await api.register()
