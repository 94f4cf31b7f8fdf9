"""The one place that opens Redis connections, and notices when the server is not the one it was.

Redis holds what may be lost: admission times, authorisation epochs, and the request log on its way to the database.
When a server restarts it may have forgotten the last second, epochs among it; `on_new_server` lets caches that rely on
them be dropped before the first answer of the new server is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import parse_url
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from ontology.settings import Settings

TIMEOUT_SECONDS = 2.0
CONNECTIONS_MAX = 32

__all__ = [
    "AsyncScript",
    "KnownServer",
    "Redis",
    "RedisAddress",
    "RedisError",
    "create_redis",
    "drop_connections",
    "find_plain_address",
]


class KnownServer:
    """The server all connections of this process belong to; each new connection asks which one it has reached."""

    def __init__(self, on_new_server: Callable[[], None]) -> None:
        self._on_new_server = on_new_server
        self._run_id = ""

    def notice(self, info: bytes) -> None:
        """What `INFO server` answered on a new connection, before anything else is asked there."""
        run_id = next((line[7:].strip() for line in info.decode().splitlines() if line.startswith("run_id:")), "")
        if self._run_id not in ("", run_id):
            self._on_new_server()
        self._run_id = run_id


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server that is reached without TLS: on a Unix socket if `path` is set."""

    path: str
    host: str
    port: int
    username: str | None
    password: str | None
    database: int


def find_plain_address(url: str) -> RedisAddress | None:
    """The address in a URL; None where a connection needs more than a socket, which the pool knows how to make."""
    if not url.startswith(("unix:", "redis:")):
        return None
    found = cast("dict[str, Any]", parse_url(url))
    if found.keys() - {"path", "host", "port", "username", "password", "db", "connection_class"}:
        return None
    return RedisAddress(
        path=found.get("path", "") if url.startswith("unix:") else "",
        host=found.get("host", "localhost"),
        port=found.get("port", 6379),
        username=found.get("username"),
        password=found.get("password"),
        database=found.get("db", 0),
    )


def create_redis(
    settings: Settings, on_new_server: Callable[[], None] = lambda: None, *, server: KnownServer | None = None
) -> Redis:
    """A client that waits for a free connection instead of failing, and fails within seconds when Redis is away."""
    known = server or KnownServer(on_new_server)

    async def greet(connection: Connection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        known.notice(cast("bytes", await connection.read_response()))

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
