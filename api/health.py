"""`/health/live` and `/health/ready`: whether the process runs, and whether it can serve."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from litestar import Request, Response, get
from sqlalchemy.exc import SQLAlchemyError

from api.services import Services
from ontology.database import check_database
from ontology.errors import SearchUnavailable
from ontology.redis_client import RedisError

CHECK_SECONDS = 2.0
# Held, since the event loop itself holds no task.
_late: set[asyncio.Task[bool]] = set()


@get("/health/live", opt={"public": True})
async def live() -> dict[str, str]:
    """The process runs."""
    return {"status": "live"}


@get("/health/ready", opt={"public": True})
async def ready(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The parts a request needs answer; search may still be loading or its index be built, and is told apart."""
    services: Services = request.app.state.services
    database, redis, (index, search) = await asyncio.gather(
        _answers(check_database(services.engine)),
        _answers(services.redis.ping()),  # pyright: ignore[reportUnknownMemberType]
        _find_index(services),
    )
    parts = {"database": database, "redis": redis, "search": search}
    able = database and redis
    body = {"status": "ready" if able else "unready", "parts": parts, "searchIndex": index}
    return Response(body, status_code=200 if able else 503, headers={} if able else {"retry-after": "2"})


async def _find_index(services: Services) -> tuple[str, bool]:
    """What the knowledge process says of its index, and whether searches are answered."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            whole = await services.knowledge.ping()
    except (SearchUnavailable, TimeoutError):
        return "unknown", False
    return ("whole" if whole else "building"), whole


async def _answers(check: Awaitable[Any]) -> bool:
    """Whether it answers in time; a late check is left to end by itself, since it holds a connection of a pool."""
    task = asyncio.create_task(_succeeds(check))
    done, _ = await asyncio.wait({task}, timeout=CHECK_SECONDS)
    if not done:
        _late.add(task)
        task.add_done_callback(_late.discard)
        return False
    return task.result()


async def _succeeds(check: Awaitable[Any]) -> bool:
    try:
        await check
    except (SQLAlchemyError, RedisError, SearchUnavailable, OSError, TimeoutError):
        return False
    return True


handlers = [live, ready]
