"""Moves the request log from Redis to the database, in order, within a second of the call."""

import logging
from collections.abc import Sequence

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.database import open_duty
from ontology.redis_client import Redis
from ontology.request_log import forget_entries, read_entries, store_entries

# Entries of the stream; each holds the calls that ended together, 100 at most.
BATCH = 500
_log = logging.getLogger(__name__)


async def drain_request_log(engine: AsyncEngine, redis: Redis) -> int:
    """Store one batch and only then delete it from the stream; how many calls there were.

    Dying in between repeats the batch, whose rows are then found to be there. Calls of an organisation or key that the
    database does not have, as after a backup was restored, are given up and hold up nobody else's.
    """
    entries = await read_entries(redis, BATCH)
    if not entries:
        return 0
    await _store(engine, [row for _, rows in entries for row in rows])
    await forget_entries(redis, [identity for identity, _ in entries])
    return sum(len(rows) for _, rows in entries)


async def _store(engine: AsyncEngine, rows: Sequence[msgspec.Raw]) -> None:
    """Half by half where some cannot be stored, until those are found."""
    try:
        async with open_duty(engine, "request_log") as session:
            await store_entries(session, rows)
    except IntegrityError as error:
        if len(rows) == 1:
            request_id = msgspec.json.decode(rows[0])["request_id"]
            _log.error("the call %s is of nobody known and is not logged: %s", request_id, error.orig)
            return
        middle = len(rows) // 2
        await _store(engine, rows[:middle])
        await _store(engine, rows[middle:])
