"""One database and one program for all of the API's tests: each test registers an organisation of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.parts import Parts
from tests.program import Caller, Program, running_program
from tests.web import RunningWeb, running_web

WEB_PROCESSES = 4


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


@pytest.fixture(scope="package")
def web(parts: Parts) -> Iterator[RunningWeb]:
    """The API on several processes, as clients on the network meet it."""
    with parts.new_database() as database, running_web(parts, database, processes=WEB_PROCESSES) as web:
        yield web


@pytest.fixture(scope="package")
async def office(web: RunningWeb) -> AsyncIterator[Program]:
    """Registers organisations and issues keys beside those processes, and looks into their Redis."""
    async with running_program(web.settings) as program:
        yield program
