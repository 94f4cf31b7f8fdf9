"""Runs the whole program on one machine: starts the missing parts, watches them, stops them in reverse order.

Order of start: Redis, PostgreSQL and the knowledge process together, then migrations, then worker and web. The web
serves as soon as the database is migrated; search answers 503 until the knowledge process has loaded its model.
"""

import asyncio
import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack, suppress
from time import monotonic, sleep
from typing import cast

from ontology.settings import Settings
from portal.child_process import Command, StartError, kill_session, spawn, wait_until
from portal.installation import Installation
from portal.local_secrets import file_lock
from portal.part import Part

logger = logging.getLogger("supervisor")

WEB_READY_SECONDS = 120.0
PORT_FREE_SECONDS = 2.0
# After kill -9 a child that was just being forked holds the lock a moment longer.
LOCK_RELEASE_SECONDS = 1.0
DATABASE_LOCK_SECONDS = 60.0
# Once a day, and soon after each start: who restarts every night must not keep old calls for ever.
PRUNE_AFTER_SECONDS, PRUNE_EVERY_SECONDS = 60.0, 86_400.0
# Two arenas instead of eight per core: the web processes stay small, and none of them is short of threads.
MEMORY_SETTINGS = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}


def supervise(installation: Installation) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status.

    Raises:
        StartError: something cannot start; the message is one line for the operator.
    """
    settings = installation.settings
    began = monotonic()
    with ExitStack() as stack:
        _lock_data_dir(stack, installation)
        require_free_port(settings.host, settings.port)
        return asyncio.run(_Supervisor(installation, settings).run(began))


class _Supervisor:
    def __init__(self, installation: Installation, settings: Settings) -> None:
        self._installation = installation
        self._settings = settings
        self._env = {**installation.env, **MEMORY_SETTINGS, "PYTHONUNBUFFERED": "1"}
        self._stop_requested = asyncio.Event()
        self._started: list[Part] = []

    async def run(self, began: float) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_requested.set)
        try:
            if await self._unless_stopped(self._start_everything()):
                self._announce(monotonic() - began)
                await self._unless_stopped(self._prune_daily())
        finally:
            await self._stop_everything()
        return 0

    async def _start_everything(self) -> None:
        postgres, redis = self._installation.postgres, self._installation.redis
        first = [self._program("knowledge")]
        if redis is not None:
            first.append(Part("redis", redis.command, redis.prepare, redis.wait_ready))
        if postgres is not None:
            first.append(Part("postgres", postgres.command, postgres.prepare, postgres.wait_ready))
        async with asyncio.TaskGroup() as group:
            for part in first:
                group.create_task(self._start(part))
        await self._run_command("migrate")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_command("ingest"))
            group.create_task(self._start(self._program("worker")))
            group.create_task(self._start(self._web()))

    async def _start(self, part: Part) -> None:
        self._started.append(part)
        await part.start()

    async def _stop_everything(self) -> None:
        """Web first, so nothing is admitted that cannot be finished; the stores last, together."""
        stores = [part for part in self._started if part.name in ("redis", "postgres")]
        for part in reversed([part for part in self._started if part not in stores]):
            await part.stop()
        await asyncio.gather(*(part.stop() for part in stores))

    async def _unless_stopped(self, work: Coroutine[object, object, None]) -> bool:
        """Do the work; False if a signal came first and the work was abandoned."""
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return False
        try:
            task.result()
        except BaseExceptionGroup as group:
            raise _first_start_error(group) from None
        return True

    async def _prune_daily(self) -> None:
        """Does not end; a failure is told by the command itself, and tried again a day later."""
        await asyncio.sleep(PRUNE_AFTER_SECONDS)
        while True:
            with suppress(StartError, OSError):
                await self._run_command("prune")
            await asyncio.sleep(PRUNE_EVERY_SECONDS)

    async def _run_command(self, name: str) -> None:
        """In a process of its own: the supervisor stays small and outlives whatever a migration does."""
        began = monotonic()
        process = spawn(_python(("-m", "portal", name), self._env))
        try:
            while process.poll() is None:  # noqa: ASYNC110 - a process has no event to wait for
                await asyncio.sleep(0.05)
        finally:
            kill_session(process)
        if process.returncode != 0:
            raise StartError(f"`python -m portal {name}` failed; the reason stands above")
        logger.info("%s done after %.1f s", name, monotonic() - began)

    def _program(self, name: str) -> Part:
        command = _python(("-m", name), self._env)
        return Part(name, lambda: command)

    def _web(self) -> Part:
        command = _python(web_arguments(self._settings), self._env)
        return Part("web", lambda: command, wait_ready=self._wait_web_ready)

    def _wait_web_ready(self, process: subprocess.Popen[bytes]) -> None:
        wait_until(self._web_is_ready, process, "the web server", WEB_READY_SECONDS)

    def _web_is_ready(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _announce(self, seconds: float) -> None:
        sys.stdout.write(f"ONE is ready at {self._settings.public_url} (started in {seconds:.1f} s)\n")
        sys.stdout.flush()


def web_arguments(settings: Settings) -> tuple[str, ...]:
    """How Python is told to serve the program on as many web processes as the settings ask for."""
    return (
        *("-m", "granian", "portal.web_process:create_app", "--factory", "--interface", "asgi"),
        *("--host", settings.host, "--port", str(settings.port), "--workers", str(settings.web_processes)),
        *("--loop", "uvloop", "--no-ws", "--http", "1", "--log-level", "warning"),
        *("--respawn-failed-workers", "--workers-kill-timeout", "10"),
        *("--http1-header-read-timeout", "10000"),
    )


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that somebody listens on, before anything is started.

    Waits a moment first: after a crash the kernel may still be ending the earlier web processes.

    Raises:
        StartError: naming the port and the setting that changes it.
    """
    deadline = monotonic() + PORT_FREE_SECONDS
    while True:
        try:
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                return
        except OSError as error:
            number = error.errno or 0
            if number != errno.EADDRINUSE or monotonic() > deadline:
                reason = os.strerror(number).lower() if number > 0 else error.strerror
                raise StartError(f"cannot listen on {host}, port {port}: {reason}; set PORT to another") from None
        sleep(0.1)


def _lock_data_dir(stack: ExitStack, installation: Installation) -> None:
    lock_file = installation.data_dir / "supervisor.lock"
    try:
        stack.enter_context(file_lock(lock_file, LOCK_RELEASE_SECONDS))
    except BlockingIOError:
        holder = lock_file.read_text().strip() or "unknown"
        raise StartError(
            f"ONE already runs on {installation.data_dir} (process {holder}); stop it or set DATA_DIR"
        ) from None
    lock_file.write_text(f"{os.getpid()}\n")
    if installation.postgres is not None:
        try:
            stack.enter_context(file_lock(installation.postgres.lock_file, DATABASE_LOCK_SECONDS))
        except BlockingIOError:
            raise StartError(f"a command still uses the database in {installation.data_dir}; try again") from None


def _python(arguments: tuple[str, ...], env: Mapping[str, str]) -> Command:
    return Command(argv=(sys.executable, *arguments), env=env, stop_seconds=15.0)


def _first_start_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The refusal to show the operator; a bug, if there is one, goes first and keeps its trace."""
    errors = _flatten(group)
    return next((error for error in errors if not isinstance(error, StartError)), errors[0])


def _flatten(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return [leaf for each in inner for leaf in _flatten(each)]
