"""Notes what was searched for, behind the answers: whoever searches waits for nothing.

Entries gather for a moment and are stored together, on one connection of the pool at a time. A search always has hits,
since the nearest passages are always some; whether one of them answers it is decided here as for a question
(`knowledge/answerability.py`), after the answer. The log may lose what a process had not yet stored when it died.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.answerability import decide
from knowledge.client import KnowledgeClient
from knowledge.index.interface import SearchScope
from knowledge.protocol import SearchRequest
from knowledge.search import Hit
from ontology.actors import Actor
from ontology.database import open_duty
from ontology.errors import SearchUnavailable
from ontology.ids import new_id
from ontology.records import utc_now
from ontology.search_log import Purpose, SearchEntry, Source, clean_query, store_searches

WAITING_MAX, STORED_AT_ONCE = 1_000, 100
# Of those stored together so many are judged; under heavier load the rest counts as found where there are hits.
JUDGED_AT_ONCE = 20
GATHER_SECONDS, FAILURE_PAUSE_SECONDS, CLOSE_SECONDS = 0.1, 2.0, 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Noted:
    """An entry, and for one that is still to be judged what its search was."""

    entry: SearchEntry
    search: SearchRequest | None = None


class SearchLog:
    """One process's way into the log. Belongs to one event loop."""

    def __init__(self, engine: AsyncEngine, client: KnowledgeClient) -> None:
        self._engine = engine
        self._client = client
        self._waiting: list[_Noted] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def note_search(
        self,
        actor: Actor,
        source: Source,
        query: str,
        hits: Sequence[Hit],
        *,
        kinds: Sequence[str] = (),
        group_id: UUID | None = None,
        labels: Sequence[str] = (),
    ) -> UUID:
        """Have a search stored soon; its id, by which it can be told which hit was opened."""
        scope = SearchScope(actor.org_id, actor.group_id, actor.ancestor_ids, within=group_id, labels=tuple(labels))
        score = hits[0].score if hits else None
        entry = _describe(actor, Purpose.SEARCH, source, query, tuple(kinds), len(hits), score, found=bool(hits))
        self._note(_Noted(entry, SearchRequest(query, scope, tuple(kinds), 1) if hits else None))
        return entry.id

    def note_question(self, actor: Actor, source: Source, question: str, citations: int, *, answered: bool) -> None:
        """Have a question stored soon, with what came of it."""
        self._note(_Noted(_describe(actor, Purpose.ASK, source, question, (), citations, None, found=answered)))

    def note_opened(
        self, actor: Actor, search_id: UUID, query: str, hits: int, score: float | None, document_id: str, rank: int
    ) -> None:
        """Mark the hit that somebody opened; a search that was not noted before is noted with it."""
        entry = _describe(actor, Purpose.SEARCH, Source.PORTAL, query, (), hits, score, found=True)
        self._note(_Noted(replace(entry, id=search_id, opened_document_id=document_id, opened_rank=rank)))

    async def close(self) -> None:
        """Store what waits."""
        self._closing = True
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=CLOSE_SECONDS)

    def _note(self, noted: _Noted) -> None:
        if len(self._waiting) >= WAITING_MAX:
            _log.warning("a search is not logged: %d others wait to be stored", WAITING_MAX)
            return
        self._waiting.append(noted)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())

    async def _write_waiting(self) -> None:
        while self._waiting:
            if not self._closing:
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:STORED_AT_ONCE], self._waiting[STORED_AT_ONCE:]
            try:
                entries = [await self._judge(noted, place) for place, noted in enumerate(batch)]
                await self._store(entries)
            except IntegrityError as error:
                _log.error("%d searches are of nobody known and are not logged: %s", len(batch), error.orig)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("%d searches wait to be logged", len(batch), exc_info=error)
                if self._closing:
                    return
                self._waiting = batch + self._waiting[: WAITING_MAX - len(batch)]
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)
            except Exception as error:
                _log.exception("%d searches could not be logged", len(batch), exc_info=error)

    async def _judge(self, noted: _Noted, place: int) -> SearchEntry:
        """The entry with whether something here answers it; with hits that is taken to be so where nobody can say."""
        if noted.search is None or place >= JUDGED_AT_ONCE:
            return noted.entry
        try:
            decision = decide(noted.search.query, await self._client.weigh(noted.search))
        except SearchUnavailable:
            return noted.entry
        return replace(noted.entry, found=decision.answerable)

    async def _store(self, entries: Sequence[SearchEntry]) -> None:
        """One statement may not touch a row twice, so a search and its opened hit are stored one after the other."""
        for opened in (False, True):
            part = {entry.id: entry for entry in entries if (entry.opened_document_id is not None) is opened}
            if part:
                async with open_duty(self._engine, "search_log") as session:
                    await store_searches(session, list(part.values()))


def _describe(
    actor: Actor,
    purpose: Purpose,
    source: Source,
    query: str,
    kinds: tuple[str, ...],
    hits: int,
    score: float | None,
    *,
    found: bool,
) -> SearchEntry:
    return SearchEntry(
        org_id=actor.org_id,
        id=new_id(),
        group_id=actor.group_id,
        actor_id=actor.id,
        purpose=purpose,
        source=source,
        query=clean_query(query),
        kinds=kinds,
        hits=hits,
        best_score=score,
        found=found,
        timestamp=utc_now(),
    )
