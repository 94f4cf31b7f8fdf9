"""The API in this process, on real parts: nothing to start, and every test has an organisation of its own."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from litestar import Litestar
from litestar.types import ASGIApp
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.actors import Actor
from ontology.database import create_engine, open_lookup, open_transaction
from ontology.errors import PortalError
from ontology.ids import decode_id, encode_id
from ontology.key_issuing import create_key
from ontology.key_shapes import ApiKeyCreate, RateLimit
from ontology.limits import Limiter
from ontology.plans import Plan
from ontology.records import utc_now
from ontology.redis_client import Redis, create_redis
from ontology.registration import Applicant, Registration, register_organisation
from ontology.scopes import Preset, Scope
from ontology.settings import Settings
from portal.app import create_app


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    """A problem document as it is for every request: those of two refusals for the same reason are equal."""
    return json.loads(answer.text.replace(answer.headers["x-request-id"], ""))


@dataclass(frozen=True)
class Caller:
    """A key and the client that sends it."""

    client: httpx.AsyncClient
    key: str
    key_id: str
    group_id: str
    owner: Actor
    """Acts for the organisation without a key, to prepare what costs no request."""

    @property
    def org_id(self) -> UUID:
        return self.owner.org_id

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = ({"Authorization": f"Bearer {self.key}"} if self.key else {}) | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return await self.call("POST", path, json=body, **options)

    async def delete(self, path: str) -> httpx.Response:
        return await self.call("DELETE", path)

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        """Create something that has to succeed."""
        answer = await self.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def make_thing(self, name: str = "Botany", **more: Any) -> dict[str, Any]:
        return await self.make("/v1/entities", **({"type": "course", "name": name} | more))

    async def all_rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every row of a list, page by page."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, params=query | ({"cursor": cursor} if cursor else {}))
            assert page.status_code == 200, page.text
            rows.extend(page.json()["data"])
            if (cursor := page.json()["pagination"]["nextCursor"]) is None:
                return rows


@dataclass(frozen=True)
class Program:
    """The assembled program and connections of its own to what it stands on."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    client: httpx.AsyncClient
    app: ASGIApp
    litestar: Litestar

    async def register(self, name: str = "Acme", plan: Plan = Plan.ENTERPRISE) -> Caller:
        """A new organisation with its first key, which has every scope.

        Wrong keys that an earlier test sent from this machine are forgotten.
        """
        await self.redis.delete("wrong-keys:127.0.0.1")
        made = await self.register_fully(Applicant(name, "Ada", f"{uuid4().hex}@example.com", plan))
        group_id = encode_id("group", made.organisation.id)
        return Caller(self.client, made.key.key, encode_id("thing", made.key.id), group_id, made.actor)

    def client_at(self, address: str) -> httpx.AsyncClient:
        """A client whose connections come from another address."""
        transport = self.client._transport
        assert isinstance(transport, httpx.ASGITransport)
        elsewhere = httpx.ASGITransport(transport.app, client=(address, 40_000))
        return httpx.AsyncClient(transport=elsewhere, base_url=self.client.base_url)

    async def register_fully(self, applicant: Applicant) -> Registration:
        async with open_lookup(self.engine, email=applicant.email) as session:
            return await register_organisation(session, applicant, pepper=self.settings.key_pepper)

    async def issue(
        self,
        owner: Caller,
        *scopes: Scope,
        group_id: str | None = None,
        expires_at: datetime | None = None,
        per_minute: int | None = None,
    ) -> Caller:
        """A further key, with all scopes unless some are named; costs the organisation no request."""
        limit = RateLimit.model_construct(requests_per_minute=per_minute, requests_per_day=1_000_000)
        new = ApiKeyCreate.model_construct(
            name="Further key",
            scopes=list(scopes) or None,
            preset=None if scopes else Preset.ADMIN,
            group_id=decode_id(group_id)[1] if group_id else None,
            expires_at=expires_at,
            rate_limit=limit if per_minute else None,
        )
        async with open_transaction(self.engine, owner.owner) as session:
            made = await create_key(session, owner.owner, new, pepper=self.settings.key_pepper, now=utc_now())
        key_id, own_group = encode_id("thing", made.id), encode_id("group", made.group_id)
        return Caller(self.client, made.key, key_id, own_group, owner.owner)

    async def open_whole_pool(self) -> None:
        """Have every connection of the pool there, so that what is started at once does run at once."""
        async with AsyncExitStack() as stack:
            for _ in range(self.settings.database_pool_size):
                await stack.enter_async_context(self.engine.connect())

    async def raise_epoch(self, caller: Caller) -> None:
        await Limiter(self.redis).raise_epoch(caller.org_id)


async def join(inviter: Caller, name: str = "Grace", password: str = "correct horse battery", **invitation: Any) -> str:
    """Invite somebody and let them join as a browser would, with a new account unless theirs has this password.

    Returns the id of the person they are now.
    """
    body = {"email": f"{uuid4().hex}@example.com", "role": "org_user"} | invitation
    invited = await inviter.make("/v1/invitations", **body)
    async with new_browser(inviter.client) as browser:
        code = invited["link"].partition("#")[2]
        form = {"code": code, "name": name, "password": password}
        answer = await browser.post_form("/join/accept", form)
    assert answer.status_code == 303, answer.text
    found = await inviter.get("/v1/people", params={"email": body["email"], "groupId": invited["groupId"]})
    return found.json()["data"][0]["_id"]


@dataclass(frozen=True)
class Browser:
    """A client with cookies of its own, that fills in forms as the portal's pages ask it to."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def post_form(self, path: str, form: dict[str, Any]) -> httpx.Response:
        """Post a form with the token of this browser's session, which every page brings along."""
        if not self.client.cookies:
            await self.client.get("/sign-in")
        page = await self.client.get("/")
        token = re.search(r'name="csrf-token" content="([0-9a-f]+)"', page.text)
        assert token, page.text[:500]
        return await self.client.post(path, data=form | {"csrf": token[1]})


@asynccontextmanager
async def new_browser(client: httpx.AsyncClient) -> AsyncGenerator[Browser]:
    """A browser on the program that `client` talks to."""
    async with httpx.AsyncClient(transport=client._transport, base_url=client.base_url) as own:
        yield Browser(own)


@asynccontextmanager
async def running_program(settings: Settings) -> AsyncGenerator[Program]:
    """Assemble the program as a web process does, and take it apart again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    app = create_app(settings)
    engine, redis = create_engine(settings), create_redis(settings)
    transport = httpx.ASGITransport(app)
    try:
        async with _lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://one.test") as client:
            yield Program(settings, engine, redis, client, app, _innermost(app))
    finally:
        await redis.aclose()
        await engine.dispose()
        root.handlers[:] = handlers
        root.setLevel(level)


def _innermost(app: Any) -> Litestar:
    """The framework's application inside what is wrapped around it."""
    while not isinstance(app, Litestar):
        app = vars(app)["_app"]
    return app


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncGenerator[None]:
    """What a server tells an application before the first request and after the last."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.create_task(app(scope, told.get, heard.put))
    for phase in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{phase}"})
        assert (await heard.get())["type"] == f"lifespan.{phase}.complete"
        if phase == "startup":
            yield
    await running


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Ask until it is so; fails when the time is up."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in the database
            await asyncio.sleep(0.01)


async def until_decided(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """What an attempt returns or is refused with, repeated while the database is too busy to decide.

    That is what a client does on a 503; a refused attempt has left nothing.
    """
    while True:
        try:
            return await attempt()
        except PortalError as refusal:
            return refusal
        except (OperationalError, PoolTimeout):
            await asyncio.sleep(0)
