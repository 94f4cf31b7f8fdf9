"""The embedded PostgreSQL: where it runs, who may connect, and that it survives what machines do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from portal.child_process import PROJECT_DIR, StartError, spawn, stop
from portal.embedded_postgres import (
    APP_ROLE,
    OWNER_ROLE,
    EmbeddedPostgres,
    embedded_postgres,
    find_running_postgres,
    running_postgres,
)
from portal.local_secrets import LocalSecrets, load_or_make_secrets, open_data_dir
from tests.parts import Parts, temporary_data_dir, wait_for

START_AND_WAIT = """
import sys, time
from pathlib import Path
from portal.embedded_postgres import embedded_postgres, running_postgres
from portal.local_secrets import load_or_make_secrets
data_dir = Path(sys.argv[1])
with running_postgres(embedded_postgres(data_dir, load_or_make_secrets(data_dir))):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as data_dir:
        yield data_dir


def _cluster(data_dir: Path) -> EmbeddedPostgres:
    return embedded_postgres(data_dir, load_or_make_secrets(data_dir), durable=False)


def _answer(server: EmbeddedPostgres, query: str, role: str = APP_ROLE) -> object:
    with psycopg.connect(server.url(role)) as connection:
        row = connection.execute(query).fetchone()
        return None if row is None else row[0]


@pytest.mark.parametrize(
    ("below", "closed"),
    [("data", False), ("data", True), ("long-" * 20, False), ("a name with spaces", False)],
    ids=["open", "closed to others", "too long for a socket", "spaces"],
)
def test_cluster_runs_wherever_its_directory_is(data_dir: Path, below: str, closed: bool) -> None:
    data_dir.chmod(0o700 if closed else 0o711)
    data_dir = data_dir / below
    open_data_dir(data_dir)
    for _ in range(2):
        with running_postgres(_cluster(data_dir)) as server:
            assert _answer(server, "SELECT current_user") == APP_ROLE
            found = find_running_postgres(data_dir, server.secrets)
            assert found is not None
            assert found.url(APP_ROLE) == server.url(APP_ROLE)
    assert find_running_postgres(data_dir, load_or_make_secrets(data_dir)) is None


def test_program_role_owns_nothing_and_cannot_bypass_row_level_security(parts: Parts, database: str) -> None:
    query = "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    with psycopg.connect(parts.postgres.url(APP_ROLE, database)) as connection:
        assert connection.execute(query).fetchone() == (False, False, False, False)
        owned = "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
        assert connection.execute(owned).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine ()")


@pytest.mark.parametrize("role", [APP_ROLE, OWNER_ROLE, "postgres"])
def test_wrong_password_is_refused_for_every_role(parts: Parts, role: str) -> None:
    other = EmbeddedPostgres(parts.postgres.data_dir, LocalSecrets(), parts.postgres.port)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(other.url(role, "postgres"))


def test_text_sorts_and_folds_the_same_on_every_machine(parts: Parts) -> None:
    query = "SELECT datlocprovider, datlocale, lower('ÄÉ') FROM pg_database WHERE datname = current_database()"
    with psycopg.connect(parts.superuser_url("postgres")) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    assert [part.decode() if isinstance(part, bytes) else part for part in row] == ["b", "C.UTF-8", "äé"]


def test_killed_server_starts_again_with_its_rows_though_its_process_id_is_a_strangers(data_dir: Path) -> None:
    server = embedded_postgres(data_dir, load_or_make_secrets(data_dir))
    server.prepare()
    process = spawn(server.command())
    server.wait_ready(process)
    with psycopg.connect(server.url(OWNER_ROLE)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    process.kill()
    process.wait()
    pid_file = server.directory / "postmaster.pid"
    _, *rest = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *rest]) + "\n")
    (server.directory / ".s.PGSQL.5432.lock").write_text("\n".join([str(os.getpid()), *rest]) + "\n")
    with running_postgres(server) as server:
        assert _answer(server, "SELECT number FROM kept", OWNER_ROLE) == 1


def test_server_ends_with_the_process_that_started_it_and_starts_at_once_again(data_dir: Path) -> None:
    server = _cluster(data_dir)
    command = [sys.executable, "-c", START_AND_WAIT, str(data_dir)]
    with subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
        starter.kill()
    with running_postgres(server, lock_seconds=5):
        assert _answer(server, "SELECT 1") == 1


def test_unfinished_cluster_of_a_crash_is_made_anew(data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    (data_dir / "postgres.password").write_text("half written")
    with running_postgres(_cluster(data_dir)) as server:
        assert _answer(server, "SELECT 1") == 1
    assert not (data_dir / "postgres.new").exists()
    assert not (data_dir / "postgres.password").exists()


def test_second_user_of_a_cluster_waits_and_then_gives_up(data_dir: Path) -> None:
    server = _cluster(data_dir)
    with running_postgres(server), pytest.raises(BlockingIOError), running_postgres(server, lock_seconds=0):
        pass


def test_lost_secrets_are_named_instead_of_a_failing_password(data_dir: Path) -> None:
    with running_postgres(_cluster(data_dir)):
        pass
    (data_dir / "secrets.json").unlink()
    with pytest.raises(StartError, match=r"secrets\.json is missing"):
        load_or_make_secrets(data_dir)
    with (
        pytest.raises(StartError, match=r"refuses the passwords of secrets\.json"),
        running_postgres(embedded_postgres(data_dir, LocalSecrets())),
    ):
        pass


def test_failed_start_says_why_in_one_line(data_dir: Path) -> None:
    server = _cluster(data_dir)
    broken = EmbeddedPostgres(server.data_dir, server.secrets, 0, (("max_connections", "none"),))
    broken.prepare()
    process = spawn(broken.command())
    with pytest.raises(StartError, match="max_connections") as caught:
        broken.wait_ready(process)
    stop(process, broken.command())
    assert "\n" not in str(caught.value)


def test_server_left_by_a_crashed_supervisor_is_stopped_first(data_dir: Path) -> None:
    server = _cluster(data_dir)
    server.prepare()
    left = spawn(server.command())
    server.wait_ready(left)
    with running_postgres(server):
        wait_for(lambda: left.poll() is not None)
        assert left.returncode in (0, -signal.SIGINT)
        assert _answer(server, "SELECT 1") == 1
