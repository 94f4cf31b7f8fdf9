"""One database and one program for all of the API's tests: each test registers an organisation of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.parts import Parts, RunningPortal
from tests.program import Caller, Program, running_program
from tests.web import RunningWeb, running_web
from tests.wire import Wire

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


@pytest.fixture(scope="module")
def wire(running_portal: RunningPortal) -> Iterator[Wire]:
    """Also: nothing that is sent here may be an error to the program's log."""
    before = len(running_portal.output)
    yield Wire(running_portal, running_portal.register("Raw")["key"])
    logged = running_portal.output[before:]
    assert [line for line in logged if '"level": "error"' in line or "Traceback" in line] == []
