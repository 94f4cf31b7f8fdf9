"""Several real web processes on one database and a Redis of their own, and clients that reach every one of them."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Event
from typing import Any, TypeVar

import psutil

from ontology.settings import Settings
from portal import child_process
from portal.child_process import Command
from portal.embedded_postgres import free_port
from portal.embedded_redis import EmbeddedRedis, embedded_redis
from portal.local_secrets import load_or_make_secrets
from portal.supervisor import web_arguments
from tests.parts import Parts, portal_environment, temporary_data_dir, wait_for

ANSWER_SECONDS = 30.0
LINES_OPENED_MAX = 600
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, with the moments (seconds since 1970) its request was sent and it was received."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent: float
    received: float

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Line:
    """One connection of one client that stays open, so that it reaches the same web process every time."""

    connection: http.client.HTTPConnection

    def get(self, key: str = "", path: str = "/v1/whoami") -> Answer:
        return self.send("GET", key, path)

    def send(self, method: str, key: str, path: str, body: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body)
        sent = time.time()
        self.connection.request(method, path, content, headers)
        response = self.connection.getresponse()
        content = response.read()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, content, sent, time.time())

    @property
    def local_port(self) -> int:
        return self.connection.sock.getsockname()[1]


@dataclass
class RunningWeb:
    """The web processes of one program; `redis` can be taken away and brought back."""

    settings: Settings
    master: subprocess.Popen[bytes]
    redis: EmbeddedRedis
    _redis_process: subprocess.Popen[bytes] | None = field(default=None)

    def processes(self) -> list[psutil.Process]:
        found = psutil.Process(self.master.pid).children()
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

    @contextmanager
    def lines(self, each: int) -> Generator[list[Line]]:
        """That many open connections to each of the web processes."""
        opened: list[Line] = []
        try:
            yield self._open_lines(each, opened)
        finally:
            for line in opened:
                line.connection.close()

    def _open_lines(self, each: int, opened: list[Line]) -> list[Line]:
        pids = [process.pid for process in self.processes()]
        assert len(pids) == self.settings.web_processes
        while len(opened) < LINES_OPENED_MAX:
            for _ in range(16):
                opened.append(_dial(self.settings))
                assert opened[-1].get(path="/health/live").status == 200
            by_port = {line.local_port: line for line in opened}
            held = {pid: [by_port[port] for port in _client_ports(pid) if port in by_port] for pid in pids}
            if all(len(lines) >= each for lines in held.values()):
                # One of every process after another, so that any number of them is spread over all.
                return [line for row in zip(*(lines[:each] for lines in held.values()), strict=True) for line in row]
        raise AssertionError(f"{LINES_OPENED_MAX} connections do not reach every web process")

    def start_redis(self) -> None:
        self.redis.prepare()
        self._redis_process = child_process.spawn(self.redis.command())
        self.redis.wait_ready(self._redis_process)

    def kill_redis(self) -> None:
        """As a crash would: what was not yet synced is lost."""
        assert self._redis_process is not None
        self._redis_process.kill()
        self._redis_process.wait()

    def stop_redis(self) -> None:
        if self._redis_process is not None:
            child_process.stop(self._redis_process, self.redis.command())


@contextmanager
def running_web(parts: Parts, database: str, *, processes: int) -> Generator[RunningWeb]:
    """Start the web processes as the supervisor does, without the parts that do not decide who is admitted."""
    with temporary_data_dir() as data_dir:
        secrets = load_or_make_secrets(data_dir)
        redis = embedded_redis(data_dir, secrets)
        port = str(free_port())
        overrides = {"PORT": port, "WEB_PROCESSES": str(processes), "REDIS_URL": redis.url}
        settings = parts.settings(database, data_dir, **overrides)
        command = _web_command(settings, data_dir)
        web = RunningWeb(settings, child_process.spawn(command), redis)
        try:
            web.start_redis()
            wait_for(lambda: _is_serving(web), seconds=90)
            yield web
        finally:
            child_process.stop(web.master, command)
            web.stop_redis()


def at_once(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run every task on a thread of its own, all of them let go together."""
    gate = Barrier(len(tasks))

    def run(task: Callable[[], Result]) -> Result:
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [running.result() for running in [pool.submit(run, task) for task in tasks]]


def burst(lines: Iterable[Line], keys: Sequence[str], each: int) -> list[Answer]:
    """`each` requests over every line as fast as they are answered, with the keys in turn."""

    def fire(line: Line, start: int) -> list[Answer]:
        return [line.get(keys[(start + index) % len(keys)]) for index in range(each)]

    found = at_once([lambda line=line, start=start: fire(line, start) for start, line in enumerate(lines)])
    return [answer for answers in found for answer in answers]


@contextmanager
def hammering(lines: Sequence[Line], key: str) -> Generator["Hammer"]:
    """One client on each line that asks with the key again and again, until the end of the block."""
    hammer = Hammer([[] for _ in lines])
    with ThreadPoolExecutor(len(lines)) as pool:
        running = [pool.submit(hammer.ask, line, key, found) for line, found in zip(lines, hammer.found, strict=True)]
        try:
            yield hammer
        finally:
            hammer.over.set()
        for client in running:
            client.result()


@dataclass
class Hammer:
    """What the clients have been told so far, client by client, in the order they were told."""

    found: list[list[Answer]]
    over: Event = field(default_factory=Event)

    def ask(self, line: Line, key: str, found: list[Answer]) -> None:
        while not self.over.is_set():
            found.append(line.get(key))

    @property
    def answers(self) -> list[Answer]:
        return [answer for answers in self.found for answer in answers]

    def wait_until_each_asked(self, since: float, times: int = 2) -> None:
        """Every client has been answered that often to requests sent after a moment."""
        wait_for(lambda: all(sum(answer.sent > since for answer in found) >= times for found in self.found), 60)


def _web_command(settings: Settings, data_dir: Path) -> Command:
    env = portal_environment(
        data_dir,
        ENVIRONMENT=settings.environment,
        PORT=str(settings.port),
        WEB_PROCESSES=str(settings.web_processes),
        DATABASE_URL=settings.database_url,
        DATABASE_OWNER_URL=settings.database_owner_url,
        DATABASE_POOL_SIZE="5",
        REDIS_URL=settings.redis_url,
        KEY_PEPPER=settings.key_pepper,
        SECRET_KEY=settings.secret_key,
        LOG_LEVEL="error",
    )
    # A line stays open however long the others take: which process it reaches is what the tests are about.
    patience = ("--http1-header-read-timeout", "60000")
    return Command((sys.executable, *web_arguments(settings), *patience), env=env, log_file=data_dir / "web.log")


def _is_serving(web: RunningWeb) -> bool:
    assert web.master.poll() is None, "the web processes ended"
    if len(web.processes()) < web.settings.web_processes:
        return False
    line = _dial(web.settings)
    with closing(line.connection), suppress(OSError, http.client.HTTPException):
        return line.get(path="/health/ready").status == 200
    return False


def _dial(settings: Settings) -> Line:
    return Line(http.client.HTTPConnection("127.0.0.1", settings.port, timeout=ANSWER_SECONDS))


def _client_ports(pid: int) -> list[int]:
    """The far ports of the connections a process holds, of which ours are some."""
    return [found.raddr.port for found in psutil.Process(pid).net_connections("tcp") if found.raddr]
