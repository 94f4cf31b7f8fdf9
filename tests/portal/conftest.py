"""People who look at pages of the program in this process."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.browser import PASSWORD
from tests.parts import Parts
from tests.program import Program, running_program

_CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')


@dataclass(frozen=True)
class Reader:
    """A browser without scripts: keeps cookies, fills in forms, follows nothing by itself."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def send(self, path: str, form_page: str | None = None, **fields: Any) -> httpx.Response:
        """The form at `form_page` (or `path`), filled in and sent to `path`."""
        page = await self.client.get(form_page or path)
        found = _CSRF.search(page.text)
        assert found, page.text
        return await self.client.post(path, data={"csrf": found[1], **fields})

    async def sign_up(self, organisation: str = "Lumen", name: str = "Ada") -> str:
        """A new organisation; returns the e-mail address of its owner, who is signed in."""
        email = f"{uuid4().hex}@example.com"
        answer = await self.send("/sign-up", organisation=organisation, name=name, email=email, password=PASSWORD)
        assert answer.status_code == 201, answer.text
        return email


NewReader = Callable[..., Awaitable[Reader]]


@pytest.fixture(scope="module")
async def program(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The program without its knowledge process: the search cannot answer."""
    parts.empty_redis()
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path_factory.mktemp("pages"))) as program:
            yield program


@pytest.fixture
async def new_reader(program: Program) -> AsyncIterator[NewReader]:
    """Makes people, each with cookies and a network address of their own."""
    async with AsyncExitStack() as stack:

        async def make(address: str = "192.0.2.1") -> Reader:
            transport = httpx.ASGITransport(program.app, client=(address, 50_000))
            client = httpx.AsyncClient(transport=transport, base_url="http://one.test")
            return Reader(await stack.enter_async_context(client))

        yield make


@pytest.fixture
async def reader(new_reader: NewReader) -> Reader:
    return await new_reader()
