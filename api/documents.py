"""`/v1/knowledge/documents`: what an organisation wants to be found beside the platform's own pages."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api import examples
from api.batch_items import EachByItself, UnreadableItem
from api.flaws import describe_flaws
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery, QueryText
from api.problems import describe_problem
from knowledge.document_formats import check_document
from ontology import documents
from ontology.documents import BATCH_MAX, Change, DocumentCreate, DocumentFilter, DocumentPut, Format, Stored
from ontology.errors import Conflict, GroupArchived, InvalidDocument, InvalidRequest, NotFound, PortalError
from ontology.ids import GroupId, KnowledgeId
from ontology.knowledge_items import KnowledgeFields, KnowledgeItem
from ontology.pagination import Page
from ontology.records import Input
from ontology.scopes import Scope

_TAG = "Knowledge"
_PATH_ID = {"documentId": "knowledge"}


class DocumentWithText(KnowledgeFields):
    """A document with its text."""

    text: str


class DocumentBatch(Input):
    """Documents in the order in which they are put."""

    items: Annotated[list[Annotated[DocumentCreate, EachByItself]], Field(min_length=1, max_length=BATCH_MAX)] = Field(
        description=f"At most {BATCH_MAX:,}.".replace(",", " ")
    )


class DocumentResult(BaseModel):
    """What became of one document."""

    index: int
    status: int = Field(description="As a request of its own would have answered: 200, 201, or a refusal's.")
    change: Change | None = Field(default=None, description="What was done; `unchanged` costs nothing.")
    document: KnowledgeFields | None = None
    problem: dict[str, Any] | None = Field(default=None, description="A problem document; its places are the item's.")


class DocumentBatchSummary(BaseModel):
    """How many documents there were, and how they fared."""

    total: int
    success: int
    failed: int


class DocumentBatchResult(BaseModel):
    """An answer for every document, in order."""

    data: list[DocumentResult]
    summary: DocumentBatchSummary


class DocumentsQuery(PageQuery):
    """Filters of the list of documents."""

    kind: (
        Annotated[Literal["page", "error", "pattern", "endpoint"], Field(description="Only documents of this kind.")]
        | None
    ) = None
    format: Annotated[Format, Field(description="Only documents of this format.")] | None = None
    status: (
        Annotated[
            Literal["pending", "indexed"], Field(description="Only documents that search finds, or does not find yet.")
        ]
        | None
    ) = None
    label: Annotated[QueryText, Field(description="Only documents with this label.")] | None = None
    external_id: Annotated[QueryText, Field(description="Only documents of this name.")] | None = None
    group_id: Annotated[GroupId, Field(description="Only documents of this group.")] | None = None
    specification_id: (
        Annotated[
            KnowledgeId,
            Field(description="Instead of documents, what was read from this OpenAPI document."),
        ]
        | None
    ) = None


@operation(
    "POST",
    "/v1/knowledge/documents",
    id="createDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_WRITE,
    body=DocumentCreate,
    answer=KnowledgeFields,
    status=201,
    errors=(NotFound, GroupArchived, Conflict, InvalidDocument),
    body_example=examples.DOCUMENT_CREATE,
    answer_example=examples.DOCUMENT,
)
async def create_document(call: Call[DocumentCreate, NoQuery]) -> KnowledgeItem:
    """Add a document.

    Markdown, HTML, plain text, or an OpenAPI 3 document, each operation and error of which becomes an entry of its own.
    Found by search within two seconds. Visible to its group and those above; `subtree`: below too.
    """
    await check_document(call.body)
    return await documents.create_document(call.session, call.actor, call.body)


@operation(
    "PUT",
    "/v1/knowledge/documents",
    id="putDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_WRITE,
    body=DocumentPut,
    answer=KnowledgeFields,
    errors=(NotFound, GroupArchived, InvalidDocument),
    body_example=examples.DOCUMENT_CREATE | {"externalId": "handbook/refunds.md"},
    answer_example=examples.DOCUMENT | {"externalId": "handbook/refunds.md"},
    has_tag=False,
)
async def put_document(call: Call[DocumentPut, NoQuery]) -> KnowledgeItem:
    """Create or replace a document.

    The group's one of that `externalId`. What has not changed is left alone, and of what has only the passages that
    differ are embedded again; `version` tells.
    """
    await check_document(call.body)
    stored = await documents.put_document(call.session, call.actor, call.body)
    return stored.document


@operation(
    "POST",
    "/v1/knowledge/documents/batch",
    id="putDocuments",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_WRITE,
    body=DocumentBatch,
    answer=DocumentBatchResult,
    errors=(NotFound, GroupArchived, InvalidDocument),
    body_example=examples.DOCUMENT_BATCH,
    answer_example=examples.DOCUMENT_BATCH_RESULT,
)
async def put_documents(call: Call[DocumentBatch, NoQuery]) -> dict[str, Any]:
    """Create or replace many documents.

    Up to a thousand in one request, each answered on its own: a refused one spoils no other. Those with an `externalId`
    replace the group's one of that name; unchanged ones are left alone, so a whole tree may be sent after every change.
    """
    items = [await _read_item(number, item) for number, item in enumerate(call.body.items)]
    outcomes = await documents.put_documents(call.session, call.actor, items)
    failed = sum(isinstance(outcome, PortalError) for outcome in outcomes)
    data = [{"index": index} | describe_outcome(call, outcome) for index, outcome in enumerate(outcomes)]
    return {"data": data, "summary": {"total": len(data), "success": len(data) - failed, "failed": failed}}


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
    wanted = DocumentFilter(
        kind=query.kind,
        format=query.format,
        status=query.status,
        label=query.label,
        external_id=query.external_id,
        group_id=query.group_id,
        specification_id=query.specification_id,
    )
    return await documents.list_documents(call.session, call.actor, call.page(query), wanted)


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
    document = await documents.get_document(call.session, call.actor, call.ids["documentId"])
    return document.as_json() | {"text": document.text}


@operation(
    "DELETE",
    "/v1/knowledge/documents/{documentId}",
    id="deleteDocument",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_DELETE,
    path_ids=_PATH_ID,
    answer=KnowledgeFields,
    errors=(NotFound, GroupArchived, Conflict),
    answer_example=examples.DOCUMENT,
)
async def delete_document(call: Call[NoBody, NoQuery]) -> KnowledgeItem:
    """Delete a document.

    Search stops showing it at once, and with an OpenAPI document all that was read from it.
    """
    return await documents.delete_document(call.session, call.actor, call.ids["documentId"])


async def _read_item(number: int, item: Any) -> DocumentCreate | PortalError:
    if isinstance(item, UnreadableItem):
        return InvalidRequest(flaws=describe_flaws(item.error, "body", DocumentCreate, item_number=number))
    try:
        await check_document(item)
    except InvalidDocument as refusal:
        return refusal
    return item


def describe_outcome(call: Call[Any, Any], outcome: Stored | PortalError) -> dict[str, Any]:
    """What became of one of many documents: its status, with the document or a problem."""
    if isinstance(outcome, PortalError):
        public_url, request_id = call.services.settings.public_url, call.actor.request_id or ""
        problem = describe_problem(outcome, public_url=public_url, request_id=request_id)
        return {"status": outcome.status, "problem": problem}
    status = 201 if outcome.change == "created" else 200
    return {"status": status, "change": outcome.change, "document": outcome.document.as_json()}


handlers = [create_document, put_document, put_documents, list_documents, get_document, delete_document]
