"""Usage patterns as search finds them beside what people wrote: the shared ones, and to each group its own.

Each tells its operations in order, by what the reference calls them; it stands for no value and for no organisation.
The shared ones are documents of the platform. A group's own belong to it, and are nothing that it keeps: it reads them.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.ingestion import LEARNT, store_patterns, store_platform
from knowledge.source_document import SourceDocument
from ontology.actors import PLATFORM_ORG_ID, platform_actor
from ontology.database import open_duty, open_transaction
from ontology.knowledge_items import DocumentKind, KnowledgeItem
from ontology.pattern_changes import claim_common, list_changed
from ontology.usage_patterns import DUTY, Operations, list_shared

# The search stays about what people wrote: only what is most common is told.
SHARED_MAX, OWN_MAX = 30, 10
_SHARED = "Several organisations make these calls one after the other."
_OWN = "Learned from your calls: you make these one after the other."

Endpoints = Mapping[str, KnowledgeItem]


async def store_learnt_patterns(engine: AsyncEngine) -> int:
    """Bring these documents up to what is shared now; returns how many changed."""
    async with open_transaction(engine, platform_actor()) as session:
        endpoints = await _read_endpoints(session)
        shared = await list_shared(session, limit=2 * SHARED_MAX)
        return await store_platform(session, _describe(shared, endpoints, _SHARED, SHARED_MAX), learnt=True)


async def store_own_patterns(engine: AsyncEngine) -> int:
    """Tell the groups whose common patterns may have changed what these are now; how many came, changed or went.

    One transaction for each organisation, or several for one with many such groups.
    """
    async with open_transaction(engine, platform_actor()) as session:
        endpoints = await _read_endpoints(session)
    async with open_duty(engine, DUTY) as session:
        # Without the operations' names nothing can be told, and nothing must be taken back.
        waiting = await list_changed(session) if endpoints else []
    changed = 0
    while waiting:
        async with open_duty(engine, DUTY) as session:
            common = await claim_common(session, waiting[-1], limit=4 * OWN_MAX)
            own = {group_id: _describe(each, endpoints, _OWN, OWN_MAX) for group_id, each in common.items()}
            changed += await store_patterns(session, waiting[-1], own)
        if not common:
            waiting.pop()
    return changed


def choose_longest(patterns: Sequence[Operations]) -> list[Operations]:
    """Those that are no part of another, in their order."""
    return [each for each in patterns if not any(each != other and _is_within(each, other) for other in patterns)]


async def _read_endpoints(session: AsyncSession) -> Endpoints:
    """The platform's operations by method and path, as patterns name them."""
    item = KnowledgeItem
    query = item.visible_to(platform_actor()).where(
        col(item.org_id) == PLATFORM_ORG_ID,
        col(item.kind) == DocumentKind.ENDPOINT,
        col(item.knowledge_type) == "document",
        col(item.deleted_at).is_(None),
    )
    return {f"{row.metadata_['method']} {row.metadata_['path']}": row for row in await session.exec(query)}


def _describe(patterns: Sequence[Operations], endpoints: Endpoints, opening: str, most: int) -> list[SourceDocument]:
    known = [operations for operations in patterns if all(name in endpoints for name in operations)]
    return [describe_pattern(operations, endpoints, opening) for operations in choose_longest(known)[:most]]


def describe_pattern(operations: Operations, endpoints: Endpoints, opening: str) -> SourceDocument:
    rows = [endpoints[name] for name in operations]
    titles = [row.title for row in rows]
    steps = [
        f"{place}. [{row.title}]({row.url}): `{name}`"
        for place, (row, name) in enumerate(zip(rows, operations, strict=True), 1)
    ]
    title = ", then ".join([titles[0], *(each[:1].lower() + each[1:] for each in titles[1:])])
    text = "\n".join((opening, "", *steps))
    name = ",".join(str(row.external_id) for row in rows)
    return SourceDocument(
        "pattern", f"{LEARNT}{name}", title, text, rows[0].url or "", {"operations": list(operations)}
    )


def _is_within(part: Operations, whole: Operations) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))
