"""An end to waiting for what cannot be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# What nobody waits for any longer; the event loop itself keeps no task alive.
_late: set["asyncio.Task[Any]"] = set()


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises, if it does so in time.

    It is never cancelled, neither when its time is up nor with its caller, since it may hold a connection of a pool,
    which would be lost: it goes on, and whether it has had an effect is not known.

    Raises:
        TimeoutError: its time is up.
    """
    task = asyncio.create_task(work)
    _late.add(task)
    task.add_done_callback(_end)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        raise TimeoutError(f"no end after {seconds} s")
    return task.result()


def _end(task: "asyncio.Task[Any]") -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # whoever still waits has it; else it is nobody's
