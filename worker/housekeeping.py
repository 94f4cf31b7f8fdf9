"""Deletes what has outlived its purpose."""

from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.accounts import forget_expired_sessions
from ontology.database import open_duty
from ontology.idempotency import forget_old_answers
from ontology.records import utc_now


async def forget_expired(engine: AsyncEngine) -> int:
    """Idempotency records past their day, and sessions past their life."""
    async with open_duty(engine, "housekeeping") as session:
        await forget_old_answers(session, utc_now())
        await forget_expired_sessions(session, utc_now())
    return 0
