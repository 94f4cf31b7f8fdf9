"""Moves the request log from Redis to the database, in order, within a second of the call."""

from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.database import open_duty
from ontology.redis_client import Redis
from ontology.request_log import forget_entries, read_entries, store_entries

# Entries of the stream; each holds the calls that ended together, 100 at most.
BATCH = 200


async def drain_request_log(engine: AsyncEngine, redis: Redis) -> int:
    """Store one batch and only then delete it from the stream; how many calls there were.

    Dying in between repeats the batch, whose rows are then found to be there.
    """
    entries = await read_entries(redis, BATCH)
    if not entries:
        return 0
    async with open_duty(engine, "request_log") as session:
        await store_entries(session, [row for _, rows in entries for row in rows])
    await forget_entries(redis, [identity for identity, _ in entries])
    return sum(len(rows) for _, rows in entries)
