"""Child processes of the supervisor: how they are started, told to stop, and found again after a crash.

Each runs in a session of its own, so an interrupt typed at the terminal reaches only the supervisor, and dies
with the supervisor even on `kill -9` (see `exec_child`).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psutil

PROJECT_DIR = Path(__file__).resolve().parent.parent
EXEC_CHILD = Path(__file__).with_name("exec_child.py")
CRASH_STOP_SECONDS = 10.0
LOG_BYTES_MAX = 10_000_000


class StartError(Exception):
    """A part cannot start; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one child, and how it is asked to stop."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    identity: str = "same"
    death_signal: int = signal.SIGKILL
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    log_file: Path | None = None
    """Where its output goes; None shares the supervisor's."""

    cwd: Path = field(default=PROJECT_DIR)


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start a child. Call it on a thread that lives as long as the child is to live."""
    output = _open_log(command.log_file) if command.log_file else None
    try:
        return subprocess.Popen(
            tied_argv(command.argv, command.identity, command.death_signal),
            env=dict(command.env),
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        if output is not None:
            output.close()


def tied_argv(argv: tuple[str, ...], identity: str, death_signal: int) -> list[str]:
    """`argv` wrapped so that it runs under `identity` and gets `death_signal` when this process dies."""
    wrapper = [
        sys.executable,
        "-I",
        "-S",
        str(EXEC_CHILD),
        str(os.getpid()),
        str(int(death_signal)),
        identity,
    ]
    return [*wrapper, *argv]


def stop(process: subprocess.Popen[bytes], command: Command) -> None:
    """Ask the child to stop, wait, and kill what is left of its session. Blocks; safe to repeat."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(command.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(command.stop_seconds)
    kill_session(process)


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started that still runs in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(CRASH_STOP_SECONDS)


def stop_survivors(program: str, directory: Path, stop_signals: tuple[int, ...]) -> None:
    """Stop servers which a crashed supervisor left working in `directory`, trying each signal in turn.

    Process ids in files are not trusted: after a crash the number may belong to anybody.

    Raises:
        StartError: they do not go away.
    """
    for stop_signal in (*stop_signals, signal.SIGKILL):
        for process in _find_working_in(program, directory):
            with suppress(psutil.Error):
                process.send_signal(stop_signal)
        # Polled, not waited for: where nobody reaps orphans they stay in the process table for ever.
        deadline = monotonic() + CRASH_STOP_SECONDS
        while _find_working_in(program, directory):
            if monotonic() > deadline:
                break
            sleep(0.05)
        else:
            return
    if _find_working_in(program, directory):
        raise StartError(f"an earlier {program} still works in {directory} and cannot be stopped")


def wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, seconds: float) -> None:
    """Block until `is_ready()`.

    Raises:
        StartError: the process ended first, or the time is up.
    """
    waited = 0.0
    while not is_ready():
        pause = 0.02 if waited < 1 else 0.1
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            waited += pause
        else:
            raise StartError(f"{name} ended with status {process.returncode} while starting")
        if waited > seconds:
            raise StartError(f"{name} was not ready within {seconds:.0f} s")


def installed_files(package: str) -> Path:
    """The directory of an installed package, found without importing it.

    Raises:
        StartError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StartError(f"the package {package} is not installed; run make install")
    return Path(spec.submodule_search_locations[0])


def last_lines(log_file: Path, count: int = 3) -> str:
    """The end of a log in one line, for the message that explains a failed start."""
    if not log_file.exists():
        return ""
    lines = log_file.read_text(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-count:])


def _open_log(log_file: Path) -> IO[bytes]:
    """Append to the log; one that has grown large is set aside first."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_suffix(".log.old"))
    return log_file.open("ab")


def _find_working_in(program: str, directory: Path) -> list[psutil.Process]:
    """Live processes called `program` whose working directory is `directory`."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error, OSError):
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if process.name() == program and is_alive and process.cwd() == str(directory):
                found.append(process)
    return found
