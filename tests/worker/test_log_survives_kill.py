"""Whoever has an answer finds its call in the log, also when the web process is killed a moment later."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from ontology.settings import Settings
from tests.logged_calls import drain
from tests.parts import Parts
from tests.program import Caller, eventually, running_program
from tests.web_server import WebServer, running_web_server

CLIENTS, KILLS, ANSWERS_BETWEEN = 8, 2, 60


async def _call_until(done: asyncio.Event, server: WebServer, caller: Caller, acked: list[str]) -> None:
    """Each answer that arrived whole counts; one that broke off does not."""
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with httpx.AsyncClient(base_url=server.base_url, headers=headers, timeout=30) as client:
        while not done.is_set():
            try:
                answer = await client.get("/v1/whoami")
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                acked.append(answer.headers["x-request-id"])


@pytest.mark.timeout(600)
async def test_no_answered_call_is_missing_after_kills_under_load(
    parts: Parts, settings: Settings, tmp_path: Path
) -> None:
    acked: list[str] = []
    done = asyncio.Event()
    async with running_program(settings) as program:
        caller = await program.register()
        with running_web_server(settings) as server:
            clients = [asyncio.create_task(_call_until(done, server, caller, acked)) for _ in range(CLIENTS)]
            for _ in range(KILLS):
                enough = len(acked) + ANSWERS_BETWEEN

                async def are_answered(enough: int = enough) -> bool:
                    return len(acked) >= enough

                await eventually(are_answered, seconds=120)
                await asyncio.to_thread(server.kill_a_worker)
            done.set()
            _, unfinished = await asyncio.wait(clients, timeout=60)
            assert not unfinished
        await drain(program)
    name = settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(name)) as connection:
        rows = connection.execute("SELECT request_id FROM request_log WHERE org_id = %s", [caller.org_id]).fetchall()
    logged = Counter(request_id for (request_id,) in rows)
    assert len(acked) >= KILLS * ANSWERS_BETWEEN
    assert set(acked) - set(logged) == set()
    assert max(logged.values()) == 1
