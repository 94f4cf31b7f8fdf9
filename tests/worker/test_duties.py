"""Duties: what one waits for is told once, and that it goes on."""

import asyncio
import logging

import pytest

from ontology.errors import ServiceUnavailable
from worker.duties import Duty, keep_doing


async def test_a_duty_that_waits_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.duties.FAILURE_PAUSE_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    stopping = asyncio.Event()
    turns = 0

    async def perform() -> int:
        nonlocal turns
        turns += 1
        if turns <= 3:
            raise ServiceUnavailable
        stopping.set()
        return 0

    await asyncio.wait_for(keep_doing(Duty("indexing", perform, rest_seconds=0.001), stopping), 10)
    told = [record.getMessage() for record in caplog.records if record.name == "worker.duties"]
    assert told == [f"duty indexing waits: {ServiceUnavailable.title}", "duty indexing goes on"]
