"""Documents for tests, made ready as ingestion makes them."""

from uuid import UUID, uuid5

from knowledge.index.interface import SearchScope
from knowledge.indexing import DocumentSource, Splitter
from knowledge.protocol import IndexedDocument

ORGANISATION, STRANGER = UUID(int=101), UUID(int=102)
PARENT, CHILD, SIBLING = UUID(int=111), UUID(int=112), UUID(int=113)


def new_document(
    splitter: Splitter,
    title: str,
    text: str,
    *,
    org_id: UUID = ORGANISATION,
    group_ids: tuple[UUID, ...] = (ORGANISATION,),
    visibility: str = "group",
    version: int = 1,
) -> IndexedDocument:
    """A document of the first of the groups; the others are the groups above it."""
    source = DocumentSource(
        document_id=uuid5(org_id, title),
        org_id=org_id,
        group_id=group_ids[0],
        group_ids=group_ids,
        visibility=visibility,
        kind="page",
        version=version,
        title=title,
        text=text,
        external_id=None,
        details={},
    )
    return splitter.prepare(source).indexed


def whole_organisation(org_id: UUID = ORGANISATION) -> SearchScope:
    return SearchScope(org_id, org_id)
