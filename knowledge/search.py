"""The search, from what was typed to the hits a caller may read: the one pipeline behind every door.

1. ``queries.read_query``   a pasted error is cleaned; identifiers are taken out for exact lookup      (knowledge
2. ``embedder``             the question becomes a vector                                              process)
3. ``index``                passages by meaning, passages and documents by words, all within the scope
4. ``ranking``              lists are normalised and fused per document; exact names come first
5. ``search``, below        text comes from the database under row-level security, or the hit is dropped

The index decides the order; the database alone decides what may be shown.
"""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.client import KnowledgeClient
from knowledge.highlights import find_highlights
from knowledge.index.interface import SearchScope
from knowledge.protocol import RankedDocument, SearchRequest
from ontology.actors import PLATFORM_ORG_ID, Actor
from ontology.ids import KnowledgeId
from ontology.knowledge_items import KnowledgeItem
from ontology.records import Record

LIMIT_DEFAULT, LIMIT_MAX = 10, 50
# Asked for beyond the limit, so that a few stale points do not shorten the answer.
SPARE_RESULTS = 10
_FirstPassage = tuple[UUID, int]


class Hit(Record):
    """A document that answers, with the passage that does. The last three fields are an endpoint's."""

    kind: str
    document_id: KnowledgeId
    external_id: str | None = None
    title: str
    heading_path: list[str]
    url: str | None = None
    text: str
    highlights: list[str]
    score: float
    method: str | None = None
    path: str | None = None
    operation_id: str | None = None


async def search(
    session: AsyncSession,
    actor: Actor,
    client: KnowledgeClient,
    query: str,
    *,
    limit: int = LIMIT_DEFAULT,
    kinds: Sequence[str] = (),
    group_id: UUID | None = None,
    labels: Sequence[str] = (),
    by_passage: bool = False,
) -> list[Hit]:
    """The documents that answer the query best among those the actor may read, best first, one hit each.

    ``kinds`` narrows to some kinds of document; ``group_id`` to the documents of one group and those below it;
    ``labels`` to documents that carry each of them. ``by_passage`` gives each passage a hit of its own.

    Raises:
        SearchUnavailable: the knowledge process does not answer in time, or (``IndexBuilding``) from no whole index.
    """
    if not query.strip():
        return []
    scope = SearchScope(actor.org_id, actor.group_id, actor.ancestor_ids, within=group_id, labels=tuple(labels))
    request = SearchRequest(query, scope, tuple(kinds), limit + SPARE_RESULTS, by_passage)
    ranked = await client.search(request)
    if not ranked:
        return []
    rows = await _load_rows(session, actor, ranked)
    own_patterns = {row.external_id for row in rows.values() if row.knowledge_type == "pattern"}
    hits: list[Hit] = []
    for entry in ranked:
        document = rows.get(entry.document_id)
        passage = rows.get(entry.passage_id) if entry.passage_id else rows.get(_first(entry.document_id))
        if document is None or passage is None:
            continue
        # What others do too is told once: as the group's own.
        if document.org_id != PLATFORM_ORG_ID or document.external_id not in own_patterns:
            hits.append(_to_hit(document, passage, entry.score, query))
    return hits[:limit]


async def load_beginnings(session: AsyncSession, actor: Actor, hits: Sequence[Hit]) -> dict[UUID, Hit]:
    """The first passages of the documents, as far as they may be read, each as a hit in place of the one found."""
    rows = await _load_rows(session, actor, [RankedDocument(hit.document_id, None, hit.score) for hit in hits])
    pairs = ((hit, rows.get(hit.document_id), rows.get(_first(hit.document_id))) for hit in hits)
    return {
        hit.document_id: _to_hit(document, passage, hit.score, "")
        for hit, document, passage in pairs
        if document is not None and passage is not None
    }


def describe_document(row: KnowledgeItem, passage: KnowledgeItem | None = None, *, score: float = 1.0) -> Hit:
    """A document that was found by what it is, not by words; with its title where no passage is given."""
    return Hit(
        kind=row.kind,
        document_id=row.id,
        external_id=row.external_id,
        title=row.title,
        heading_path=list(passage.heading_path) if passage else [],
        url=row.url,
        text=passage.text if passage else row.title,
        highlights=[],
        score=score,
        method=row.metadata_.get("method"),
        path=row.metadata_.get("path"),
        operation_id=row.metadata_.get("operationId"),
    )


async def _load_rows(
    session: AsyncSession, actor: Actor, ranked: Sequence[RankedDocument]
) -> dict[UUID | _FirstPassage, Row[Any]]:
    """Documents that live and passages, as far as they may be read, in one query; only passages bring their text.

    A document that matched as a whole is shown by its first passage.
    """
    item = KnowledgeItem
    wanted = {entry.document_id for entry in ranked} | {entry.passage_id for entry in ranked if entry.passage_id}
    whole = [entry.document_id for entry in ranked if entry.passage_id is None]
    chosen: ColumnElement[bool] = col(item.id).in_(wanted)
    if whole:
        chosen |= col(item.document_id).in_(whole) & (col(item.position) == 0)
    query = (
        item.visible_to(actor)
        .where(chosen, col(item.deleted_at).is_(None))
        .with_only_columns(
            *_columns(item.id, item.document_id, item.position, item.kind, item.title, item.external_id, item.url),
            *_columns(item.org_id, item.knowledge_type, item.heading_path, item.anchor),
            *(col(item.metadata_)[name].astext.label(name) for name in ("method", "path", "operationId")),
            case((col(item.knowledge_type) == "chunk", col(item.text)), else_="").label("text"),
        )
    )
    rows: dict[UUID | _FirstPassage, Row[Any]] = {}
    found = cast("Sequence[Row[Any]]", (await (await session.connection()).execute(query)).all())
    for row in found:
        rows[row.id] = row
        if row.position == 0:
            rows[_first(row.document_id)] = row
    return rows


def _first(document_id: UUID) -> _FirstPassage:
    return (document_id, 0)


def _columns(*attributes: Any) -> list[Any]:
    return list(attributes)


def _to_hit(document: Row[Any], passage: Row[Any], score: float, query: str) -> Hit:
    url = document.url
    if url and passage.anchor and document.kind != "endpoint" and "#" not in url:
        url = f"{url}#{passage.anchor}"
    return Hit(
        kind=document.kind,
        document_id=document.id,
        external_id=document.external_id,
        title=document.title,
        heading_path=list(passage.heading_path),
        url=url,
        text=passage.text,
        highlights=find_highlights(passage.text, query),
        score=score,
        method=document.method,
        path=document.path,
        operation_id=document.operationId,
    )
