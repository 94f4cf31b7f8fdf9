"""Starts what is measured: the whole program on embedded parts in a directory of its own, and the floor beside it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from time import monotonic, sleep

import psutil
import psycopg
from redis import Redis

from benchmarks.passages import INSERT, MadeDocument
from ontology.ids import decode_id
from ontology.request_log import STREAM
from portal.child_process import PROJECT_DIR
from portal.embedded_postgres import free_port
from portal.installation import Installation, assemble_installation

START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 120.0
# So many that no limit binds; every request is still counted and decided like any other.
UNBINDING_LIMITS = {"requestsPerMinute": 10_000_000, "requestsPerDay": 1_000_000_000}


@dataclass(frozen=True)
class RunningProgram:
    """The program, its connections for preparing and looking, and how long it took to start."""

    installation: Installation
    port: int
    start_seconds: float
    process: subprocess.Popen[bytes]

    @contextmanager
    def owner_connection(self) -> Generator[psycopg.Connection]:
        """As the owner of the tables, who is bound by row-level security like everybody."""
        with psycopg.connect(self.installation.settings.database_owner_url) as connection:
            yield connection

    def web_memory_mb(self) -> float:
        """Resident memory of the largest web process (the server's own master is the smaller one)."""
        return round(max(process.memory_info().rss for process in server_processes(self.process)) / 2**20, 1)

    def settle(self) -> None:
        """Wait until the worker has stored what was logged, so that one measurement does not pay for another."""
        with Redis.from_url(self.installation.settings.redis_url) as redis:
            wait_until(lambda: redis.xlen(STREAM) == 0, "the request log does not get empty", SETTLE_SECONDS_MAX)

    def wait_indexed(self) -> None:
        """Wait until every document can be found, and searches are answered."""
        query = "SELECT count(*) FROM knowledge_items WHERE knowledge_type = 'document' AND indexed_version < version"

        def is_indexed() -> bool:
            if not self._is_searchable():
                return False
            with self.owner_connection() as connection:
                connection.execute("SELECT set_config('app.duty', 'indexing', true)")
                return connection.execute(query).fetchone() == (0,)

        wait_until(is_indexed, "documents stay without an index", 20 * SETTLE_SECONDS_MAX)

    def _is_searchable(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=30) as answer:
            return json.load(answer)["parts"]["search"]


def wait_until(condition: Callable[[], bool], complaint: str, seconds: float) -> None:
    """Raises: TimeoutError with the complaint."""
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {seconds:.0f} s")
        sleep(0.05)


@contextmanager
def temporary_data_dir() -> Generator[Path]:
    """A short path, since sockets lie below it, which a database that runs as `nobody` can reach."""
    data_dir = Path(tempfile.mkdtemp(prefix="one-bench-")).resolve()
    data_dir.chmod(0o711)
    try:
        yield data_dir
    finally:
        rmtree(data_dir, ignore_errors=True)


def program_environment(data_dir: Path, web_processes: int) -> dict[str, str]:
    """Nothing of the operator's own settings, so that two runs on one machine measure the same."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PORT": str(free_port()),
        "DATA_DIR": str(data_dir),
        "WEB_PROCESSES": str(web_processes),
        "LOG_LEVEL": "warning",
    }


@contextmanager
def running_program(env: Mapping[str, str]) -> Generator[RunningProgram]:
    """Run the program as `make run` does.

    Raises:
        RuntimeError: it does not start; what it printed is in the message.
    """
    output_file = Path(env["DATA_DIR"]) / "output.log"
    began = monotonic()
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "portal", "run", "--stop-with-parent"],
            env=dict(env),
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while b"ONE is ready at " not in output_file.read_bytes():
            if process.poll() is not None or monotonic() > began + START_SECONDS_MAX:
                raise RuntimeError("the program does not start:\n" + output_file.read_text(errors="replace"))
            sleep(0.02)
        seconds = round(monotonic() - began, 2)
        yield RunningProgram(assemble_installation(env), int(env["PORT"]), seconds, process)
    finally:
        _stop(process)


def server_processes(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The HTTP server's master and the processes that serve, wherever below `process` they are."""
    started = psutil.Process(process.pid)
    inside = [started, *started.children(recursive=True)]
    masters = [found for found in inside if "granian" in _command_line(found)]
    return [*masters, *(child for master in masters for child in master.children(recursive=True))]


def _command_line(process: psutil.Process) -> list[str]:
    """Empty for one that has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def knowledge_cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that the knowledge process below `process` has used so far."""
    below = psutil.Process(process.pid).children(recursive=True)
    times = [found.cpu_times() for found in below if _command_line(found)[-2:] == ["-m", "knowledge"]]
    return sum(time.user + time.system for time in times)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that the HTTP server below `process` has used so far."""
    times = [found.cpu_times() for found in set(server_processes(process))]
    return sum(time.user + time.system for time in times)


@dataclass(frozen=True)
class RunningFloor:
    """The bare handler's server."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def running_floor() -> Generator[RunningFloor]:
    """The bare handler on the same server with the same options, in one process."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "granian", "benchmarks.floor:create_app", "--factory", "--interface", "asgi"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--loop", "uvloop", "--no-ws"),
        *("--http", "1", "--log-level", "warning"),
    ]
    process = subprocess.Popen(command, cwd=PROJECT_DIR, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port, "/floor"), "the floor does not start", START_SECONDS_MAX)
        yield RunningFloor(port, process)
    finally:
        _stop(process)


def register(env: Mapping[str, str]) -> tuple[str, str]:
    """A new enterprise organisation: its id and key."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "portal", "register", "Benchmark"),
            *(f"bench-{os.urandom(4).hex()}@example.com", "--plan", "enterprise"),
        ],
        env=dict(env),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        check=True,
    )
    made = json.loads(finished.stdout)
    return made["organisationId"], made["key"]


def lift_limits(program: RunningProgram, organisation_id: str) -> None:
    """Limits of the organisation's own, before its first request, since credentials are cached with them."""
    with program.owner_connection() as connection:
        org_id = str(decode_id(organisation_id)[1])
        connection.execute(
            "SELECT set_config('app.org_id', %s, true), set_config('app.group_id', %s, true)", [org_id] * 2
        )
        limits = json.dumps(UNBINDING_LIMITS)
        found = connection.execute("UPDATE groups SET custom_limits = %s WHERE id = %s", [limits, org_id])
        assert found.rowcount == 1


def fill(program: RunningProgram, organisation_id: str, rows: int) -> list[str]:
    """Store things of five types, a tenth of them deleted; ids of those that are not."""
    with program.owner_connection() as connection:
        org_id = str(decode_id(organisation_id)[1])
        connection.execute(
            "SELECT set_config('app.org_id', %s, true), set_config('app.group_id', %s, true)", [org_id] * 2
        )
        connection.execute(_FILL.encode(), {"org_id": org_id, "rows": rows, "actor": organisation_id})
        found = connection.execute("SELECT id FROM things WHERE type = 'course' AND deleted_at IS NULL LIMIT 1000")
        ids = [row[0] for row in found.fetchall()]
        connection.execute("ANALYZE things")
    return [str(id) for id in ids]


_FILL = """
INSERT INTO things
    (org_id, id, group_id, type, name, properties, status, created_at, updated_at, deleted_at, created_by)
SELECT %(org_id)s, uuidv7(), %(org_id)s, (ARRAY['course', 'lesson', 'video', 'podcast', 'blog_post'])[n %% 5 + 1],
       'Thing number ' || n,
       jsonb_build_object('title', 'Thing number ' || n, 'price', n %% 100, 'currency', 'EUR', 'tags',
                          jsonb_build_array('botany', 'garden', n::text)),
       (ARRAY['draft', 'active', 'published'])[n %% 3 + 1], now(), now(),
       CASE WHEN n %% 10 = 7 THEN now() END, %(actor)s
FROM generate_series(1, %(rows)s) AS n
"""


def store_documents(program: RunningProgram, organisation_id: str, documents: list[MadeDocument]) -> None:
    """As rows; `write_points` adds them to the index."""
    with program.owner_connection() as connection:
        org_id = decode_id(organisation_id)[1]
        connection.execute(
            "SELECT set_config('app.org_id', %s, true), set_config('app.group_id', %s, true)", [str(org_id)] * 2
        )
        rows = [row for document in documents for row in document.rows(org_id)]
        connection.cursor().executemany(INSERT, rows)
        connection.execute("ANALYZE knowledge_items")


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
