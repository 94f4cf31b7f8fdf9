"""Learns from the request log what is called after what."""

from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.learnt_patterns import store_learnt_patterns, store_own_patterns
from ontology.database import open_duty
from ontology.records import utc_now
from ontology.usage_patterns import DUTY, mine_calls, share_patterns


async def learn_patterns(engine: AsyncEngine) -> int:
    """Count one batch of new calls; how many there were."""
    async with open_duty(engine, DUTY) as session:
        return await mine_calls(session, utc_now())


async def share_learnt(engine: AsyncEngine) -> int:
    """Bring what is shared across organisations up to what they show, and what search finds of it; forget the old."""
    async with open_duty(engine, DUTY) as session:
        await share_patterns(session, utc_now().date())
    await store_learnt_patterns(engine)
    return 0


async def tell_own(engine: AsyncEngine) -> int:
    """Bring what search finds of each group's own calls up to what is common in it."""
    await store_own_patterns(engine)
    return 0
