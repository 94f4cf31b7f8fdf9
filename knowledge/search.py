"""The search, from what was typed to the hits a caller may read: the one pipeline behind every door.

1. ``queries.read_query``   a pasted error is cleaned; identifiers are taken out for exact lookup      (knowledge
2. ``embedder``             the question becomes a vector                                              process)
3. ``index``                passages by meaning, passages and documents by words, all within the scope
4. ``ranking.rank``         lists are normalised and fused per document; exact names come first
5. ``search``, below        text comes from the database under row-level security, or the hit is dropped

The index decides the order; the database alone decides what may be shown.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import load_only
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.client import KnowledgeClient
from knowledge.highlights import find_highlights
from knowledge.index.interface import SearchScope
from knowledge.protocol import RankedDocument, SearchRequest
from ontology.actors import Actor
from ontology.ids import KnowledgeId
from ontology.knowledge_items import KnowledgeItem
from ontology.records import Record

LIMIT_DEFAULT, LIMIT_MAX = 10, 50
# Asked for beyond the limit, so that a few stale points do not shorten the answer.
SPARE_RESULTS = 10


class Hit(Record):
    """One document that answers, with the passage that does. The last three fields are an endpoint's."""

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
) -> list[Hit]:
    """The documents that answer the query best among those the actor may read, best first, one hit each.

    ``kinds`` narrows to some kinds of document; ``group_id`` to the documents of one group and those below it.

    Raises:
        SearchUnavailable: the knowledge process does not answer in time, or (``IndexBuilding``) from no whole index.
    """
    if not query.strip():
        return []
    scope = SearchScope(actor.org_id, actor.group_id, actor.ancestor_ids, within=group_id)
    request = SearchRequest(query, scope, tuple(kinds), limit + SPARE_RESULTS)
    ranked = await client.search(request)
    if not ranked:
        return []
    documents = await _load_documents(session, actor, ranked)
    passages = await _load_passages(session, actor, ranked)
    hits: list[Hit] = []
    for entry in ranked:
        document = documents.get(entry.document_id)
        passage = passages.get(entry.passage_id or entry.document_id)
        if document is not None and passage is not None:
            hits.append(_to_hit(document, passage, entry.score, query))
    return hits[:limit]


async def _load_documents(
    session: AsyncSession, actor: Actor, ranked: Sequence[RankedDocument]
) -> dict[UUID, KnowledgeItem]:
    """Those of the documents that live and may be read; their text stays where it is."""
    wanted = [entry.document_id for entry in ranked]
    query = (
        KnowledgeItem.visible_to(actor)
        .where(
            col(KnowledgeItem.id).in_(wanted),
            col(KnowledgeItem.knowledge_type) == "document",
            col(KnowledgeItem.deleted_at).is_(None),
        )
        .options(
            load_only(
                *_columns(
                    KnowledgeItem.id,
                    KnowledgeItem.kind,
                    KnowledgeItem.title,
                    KnowledgeItem.external_id,
                    KnowledgeItem.url,
                    KnowledgeItem.metadata_,
                )
            )
        )
    )
    return {document.id: document for document in (await session.exec(query)).all()}


async def _load_passages(
    session: AsyncSession, actor: Actor, ranked: Sequence[RankedDocument]
) -> dict[UUID, KnowledgeItem]:
    """The passages by id; for a document that matched as a whole its first passage, by the document's id."""
    wanted = [entry.passage_id for entry in ranked if entry.passage_id is not None]
    whole = {entry.document_id for entry in ranked if entry.passage_id is None}
    first: ColumnElement[bool] = and_(col(KnowledgeItem.document_id).in_(whole), col(KnowledgeItem.position) == 0)
    query = KnowledgeItem.visible_to(actor).where(
        col(KnowledgeItem.knowledge_type) == "chunk", or_(col(KnowledgeItem.id).in_(wanted), first)
    )
    found: dict[UUID, KnowledgeItem] = {}
    for passage in (await session.exec(query)).all():
        found[passage.id] = passage
        if passage.document_id is not None and passage.document_id in whole and passage.position == 0:
            found[passage.document_id] = passage
    return found


def _columns(*attributes: Any) -> list[Any]:
    return list(attributes)


def _to_hit(document: KnowledgeItem, passage: KnowledgeItem, score: float, query: str) -> Hit:
    url = document.url
    if url and passage.anchor and document.kind != "endpoint" and "#" not in url:
        url = f"{url}#{passage.anchor}"
    details = document.metadata_
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
        method=details.get("method"),
        path=details.get("path"),
        operation_id=details.get("operationId"),
    )
