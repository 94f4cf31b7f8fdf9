"""The worker's duties, each in a loop of its own, so that a slow or failing one holds up no other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ontology.errors import PortalError

FAILURE_PAUSE_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to do again and again: `perform` tells how much it did, and rests when that was less than a full turn.

    What comes in steadily is then done in few large turns rather than in many small ones.
    """

    name: str
    perform: Callable[[], Awaitable[int]]
    rest_seconds: float
    full_turn: int = 1


async def keep_doing(duty: Duty, stopping: asyncio.Event) -> None:
    """Until told to stop; a failure is logged and tried again, since all duties may be repeated.

    What a duty waits for is told once, and again when it goes on.
    """
    awaited = ""
    while not stopping.is_set():
        pause = duty.rest_seconds
        try:
            done = await duty.perform()
            if awaited:
                _log.info("duty %s goes on", duty.name)
                awaited = ""
            pause = 0.0 if done >= duty.full_turn else pause
        except PortalError as refusal:
            if refusal.title != awaited:
                awaited = refusal.title
                _log.info("duty %s waits: %s", duty.name, awaited)
            pause = max(pause, FAILURE_PAUSE_SECONDS)
        except Exception as error:
            _log.warning("duty %s failed", duty.name, exc_info=error)
            pause = max(pause, FAILURE_PAUSE_SECONDS)
        if pause:
            await _wait(stopping, pause)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
