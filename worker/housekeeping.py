"""Deletes what has outlived its purpose."""

from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.database import open_duty
from ontology.idempotency import forget_old_answers
from ontology.records import utc_now


async def forget_expired(engine: AsyncEngine) -> int:
    """Idempotency records past their day."""
    async with open_duty(engine, "idempotency") as session:
        await forget_old_answers(session, utc_now())
    return 0
