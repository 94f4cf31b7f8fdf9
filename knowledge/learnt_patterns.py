"""Usage patterns that are shared, as documents of the platform, so that search finds them beside those people wrote.

Each tells its operations in order, by what the reference calls them; it stands for no value and for no organisation.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from knowledge.ingestion import LEARNT, store_platform
from knowledge.source_document import SourceDocument
from ontology.actors import PLATFORM_ORG_ID, platform_actor
from ontology.database import open_transaction
from ontology.knowledge_items import DocumentKind, KnowledgeItem
from ontology.usage_patterns import Operations, list_shared

# The search stays about what people wrote: only what is most common is told.
PATTERNS_MAX, OPERATIONS_MIN = 30, 3


async def store_learnt_patterns(engine: AsyncEngine) -> int:
    """Bring these documents up to what is shared now; returns how many changed."""
    actor, item = platform_actor(), KnowledgeItem
    async with open_transaction(engine, actor) as session:
        query = item.visible_to(actor).where(
            col(item.org_id) == PLATFORM_ORG_ID,
            col(item.kind) == DocumentKind.ENDPOINT,
            col(item.knowledge_type) == "document",
            col(item.deleted_at).is_(None),
        )
        endpoints = {f"{row.metadata_['method']} {row.metadata_['path']}": row for row in await session.exec(query)}
        shared = await list_shared(session, OPERATIONS_MIN, limit=2 * PATTERNS_MAX)
        known = [operations for operations in shared if all(name in endpoints for name in operations)]
        sources = [describe_pattern(operations, endpoints) for operations in choose_longest(known)[:PATTERNS_MAX]]
        return await store_platform(session, sources, learnt=True)


def choose_longest(patterns: Sequence[Operations]) -> list[Operations]:
    """Those that are no part of another, in their order."""
    return [each for each in patterns if not any(each != other and _is_within(each, other) for other in patterns)]


def describe_pattern(operations: Operations, endpoints: Mapping[str, KnowledgeItem]) -> SourceDocument:
    rows = [endpoints[name] for name in operations]
    titles = [row.title for row in rows]
    steps = [
        f"{place}. [{row.title}]({row.url}): `{name}`"
        for place, (row, name) in enumerate(zip(rows, operations, strict=True), 1)
    ]
    title = ", then ".join([titles[0], *(each[:1].lower() + each[1:] for each in titles[1:])])
    text = "\n".join(("Several organisations make these calls one after the other.", "", *steps))
    name = ",".join(str(row.external_id) for row in rows)
    return SourceDocument(
        "pattern", f"{LEARNT}{name}", title, text, rows[0].url or "", {"operations": list(operations)}
    )


def _is_within(part: Operations, whole: Operations) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))
