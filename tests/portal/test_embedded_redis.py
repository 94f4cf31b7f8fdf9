"""The embedded Redis: it asks for a password, forgets nothing it has synced, and evicts nothing."""

import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from redis import Redis

from portal.child_process import spawn, stop
from portal.embedded_redis import EmbeddedRedis, embedded_redis
from portal.local_secrets import load_or_make_secrets, open_data_dir
from tests.parts import temporary_data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as data_dir:
        yield data_dir


@contextmanager
def _running(server: EmbeddedRedis) -> Generator[Popen[bytes]]:
    server.prepare()
    process = spawn(server.command())
    try:
        server.wait_ready(process)
        yield process
    finally:
        stop(process, server.command())


@pytest.mark.parametrize("below", ["data", "long-" * 20, "a name with spaces"])
def test_server_runs_wherever_its_directory_is(data_dir: Path, below: str) -> None:
    data_dir = data_dir / below
    open_data_dir(data_dir)
    server = embedded_redis(data_dir, load_or_make_secrets(data_dir))
    with _running(server), Redis.from_url(server.url) as redis:
        assert redis.ping()
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_nothing_is_answered_without_the_password(data_dir: Path) -> None:
    server = embedded_redis(data_dir, load_or_make_secrets(data_dir))
    with _running(server), socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(server.socket_path))
        stranger.sendall(b"GET anything\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_what_was_synced_is_there_after_kill(data_dir: Path) -> None:
    server = embedded_redis(data_dir, load_or_make_secrets(data_dir))
    with _running(server) as process, Redis.from_url(server.url) as redis:
        redis.set("kept", "yes")
        redis.execute_command("WAITAOF", 1, 0, 5000)
        process.kill()
        process.wait()
    with _running(server), Redis.from_url(server.url, decode_responses=True) as redis:
        assert redis.get("kept") == "yes"
