"""The whole program as a process tree: it starts anywhere, comes back from anything, and leaves nothing behind."""

import http.client
import json
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.parts import (
    RunningPortal,
    portal_environment,
    portal_program,
    run_portal,
    temporary_data_dir,
    wait_for,
)

WEB_PROCESSES = 2
WEB_MEMORY_MAX = 150_000_000


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as data_dir:
        yield data_dir


@pytest.fixture(scope="module")
def program() -> Iterator[RunningPortal]:
    """A program of this module's own, because its parts get killed."""
    with temporary_data_dir() as data_dir:
        env = portal_environment(data_dir, WEB_PROCESSES=str(WEB_PROCESSES))
        with portal_program(env) as program:
            yield program


PARTS = {
    "postgres": "bin/postgres -D",
    "redis": "valkey-server",
    "knowledge": "-m knowledge",
    "worker": "-m worker",
    "web": "-m granian",
}


@pytest.mark.parametrize("name", PARTS)
def test_killed_part_is_started_again_and_its_rows_are_there(program: RunningPortal, name: str) -> None:
    key = program.register()["key"]
    wait_for(lambda: _status(program, "/v1/whoami", key) == 200)
    killed = _part(program, name)
    below = killed.children(recursive=True)
    killed.kill()
    wait_for(lambda: _is_gone(killed) and _has_part_beside(program, name, killed))
    wait_for(lambda: _status(program, "/health/ready") == 200)
    wait_for(lambda: all(_is_gone(process) for process in below))
    wait_for(lambda: _status(program, "/v1/whoami", key) == 200)
    assert _part(program, name).pid != killed.pid


def test_killed_web_process_is_replaced(program: RunningPortal) -> None:
    killed = _web_processes(program)[0]
    killed.kill()
    wait_for(lambda: _is_gone(killed) and len(_web_processes(program)) == WEB_PROCESSES)
    wait_for(lambda: _status(program, "/health/ready") == 200)
    assert killed.pid not in {process.pid for process in _web_processes(program)}


def test_web_processes_stay_small_and_load_no_model_runtime(program: RunningPortal) -> None:
    wait_for(lambda: len(_web_processes(program)) == WEB_PROCESSES)
    for _ in range(20):
        _status(program, "/health/ready")
    for process in _web_processes(program):
        assert process.memory_info().rss < WEB_MEMORY_MAX
        assert not any("torch" in mapped.path for mapped in process.memory_maps())


def test_reindex_needs_a_running_program_and_begins_the_index_anew(program: RunningPortal, data_dir: Path) -> None:
    refused = run_portal(portal_environment(data_dir), "reindex")
    assert (refused.returncode, refused.stderr[:28]) == (1, "error: ONE does not run here")
    manifest = program.data_dir / "qdrant" / "manifest.json"
    wait_for(manifest.exists)
    wait_for(lambda: _knows_its_index(program))
    before = json.loads(manifest.read_text())["index_id"]
    done = run_portal(program.env, "reindex")
    assert done.returncode == 0, done.stderr
    assert json.loads(manifest.read_text())["index_id"] != before


def test_second_program_on_a_data_dir_is_refused_in_one_line(program: RunningPortal) -> None:
    finished = run_portal(portal_environment(program.data_dir), "run")
    assert finished.returncode == 1
    assert finished.stderr == (
        f"error: ONE already runs on {program.data_dir} (process {program.process.pid}); stop it or set DATA_DIR\n"
    )


def test_taken_port_is_refused_in_one_line_and_starts_nothing(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finished = run_portal(portal_environment(data_dir, PORT=str(port)), "run")
    assert finished.returncode == 1
    assert (
        finished.stderr
        == f"error: cannot listen on 127.0.0.1, port {port}: address already in use; set PORT to another\n"
    )
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("PORT", "70000"), ("WEB_PROCESSES", "0")])
def test_bad_number_is_refused_in_one_line(data_dir: Path, name: str, value: str) -> None:
    finished = run_portal(portal_environment(data_dir, **{name: value}), "run")
    assert finished.returncode == 1
    assert re.fullmatch(rf"error: {name} must be .*\n", finished.stderr)


def test_organisation_registered_before_the_first_start_can_call_after_it(data_dir: Path) -> None:
    env = portal_environment(data_dir)
    finished = run_portal(env, "register", "Ünïcode & Söhne", "first@example.com", "--plan", "pro")
    registered = json.loads(finished.stdout)
    assert registered["plan"] == "pro"
    with portal_program(env) as program:
        assert _status(program, "/v1/whoami", registered["key"]) == 200


def test_program_stops_on_signal_and_leaves_no_process(data_dir: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with portal_program(portal_environment(data_dir)) as program:
            tree = _tree(program)
            assert len(tree) >= len(PARTS)
            program.process.send_signal(number)
            assert program.process.wait(60) == 0
        wait_for(lambda tree=tree: all(_is_gone(process) for process in tree))
        assert not any("Traceback" in line for line in program.output)


def test_kill_leaves_no_process_and_the_next_start_is_complete(data_dir: Path) -> None:
    env = portal_environment(data_dir, WEB_PROCESSES=str(WEB_PROCESSES))
    with portal_program(env) as program:
        key = program.register()["key"]
        tree = _tree(program)
        program.process.kill()
        program.process.wait()
    with portal_program(env) as program:
        assert _status(program, "/v1/whoami", key) == 200
        wait_for(lambda: all(_is_gone(process) for process in tree))


def test_wrong_arguments_are_explained_without_a_trace(data_dir: Path) -> None:
    env = portal_environment(data_dir)
    for arguments in (["register", "", "a@example.com"], ["register", "Acme", "no-address"]):
        finished = run_portal(env, *arguments)
        assert finished.returncode == 1
        assert finished.stderr == "error: NAME must not be empty and EMAIL must be an e-mail address\n"
    assert run_portal(env, "register", "Acme", "a@example.com", "--plan", "gold").returncode == 2


def _knows_its_index(program: RunningPortal) -> bool:
    """The knowledge process, which another test may have killed, is back."""
    with suppress(OSError), urllib.request.urlopen(f"{program.base_url}/health/ready", timeout=10) as answer:
        return json.load(answer)["searchIndex"] != "unknown"
    return False


def _status(program: RunningPortal, path: str, key: str = "") -> int:
    """The status of a GET, 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(program.env["PORT"]), timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _tree(program: RunningPortal) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def _find_parts(program: RunningPortal, name: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.Process(program.process.pid).children():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if PARTS[name] in line and "exec_child" not in line:
                found.append(process)
    return found


def _part(program: RunningPortal, name: str) -> psutil.Process:
    wait_for(lambda: len(_find_parts(program, name)) == 1)
    return _find_parts(program, name)[0]


def _has_part_beside(program: RunningPortal, name: str, old: psutil.Process) -> bool:
    return any(process.pid != old.pid for process in _find_parts(program, name))


def _web_processes(program: RunningPortal) -> list[psutil.Process]:
    return [process for process in _part(program, "web").children() if not _is_gone(process)]


def _is_gone(process: psutil.Process) -> bool:
    """Ended; where nobody reaps orphans, an ended process stays in the table as a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
