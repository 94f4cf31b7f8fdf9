"""Web processes as the supervisor starts them, on the parts of the test run: real sockets, real signals."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from ontology.settings import Settings
from portal.child_process import PROJECT_DIR
from portal.embedded_postgres import free_port
from tests.parts import wait_for


@dataclass(frozen=True)
class WebServer:
    """A granian master with its web processes."""

    base_url: str
    process: subprocess.Popen[bytes]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def kill_a_worker(self) -> None:
        """`kill -9`, from outside, in the middle of whatever it does."""
        self.workers()[0].kill()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.base_url}/health/live", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_web_server(settings: Settings) -> Generator[WebServer]:
    """One web process, which is started again when it dies."""
    port = free_port()
    env = os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "DATA_DIR": str(settings.data_dir),
        "KEY_PEPPER": settings.key_pepper,
        "SECRET_KEY": settings.secret_key,
        "LOG_LEVEL": "warning",
    }
    arguments = (
        *("--factory", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--loop", "asyncio", "--no-ws", "--http", "1", "--log-level", "warning", "--respawn-failed-workers"),
        *("--workers-kill-timeout", "10"),
    )
    output = Path(settings.data_dir) / "web.log"
    with output.open("wb") as log:
        command = [sys.executable, "-m", "granian", "portal.web_process:create_app", *arguments]
        process = subprocess.Popen(command, env=env, cwd=PROJECT_DIR, stdout=log, stderr=log)
    server = WebServer(f"http://127.0.0.1:{port}", process)
    try:
        wait_for(server.is_ready, seconds=120)
        yield server
    finally:
        for worker in server.workers():
            worker.kill()
        process.kill()
        process.wait()
