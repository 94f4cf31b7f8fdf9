"""The one place that opens Redis connections, and notices when the server is not the one it was.

Redis holds what may be lost: admission times, authorisation epochs, and the request log on its way to the database.
When a server restarts it may have forgotten the last second, epochs among it; `on_new_server` lets caches that rely on
them be dropped before the first answer of the new server is used.
"""

from collections.abc import Callable
from typing import cast

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from ontology.settings import Settings

TIMEOUT_SECONDS = 2.0
CONNECTIONS_MAX = 32

__all__ = ["AsyncScript", "Redis", "RedisError", "create_redis", "drop_connections"]


def create_redis(settings: Settings, on_new_server: Callable[[], None] = lambda: None) -> Redis:
    """A client that waits for a free connection instead of failing, and fails within seconds when Redis is away."""
    known: dict[str, str] = {}

    async def greet(connection: Connection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        answer = cast("bytes", await connection.read_response())
        text = answer.decode()
        run_id = next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), "")
        if known.setdefault("run_id", run_id) != run_id:
            known["run_id"] = run_id
            on_new_server()

    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        settings.redis_url,
        max_connections=CONNECTIONS_MAX,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        redis_connect_func=greet,
    )
    return Redis.from_pool(pool)


async def drop_connections(redis: Redis) -> None:
    """Close the idle connections: after one has failed the others are of the same lost server, each good for an error.

    Nothing is repeated on the caller's behalf, since a script that was cut off may have counted.
    """
    await redis.connection_pool.disconnect(inuse_connections=False)
