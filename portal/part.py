"""One part of the program under the supervisor: started, watched, started again when it dies, and stopped."""

import asyncio
import logging
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from portal.child_process import Command, StartError, kill_session, spawn, stop

logger = logging.getLogger("supervisor")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 30.0
STEADY_SECONDS = 60.0
WATCH_SECONDS = 0.1


def _nothing_to_prepare() -> None:
    return


def _ready_at_once(process: subprocess.Popen[bytes]) -> None:
    return


@dataclass(slots=True)
class Part:
    """A child process that is to run for as long as the supervisor does."""

    name: str
    command: Callable[[], Command]
    prepare: Callable[[], None] = _nothing_to_prepare
    wait_ready: Callable[[subprocess.Popen[bytes]], None] = _ready_at_once
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _watcher: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it, return when it is ready, and from then on start it again whenever it dies.

        Raises:
            StartError: the first start failed.
        """
        await self._start_once()
        self._watcher = asyncio.create_task(self._keep_running(), name=f"watch {self.name}")

    async def stop(self) -> None:
        """Stop it for good; does nothing where it was never started."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        if self._process is not None:
            began = monotonic()
            await asyncio.to_thread(stop, self._process, self.command())
            logger.info("%s stopped after %.1f s", self.name, monotonic() - began)

    async def _start_once(self) -> None:
        began = monotonic()
        await asyncio.to_thread(self.prepare)
        # Here and not in the thread: the child is tied to the life of the thread that starts it.
        self._process = spawn(self.command())
        logger.debug("%s started as process %d", self.name, self._process.pid)
        await asyncio.to_thread(self.wait_ready, self._process)
        if self.wait_ready is not _ready_at_once:
            logger.info("%s ready after %.1f s", self.name, monotonic() - began)

    async def _keep_running(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            ran_seconds = await self._wait_for_end()
            pause = FIRST_PAUSE_SECONDS if ran_seconds > STEADY_SECONDS else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            try:
                await self._start_once()
            except StartError as error:
                logger.error("%s: %s", self.name, error)

    async def _wait_for_end(self) -> float:
        """How long it ran. What it left running in its session is killed."""
        process = self._process
        assert process is not None
        began = monotonic()
        while process.poll() is None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(WATCH_SECONDS)
        await asyncio.to_thread(kill_session, process)
        logger.warning("%s ended with status %s; starting it again", self.name, process.returncode)
        return monotonic() - began
