"""The faults. Each function does its harm and returns when the part it harmed is there again."""

import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic, sleep
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import psycopg
from redis import Redis, RedisError

from benchmarks.faults.load import SEARCHES, USUAL
from benchmarks.program import RunningProgram, wait_until
from portal.embedded_postgres import DATABASE, SUPERUSER
from portal.embedded_redis import MEMORY_MAX

# Longer than any request may take.
HUNG_SECONDS = 12.0
RESETS, RESET_EVERY_SECONDS = 10, 0.5
GONE_SECONDS = 6.0
RETURN_SECONDS_MAX = 60.0
COMMANDS = {
    "database": "bin/postgres -D",
    "redis": "valkey-server",
    "knowledge": "-m knowledge",
    "worker": "-m worker",
    "web": "-m granian",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, what it may cost, and what the load asks for meanwhile."""

    name: str
    inflict: Callable[[RunningProgram], None]
    breaks_connections: bool = False
    """Clients lose their connection, since nobody is left to answer."""

    forgets_calls: bool = False
    """Calls of the last second may be missing in the request log."""

    kinds: Sequence[str] = USUAL


def kill_web_process(program: RunningProgram) -> None:
    killed = _web_processes(program)[0]
    killed.kill()
    wait_until(
        lambda: killed not in (alive := _web_processes(program)) and len(alive) == _web_count(program),
        "a web process does not return",
        RETURN_SECONDS_MAX,
    )
    _wait_live(program)


def kill_web(program: RunningProgram) -> None:
    """The server's master and all its processes at once."""
    _kill(program, "web")
    _wait_live(program)


def kill_worker(program: RunningProgram) -> None:
    _kill(program, "worker")


def kill_database(program: RunningProgram) -> None:
    """The server and all its processes at once."""
    _kill(program, "database")
    _wait_database(program)


def kill_redis(program: RunningProgram) -> None:
    _kill(program, "redis")
    _wait_redis(program)


def kill_knowledge(program: RunningProgram) -> None:
    _kill(program, "knowledge")
    wait_until(lambda: '"search":true' in _ready(program), "search does not return", RETURN_SECONDS_MAX)


def hang_database(program: RunningProgram) -> None:
    with _stopped(program, "database"):
        sleep(HUNG_SECONDS)


def hang_redis(program: RunningProgram) -> None:
    with _stopped(program, "redis"):
        sleep(HUNG_SECONDS)


def lock_table(program: RunningProgram) -> None:
    """Somebody's transaction holds the table for itself."""
    with program.owner_connection() as connection:
        connection.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        sleep(HUNG_SECONDS)


def reset_connections(program: RunningProgram) -> None:
    """Every connection to both stores, again and again."""
    postgres = program.installation.postgres
    assert postgres is not None
    with psycopg.connect(postgres.url(SUPERUSER, DATABASE), autocommit=True) as connection, _redis(program) as redis:
        for _ in range(RESETS):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('one', 'one-hot')"
            )
            redis.client_kill_filter(_type="normal", skipme=True)
            sleep(RESET_EVERY_SECONDS)


def take_redis_away(program: RunningProgram) -> None:
    """It is killed whenever it has returned."""
    ends = monotonic() + GONE_SECONDS
    while monotonic() < ends:
        with suppress(LookupError, psutil.NoSuchProcess):
            _find(program, "redis").kill()
        sleep(0.05)
    _wait_redis(program)


def fill_redis(program: RunningProgram) -> None:
    """No room: what would need some is refused, since nothing may be evicted."""
    with _redis(program) as redis:
        redis.config_set("maxmemory", "1mb")
        try:
            sleep(GONE_SECONDS)
        finally:
            redis.config_set("maxmemory", MEMORY_MAX)


FAULTS = {
    "web-process": Fault("kill -9 of one web process", kill_web_process, breaks_connections=True),
    "web": Fault("kill -9 of the web server", kill_web, breaks_connections=True),
    "worker": Fault("kill -9 of the worker", kill_worker),
    "database": Fault("kill -9 of PostgreSQL", kill_database),
    "redis": Fault("kill -9 of Redis", kill_redis, forgets_calls=True),
    "database-hung": Fault(f"PostgreSQL hangs for {HUNG_SECONDS:.0f} s", hang_database),
    "redis-hung": Fault(f"Redis hangs for {HUNG_SECONDS:.0f} s", hang_redis),
    "table-locked": Fault(f"a table is locked for {HUNG_SECONDS:.0f} s", lock_table),
    "connections-reset": Fault(f"all connections reset {RESETS} times", reset_connections),
    "redis-gone": Fault(f"Redis is gone for {GONE_SECONDS:.0f} s", take_redis_away, forgets_calls=True),
    "redis-full": Fault(f"Redis is full for {GONE_SECONDS:.0f} s", fill_redis),
    "knowledge": Fault("kill -9 of the knowledge process", kill_knowledge, kinds=SEARCHES),
}


def _find(program: RunningProgram, part: str) -> psutil.Process:
    """Raises: LookupError when it does not run."""
    for process in psutil.Process(program.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if COMMANDS[part] in " ".join(process.cmdline()):
                return process
    raise LookupError(part)


def _kill(program: RunningProgram, part: str) -> None:
    """`kill -9` of a part with all its processes, and wait for the one that takes its place."""
    found = _find(program, part)
    for process in (*found.children(recursive=True), found):
        with suppress(psutil.NoSuchProcess):
            process.kill()

    def is_replaced() -> bool:
        with suppress(LookupError):
            return _find(program, part) != found
        return False

    wait_until(is_replaced, f"{part} is not started again", RETURN_SECONDS_MAX)


@contextmanager
def _stopped(program: RunningProgram, part: str) -> Generator[None]:
    """Its processes keep their connections and do nothing."""
    found = _find(program, part)
    processes = [found, *found.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def _web_processes(program: RunningProgram) -> list[psutil.Process]:
    found = _find(program, "web").children()
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def _web_count(program: RunningProgram) -> int:
    return program.installation.settings.web_processes


@contextmanager
def _redis(program: RunningProgram) -> Generator[Redis]:
    with Redis.from_url(program.installation.settings.redis_url, socket_timeout=2) as redis:
        yield redis


def _wait_database(program: RunningProgram) -> None:
    def answers() -> bool:
        with suppress(psycopg.OperationalError), program.owner_connection() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
        return False

    wait_until(answers, "PostgreSQL does not return", RETURN_SECONDS_MAX)


def _wait_redis(program: RunningProgram) -> None:
    def answers() -> bool:
        with suppress(RedisError), _redis(program) as redis:
            return bool(redis.ping())
        return False

    wait_until(answers, "Redis does not return", RETURN_SECONDS_MAX)


def _wait_live(program: RunningProgram) -> None:
    def answers() -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{program.port}/health/live", timeout=5) as answer:
            return answer.status == 200
        return False

    wait_until(answers, "the web server does not return", RETURN_SECONDS_MAX)


def _ready(program: RunningProgram) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{program.port}/health/ready", timeout=5) as answer:
            return answer.read().decode()
    except HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""
