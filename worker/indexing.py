"""Keeps the search index in step with the database."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.client import KnowledgeClient
from knowledge.indexing import Splitter
from knowledge.ingestion import index_pending, is_caught_up, reconcile
from ontology.records import utc_now


class IndexKeeper:
    """Indexes what is pending; an index that is new, lost or made for another model is filled again.

    Such an index answers no search before this has once brought it up to the database.
    """

    def __init__(self, engine: AsyncEngine, knowledge: KnowledgeClient, splitter: Splitter) -> None:
        self._engine = engine
        self._knowledge = knowledge
        self._splitter = splitter
        self._index_id: str | None = None
        self._compared_at: datetime = utc_now()

    async def index(self) -> int:
        """One batch; how many documents were dealt with."""
        stats = await self._knowledge.stats()
        if stats.index_id != self._index_id:
            self._compared_at = utc_now()
            await reconcile(self._engine, self._knowledge)
            self._index_id = stats.index_id
        done = await index_pending(self._engine, self._knowledge, self._splitter)
        if not stats.whole and await is_caught_up(self._engine, self._compared_at):
            await self._knowledge.mark_whole(stats.index_id)
        return done
