"""Bringing the index up to date with the database, and the database with the platform's own sources.

The database is the truth. A document whose ``indexed_version`` is behind its ``version`` is pending; indexing it
stores its passages as rows, sends it to the knowledge process, and marks it. Every step may be repeated: ids
follow from content, so what is unchanged is neither rewritten nor embedded again, and a crash loses nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.client import KnowledgeClient
from knowledge.document_formats import read_entries
from knowledge.indexing import DocumentSource, PreparedDocument, Splitter
from knowledge.openapi_documents import OpenApiInvalid
from knowledge.source_document import SourceDocument
from knowledge.sources import read_platform
from ontology.actors import PLATFORM_ORG_ID, platform_actor
from ontology.database import open_duty, open_transaction
from ontology.errors import PortalError
from ontology.knowledge_items import DocumentFormat, KnowledgeItem, Visibility, claim_pending, is_any_pending
from ontology.records import GroupClosure, utc_now

logger = logging.getLogger(__name__)

DUTY = "indexing"
LEARNT = "learnt/"
"""What the external ids of patterns begin with that are learnt from use (`learnt_patterns.py`)."""
# Few at a time, and few new passages of each: whoever stores a document waits for one batch, however much others store.
DOCUMENTS_PER_BATCH, PASSAGES_PER_TURN = 8, 24
# One indexer at a time in the whole installation: there is one embedding thread to keep busy.
_INDEXER_LOCK = 7_241_905_331


async def ingest_platform(
    engine: AsyncEngine, directory: Path, errors: Sequence[type[PortalError]], openapi: Mapping[str, Any]
) -> int:
    """Store the platform's pages, error codes and operations; returns how many changed.

    Unchanged ones are not touched, those whose source is gone are deleted. ``index_pending`` does the rest.
    """
    sources = await asyncio.to_thread(read_platform, directory, errors, openapi)
    async with open_transaction(engine, platform_actor()) as session:
        return await store_platform(session, sources)


async def store_platform(session: AsyncSession, sources: Sequence[SourceDocument], *, learnt: bool = False) -> int:
    """Make the platform's documents, or the learnt ones, what the sources say; returns how many changed."""
    is_learnt = col(KnowledgeItem.external_id).startswith(LEARNT)
    query = select(KnowledgeItem).where(
        col(KnowledgeItem.org_id) == PLATFORM_ORG_ID,
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.deleted_at).is_(None),
        is_learnt if learnt else ~is_learnt,
    )
    return _follow(session, (await session.exec(query.with_for_update())).all(), sources, _new_platform_row)


async def store_patterns(session: AsyncSession, org_id: UUID, by_group: Mapping[UUID, Sequence[SourceDocument]]) -> int:
    """Make the patterns of groups of an organisation what the sources say (duty `patterns`); how many changed."""
    query = select(KnowledgeItem).where(
        col(KnowledgeItem.org_id) == org_id,
        col(KnowledgeItem.group_id).in_(by_group),
        col(KnowledgeItem.knowledge_type) == "pattern",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    held: dict[UUID, list[KnowledgeItem]] = {group_id: [] for group_id in by_group}
    for row in (await session.exec(query.with_for_update())).all():
        held[row.group_id].append(row)
    return sum(
        _follow(session, held[group_id], sources, partial(_new_pattern, org_id, group_id))
        for group_id, sources in by_group.items()
    )


async def index_pending(
    engine: AsyncEngine, client: KnowledgeClient, splitter: Splitter, *, limit: int = DOCUMENTS_PER_BATCH
) -> int:
    """Index a batch of pending documents, long ones by a part; returns how many were dealt with.

    Call it until it returns 0. With several workers one indexes and the others return 0 at once.

    Raises:
        SearchUnavailable: the knowledge process is away; the documents stay pending.
    """
    async with _duty(engine) as lock:
        if not await is_any_pending(lock):
            return 0
        if not (await lock.exec(select(func.pg_try_advisory_xact_lock(_INDEXER_LOCK)))).one():
            return 0
        sources, deleted = await _claim(engine, limit)
        if deleted:
            await client.delete(list(deleted))
            await _forget(engine, deleted)
        for source in sources:
            if source.format == DocumentFormat.OPENAPI:
                await store_entries(engine, source)
        if sources:
            await _index(engine, client, splitter, sources)
        return len(sources) + len(deleted)


async def store_entries(engine: AsyncEngine, source: DocumentSource) -> int:
    """Store the operations and errors of an OpenAPI document as documents of their own; returns how many changed.

    They are then pending themselves. Whoever replaced or deleted the document meanwhile is not overruled.
    """
    try:
        entries = await asyncio.to_thread(lambda: list(read_entries(source.text)))
    except OpenApiInvalid:
        logger.warning("the OpenAPI document %s cannot be read", source.document_id)
        return 0
    async with _duty(engine) as session:
        own = select(KnowledgeItem).where(col(KnowledgeItem.id) == source.document_id)
        document = (await session.exec(own.with_for_update())).first()
        if document is None or document.deleted_at is not None or document.version != source.version:
            return 0
        query = select(KnowledgeItem).where(
            col(KnowledgeItem.document_id) == document.id,
            col(KnowledgeItem.knowledge_type) == "document",
            col(KnowledgeItem.deleted_at).is_(None),
        )
        held = (await session.exec(query.with_for_update())).all()
        for row in held:
            if row.labels != document.labels:
                row.labels = document.labels
                row.version += 1
        return _follow(session, held, entries, lambda: _new_entry(document))


async def reconcile(engine: AsyncEngine, client: KnowledgeClient) -> int:
    """Compare the index with the database and mark as pending what it lacks; returns how many.

    For the start of the worker, and whenever ``stats().index_id`` has changed: an index that was lost or made for
    another model is then filled again. Points of documents that no longer exist are deleted.
    """
    held = await client.versions()
    async with _duty(engine) as session:
        query = select(KnowledgeItem.id, KnowledgeItem.indexed_version).where(
            col(KnowledgeItem.knowledge_type) != "chunk", col(KnowledgeItem.deleted_at).is_(None)
        )
        live = dict((await session.exec(query)).all())
        behind = [key for key, version in live.items() if version > 0 and held.get(key) != version]
        if behind:
            chosen = col(KnowledgeItem.id).in_(behind)
            await session.exec(update(KnowledgeItem).where(chosen).values(indexed_version=0))
    stray = [document_id for document_id in held if document_id not in live]
    if stray:
        await client.delete(stray)
    return len(behind)


async def is_caught_up(engine: AsyncEngine, since: datetime) -> bool:
    """Whether the platform's documents are there and indexed, and everything that was pending at a time is.

    What came later does not count: an installation that never stops writing would never be caught up.
    """
    of_platform = col(KnowledgeItem.org_id) == PLATFORM_ORG_ID
    is_pending = col(KnowledgeItem.indexed_version) < col(KnowledgeItem.version)
    counted = is_pending & (of_platform | (col(KnowledgeItem.updated_at) <= since))
    query = select(func.count().filter(of_platform), func.count().filter(counted)).where(
        col(KnowledgeItem.knowledge_type) != "chunk"
    )
    async with _duty(engine) as session:
        stored, waiting = (await session.exec(query)).one()
    return stored > 0 and waiting == 0


async def _claim(engine: AsyncEngine, limit: int) -> tuple[list[DocumentSource], dict[UUID, int]]:
    """Pending documents with their groups, and the versions of those that were deleted."""
    async with _duty(engine) as session:
        rows = await claim_pending(session, limit)
        deleted = {row.id: row.version for row in rows if row.deleted_at is not None}
        alive = [row for row in rows if row.deleted_at is None]
        ancestors = await _ancestors(session, {row.group_id for row in alive})
        return [_to_source(row, ancestors.get(row.group_id, (row.group_id,))) for row in alive], deleted


async def _ancestors(session: AsyncSession, group_ids: set[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    """Each group with its ancestors, itself included."""
    query = (
        select(GroupClosure.descendant_id, GroupClosure.ancestor_id)
        .where(col(GroupClosure.descendant_id).in_(group_ids))
        .order_by(col(GroupClosure.depth))
    )
    found: dict[UUID, tuple[UUID, ...]] = {}
    for group_id, ancestor_id in (await session.exec(query)).all():
        found[group_id] = (*found.get(group_id, ()), ancestor_id)
    return found


async def _index(
    engine: AsyncEngine, client: KnowledgeClient, splitter: Splitter, sources: Sequence[DocumentSource]
) -> None:
    """Rows first, points next, stale rows last: a search in between finds text for whatever it finds."""
    prepared = [(source, await asyncio.to_thread(_prepare, splitter, source)) for source in sources]
    async with _duty(engine) as session:
        await _lock(session, sources)
        for source, document in prepared:
            await _store_passages(session, source, document)
    unfinished = await client.put([document.indexed for _, document in prepared], PASSAGES_PER_TURN)
    async with _duty(engine) as session:
        await _lock(session, sources)
        for source, document in prepared:
            if source.document_id not in unfinished:
                await _finish(session, source, document)


def _prepare(splitter: Splitter, source: DocumentSource) -> PreparedDocument:
    """The prepared document; one that defeats the splitter is found by its title, and holds up no other."""
    try:
        return splitter.prepare(source)
    except Exception:
        logger.exception("the document %s cannot be split", source.document_id)
        return splitter.prepare(replace(source, text="", kind="endpoint", details={}))


async def _lock(session: AsyncSession, sources: Sequence[DocumentSource]) -> None:
    """Documents before their passages, and in the order of their ids, as whoever replaces them does."""
    ids = [source.document_id for source in sources]
    rows = select(KnowledgeItem.id).where(col(KnowledgeItem.id).in_(ids)).order_by(col(KnowledgeItem.id))
    await session.exec(rows.with_for_update())


async def _store_passages(session: AsyncSession, source: DocumentSource, document: PreparedDocument) -> None:
    """Write the passages that are new, and the order of those that stay."""
    query = select(KnowledgeItem).where(
        col(KnowledgeItem.document_id) == source.document_id, col(KnowledgeItem.knowledge_type) == "chunk"
    )
    held = {row.id: row for row in (await session.exec(query)).all()}
    for entry in document.passages:
        row = held.get(entry.id) or KnowledgeItem(
            org_id=source.org_id,
            group_id=source.group_id,
            knowledge_type="chunk",
            kind=source.kind,
            document_id=source.document_id,
            text=entry.passage.text,
            content_hash=entry.content_hash,
            created_by=platform_actor().id,
        )
        row.id = entry.id
        row.title = source.title
        row.visibility = source.visibility
        row.position = entry.passage.position
        row.heading_path = list(entry.passage.heading_path)
        row.anchor = entry.passage.anchor or None
        session.add(row)


async def _finish(session: AsyncSession, source: DocumentSource, document: PreparedDocument) -> None:
    """Drop the passages that are no longer part, and mark the version as indexed unless it was deleted since."""
    kept = [entry.id for entry in document.passages]
    stale = _is_passage_of([source.document_id]) & col(KnowledgeItem.id).not_in(kept)
    await session.exec(delete(KnowledgeItem).where(stale))
    own = col(KnowledgeItem.id) == source.document_id
    await session.exec(update(KnowledgeItem).where(own).values(indexed_version=source.version))


async def _forget(engine: AsyncEngine, deleted: Mapping[UUID, int]) -> None:
    """What somebody wrote stays as a deleted row; of patterns, which come and go, nothing does."""
    is_pattern = col(KnowledgeItem.id).in_(deleted) & (col(KnowledgeItem.knowledge_type) == "pattern")
    async with _duty(engine) as session:
        await session.exec(delete(KnowledgeItem).where(_is_passage_of(list(deleted)) | is_pattern))
        for document_id, version in deleted.items():
            own = col(KnowledgeItem.id) == document_id
            await session.exec(update(KnowledgeItem).where(own).values(indexed_version=version))


def _is_passage_of(document_ids: Sequence[UUID]) -> ColumnElement[bool]:
    return col(KnowledgeItem.document_id).in_(document_ids) & (col(KnowledgeItem.knowledge_type) == "chunk")


def _duty(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncSession]:
    return open_duty(engine, DUTY)


def _to_source(row: KnowledgeItem, group_ids: tuple[UUID, ...]) -> DocumentSource:
    return DocumentSource(
        document_id=row.id,
        org_id=row.org_id,
        group_id=row.group_id,
        group_ids=group_ids,
        visibility=row.visibility,
        kind=row.kind,
        version=row.version,
        title=row.title,
        text=row.text,
        external_id=row.external_id,
        details=row.metadata_,
        format=row.format,
        labels=tuple(row.labels),
        is_own_pattern=row.knowledge_type == "pattern",
    )


def _follow(
    session: AsyncSession,
    held: Sequence[KnowledgeItem],
    sources: Sequence[SourceDocument],
    make_row: Callable[[], KnowledgeItem],
) -> int:
    """Make rows what their sources say: new, changed in a new version, deleted, or left alone; how many changed."""
    by_name = {(row.kind, row.external_id): row for row in held}
    changed = 0
    for source in sources:
        row = by_name.pop((source.kind, source.external_id), None)
        if row is None or row.content_hash != source.content_hash:
            session.add(_fill(row or make_row(), source))
            changed += 1
    for row in by_name.values():
        row.deleted_at = row.updated_at = utc_now()
        row.version += 1
    return changed + len(by_name)


def _new_platform_row() -> KnowledgeItem:
    return KnowledgeItem(
        org_id=PLATFORM_ORG_ID,
        group_id=PLATFORM_ORG_ID,
        version=0,
        visibility=Visibility.PUBLIC,
        created_by=platform_actor().id,
    )


def _new_pattern(org_id: UUID, group_id: UUID) -> KnowledgeItem:
    return KnowledgeItem(
        org_id=org_id, group_id=group_id, knowledge_type="pattern", version=0, created_by=platform_actor().id
    )


def _new_entry(document: KnowledgeItem) -> KnowledgeItem:
    return KnowledgeItem(
        org_id=document.org_id,
        group_id=document.group_id,
        document_id=document.id,
        visibility=document.visibility,
        labels=document.labels,
        version=0,
        created_by=document.created_by,
    )


def _fill(row: KnowledgeItem, source: SourceDocument) -> KnowledgeItem:
    row.kind, row.external_id = source.kind, source.external_id
    row.title, row.text, row.url = source.title, source.text, source.url or None
    row.metadata_ = source.details
    row.content_hash = source.content_hash
    row.updated_at = utc_now()
    row.version += 1
    return row
