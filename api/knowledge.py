"""`/v1/knowledge`: search by meaning, and an organisation's own documents."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery
from knowledge.search import LIMIT_DEFAULT, LIMIT_MAX, Hit, search
from ontology import knowledge_items
from ontology.errors import Conflict, GroupArchived, NotFound, SearchUnavailable
from ontology.groups import get_group
from ontology.ids import GroupId
from ontology.knowledge_items import DocumentCreate, KnowledgeFields, KnowledgeItem
from ontology.pagination import Page
from ontology.records import WHOLE, Input
from ontology.scopes import Scope

_TAG = "Knowledge"
_PATH_ID = {"documentId": "knowledge"}
Kind = Literal["page", "error", "endpoint", "pattern"]


class SearchRequest(Input):
    """A question in one's own words, an error as it was pasted, or the name of an endpoint."""

    query: Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\S", examples=["my key stopped working"])]
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), WHOLE] = LIMIT_DEFAULT
    kinds: Annotated[list[Kind], Field(max_length=4)] = Field(default_factory=list[Kind])
    group_id: GroupId | None = None


class DocumentWithText(KnowledgeFields):
    """A document with its text."""

    text: str


class DocumentsQuery(PageQuery):
    """Filters of the list of documents."""

    kind: Literal["page", "error", "pattern"] | None = None
    group_id: Annotated[GroupId, Field(description="Only documents of this group.")] | None = None


@operation(
    "POST",
    "/v1/knowledge/search",
    id="searchKnowledge",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_READ,
    body=SearchRequest,
    answer=Hit,
    shape="list",
    errors=(NotFound, SearchUnavailable),
    body_example=examples.SEARCH,
    answer_example=examples.HIT,
)
async def search_knowledge(call: Call[SearchRequest, NoQuery]) -> dict[str, Any]:
    """Search by meaning.

    Documentation, error codes, endpoints and usage patterns, the platform's and those the key may read; best first.
    """
    body = call.body
    if body.group_id is not None:
        await get_group(call.session, call.actor, body.group_id)
    hits = await search(
        call.session,
        call.actor,
        call.services.knowledge,
        body.query,
        limit=body.limit,
        kinds=body.kinds,
        group_id=body.group_id,
    )
    return {"data": [hit.as_json() for hit in hits]}


@operation(
    "POST",
    "/v1/knowledge/documents",
    id="createDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_WRITE,
    body=DocumentCreate,
    answer=KnowledgeFields,
    status=201,
    errors=(NotFound, GroupArchived, Conflict),
    body_example=examples.DOCUMENT_CREATE,
    answer_example=examples.DOCUMENT,
)
async def create_document(call: Call[DocumentCreate, NoQuery]) -> KnowledgeItem:
    """Add a document.

    Markdown, found by search within two seconds. Visible to its group and those above; `subtree`: below too.
    """
    return await knowledge_items.create_document(call.session, call.actor, call.body)


@operation(
    "GET",
    "/v1/knowledge/documents",
    id="listDocuments",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_READ,
    query=DocumentsQuery,
    answer=KnowledgeFields,
    shape="page",
    errors=(NotFound,),
    answer_example=examples.DOCUMENT,
)
async def list_documents(call: Call[NoBody, DocumentsQuery]) -> Page[KnowledgeItem]:
    """List documents.

    The organisation's own that the key may read, newest first, without their text.
    """
    query = call.query
    return await knowledge_items.list_documents(
        call.session, call.actor, call.page(query), kind=query.kind, group_id=query.group_id
    )


@operation(
    "GET",
    "/v1/knowledge/documents/{documentId}",
    id="getDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_READ,
    path_ids=_PATH_ID,
    answer=DocumentWithText,
    errors=(NotFound,),
    answer_example=examples.DOCUMENT | {"text": "# Refunds\n\nA course is refunded in full within 14 days."},
)
async def get_document(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Get a document.

    With its text.
    """
    document = await knowledge_items.get_document(call.session, call.actor, call.ids["documentId"])
    return document.as_json() | {"text": document.text}


@operation(
    "DELETE",
    "/v1/knowledge/documents/{documentId}",
    id="deleteDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_DELETE,
    path_ids=_PATH_ID,
    answer=KnowledgeFields,
    errors=(NotFound, GroupArchived),
    answer_example=examples.DOCUMENT,
)
async def delete_document(call: Call[NoBody, NoQuery]) -> KnowledgeItem:
    """Delete a document.

    Search stops showing it at once.
    """
    return await knowledge_items.delete_document(call.session, call.actor, call.ids["documentId"])


handlers = [search_knowledge, create_document, list_documents, get_document, delete_document]
