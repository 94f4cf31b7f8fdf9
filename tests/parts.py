"""The real parts that tests run on: PostgreSQL, Redis, and the whole program, each started once for a test run."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from time import monotonic, sleep

import httpx
import psycopg
from psycopg import sql
from redis import Redis

from ontology.migration import migrate
from ontology.settings import Settings
from portal import child_process
from portal.child_process import PROJECT_DIR
from portal.embedded_postgres import (
    APP_ROLE,
    OWNER_ROLE,
    SUPERUSER,
    EmbeddedPostgres,
    embedded_postgres,
    free_port,
    grant_connect,
    running_postgres,
)
from portal.embedded_redis import embedded_redis
from portal.local_secrets import load_or_make_secrets

TEMPLATE_DATABASE = "template_one"
START_SECONDS = 90
# Every page is embedded on what the machine has left.
INDEXING_SECONDS = 600
STOP_SECONDS = 60

# What belongs to the operator's shell, not to a test.
FOREIGN_SETTINGS = (
    *("ENVIRONMENT", "HOST", "PORT", "PUBLIC_URL", "DATA_DIR", "WEB_PROCESSES", "DATABASE_URL"),
    *("DATABASE_OWNER_URL", "REDIS_URL", "QDRANT_URL", "QDRANT_API_KEY", "KNOWLEDGE_SOCKET", "KEY_PEPPER"),
    *("SECRET_KEY", "DEBUG", "EMBEDDING_MODEL", "LOG_LEVEL", "TRUSTED_PROXIES", "DATABASE_POOL_SIZE"),
    *("GITHUB_PUBLIC_KEYS", "GENERATOR_URL", "GENERATOR_MODEL", "GENERATOR_KEY", "GENERATOR_SECONDS"),
)


@dataclass(frozen=True)
class Parts:
    """One PostgreSQL cluster and one Redis server for the whole test run."""

    postgres: EmbeddedPostgres
    redis_url: str
    key_pepper: str
    secret_key: str
    _numbers: Generator[int] = field(default_factory=lambda: (n for n in itertools.count(1)))

    def settings(self, database: str, data_dir: Path, **overrides: str) -> Settings:
        """Settings of a program on `database`; `overrides` are environment variables."""
        return Settings.from_environment(
            {
                "ENVIRONMENT": "test",
                "DATA_DIR": str(data_dir),
                "DATABASE_URL": self.postgres.url(APP_ROLE, database),
                "DATABASE_OWNER_URL": self.postgres.url(OWNER_ROLE, database),
                "REDIS_URL": self.redis_url,
                "KEY_PEPPER": self.key_pepper,
                "SECRET_KEY": self.secret_key,
                **overrides,
            }
        )

    def superuser_url(self, database: str) -> str:
        """For tests that look behind the walls; nothing in the program connects like this."""
        return self.postgres.url(SUPERUSER, database)

    @contextmanager
    def new_database(self, template: str | None = TEMPLATE_DATABASE) -> Generator[str]:
        """A database of its own for a test: a copy of the migrated template, or an empty one for `None`."""
        name = f"test_{next(self._numbers)}"
        with self._superuser() as connection:
            names = {"name": sql.Identifier(name), "owner": sql.Identifier(OWNER_ROLE)}
            statement = sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names)
            if template is not None:
                statement += sql.SQL(" TEMPLATE {} STRATEGY wal_log").format(sql.Identifier(template))
            connection.execute(statement)
            grant_connect(connection, name)
        try:
            yield name
        finally:
            with self._superuser() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def closed_database(self, name: str) -> Generator[None]:
        """A database that takes no connections and has lost those it had, for the length of the block."""
        database = sql.Identifier(name)
        with self._superuser() as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            try:
                yield
            finally:
                connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))

    def make_template(self) -> None:
        """Migrate once; every test database is a copy of the result."""
        with self._superuser() as connection:
            names = {"name": sql.Identifier(TEMPLATE_DATABASE), "owner": sql.Identifier(OWNER_ROLE)}
            connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))
            grant_connect(connection, TEMPLATE_DATABASE)
        settings = self.settings(TEMPLATE_DATABASE, self.postgres.data_dir)
        with ThreadPoolExecutor(1) as pool:  # the thread of the tests has an event loop already
            pool.submit(lambda: asyncio.run(migrate(settings))).result()

    def empty_redis(self) -> None:
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()

    def _superuser(self) -> psycopg.Connection:
        return psycopg.connect(self.superuser_url("postgres"), autocommit=True)


@contextmanager
def running_parts() -> Generator[Parts]:
    """Both servers with a migrated template database, for the length of the block."""
    with temporary_data_dir() as data_dir:
        secrets = load_or_make_secrets(data_dir)
        redis = embedded_redis(data_dir, secrets)
        redis.prepare()
        process = child_process.spawn(redis.command())
        try:
            redis.wait_ready(process)
            with running_postgres(embedded_postgres(data_dir, secrets, durable=False)) as postgres:
                parts = Parts(postgres, redis.url, secrets.key_pepper, secrets.secret_key)
                parts.make_template()
                yield parts
        finally:
            child_process.stop(process, redis.command())


@contextmanager
def temporary_data_dir() -> Generator[Path]:
    """A short path (sockets live below it) that a database running as `nobody` can reach."""
    data_dir = Path(tempfile.mkdtemp(prefix="one-test-")).resolve()
    data_dir.chmod(0o711)
    try:
        yield data_dir
    finally:
        rmtree(data_dir, ignore_errors=True)


@dataclass
class RunningPortal:
    """The whole program as a process tree of its own, as `make run` starts it."""

    base_url: str
    data_dir: Path
    env: Mapping[str, str]
    process: subprocess.Popen[bytes]
    output_file: Path

    @property
    def output(self) -> list[str]:
        """The lines it has printed so far, on both outputs."""
        return self.output_file.read_text(errors="replace").splitlines(keepends=True)

    def wait_searchable(self) -> None:
        """Wait until the index is whole; a test that may be the first to wait allows for it in its timeout."""
        address = f"{self.base_url}/health/ready"

        def is_searchable() -> bool:
            answer = httpx.get(address, timeout=30)
            return answer.status_code == 200 and answer.json()["parts"]["search"]

        wait_for(is_searchable, INDEXING_SECONDS)

    def register(self, name: str = "Acme", email: str = "", plan: str = "enterprise") -> dict[str, str]:
        """Register an organisation at the command line: `organisationId`, `key` and more."""
        email = email or f"owner-{os.urandom(4).hex()}@example.com"
        finished = run_portal(self.env, "register", name, email, "--plan", plan)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Poll until `condition()`; fails when the time is up."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen in time"
        sleep(0.02)


def run_portal(env: Mapping[str, str], *arguments: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
    """`python -m portal …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "portal", *arguments],
        env=dict(env),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def portal_environment(data_dir: Path, **overrides: str) -> dict[str, str]:
    """This process's environment without its settings of the program, on a free port and `data_dir`."""
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN_SETTINGS}
    port = str(free_port())
    return {**inherited, "PORT": port, "DATA_DIR": str(data_dir), "ENVIRONMENT": "development", **overrides}


@contextmanager
def portal_program(env: Mapping[str, str]) -> Generator[RunningPortal]:
    """Start the whole program and wait for the line with its address; stop it at the end of the block.

    What it prints is kept in `output` and shown when it does not start.
    """
    output_file = Path(env["DATA_DIR"]) / "output.log"
    with output_file.open("wb") as output:
        # A file and not a pipe: a process that outlives the program must not hold up the test that finds it.
        process = subprocess.Popen(
            [sys.executable, "-m", "portal", "run", "--stop-with-parent"],
            env=dict(env),
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    portal = RunningPortal(f"http://127.0.0.1:{env['PORT']}", Path(env["DATA_DIR"]), env, process, output_file)
    try:
        _wait_for_address(portal)
        yield portal
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_address(portal: RunningPortal) -> None:
    for _ in range(START_SECONDS * 20):
        if any(line.startswith("ONE is ready at ") for line in portal.output):
            return
        try:
            portal.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError("the program did not start:\n" + "".join(portal.output))
