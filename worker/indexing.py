"""Keeps the search index in step with the database."""

from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.client import KnowledgeClient
from knowledge.indexing import Splitter
from knowledge.ingestion import index_pending, reconcile


class IndexKeeper:
    """Indexes what is pending; an index that is new, lost or made for another model is filled again."""

    def __init__(self, engine: AsyncEngine, knowledge: KnowledgeClient, splitter: Splitter) -> None:
        self._engine = engine
        self._knowledge = knowledge
        self._splitter = splitter
        self._index_id: str | None = None

    async def index(self) -> int:
        """One batch; how many documents were dealt with."""
        stats = await self._knowledge.stats()
        if stats.index_id != self._index_id:
            await reconcile(self._engine, self._knowledge)
            self._index_id = stats.index_id
        return await index_pending(self._engine, self._knowledge, self._splitter)
