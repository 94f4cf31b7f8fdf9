"""`/v1/knowledge/uploads`: a zip of a docs tree, each file of which becomes a document."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api import examples
from api.calls import RawBody
from api.documents import DocumentBatchSummary, describe_outcome
from api.late_answers import LARGE_BODY_SECONDS
from api.leaked_keys import refuse_keys_in_body
from api.operations import Call, operation
from api.parameters import DryRunQuery
from api.services import Services
from knowledge.uploads import ARCHIVE_BYTES_MAX, ReadFile, UploadInvalid, UploadTooLarge, check_files, read_archive
from ontology.documents import Change, DocumentPut, put_documents
from ontology.errors import Flaw, GroupArchived, InvalidDocument, InvalidRequest, NotFound, PayloadTooLarge, PortalError
from ontology.groups import get_active_group
from ontology.ids import GroupId, encode_id
from ontology.knowledge_items import KnowledgeFields
from ontology.scopes import Scope

PATH = "/v1/knowledge/uploads"
# Labels in one text, without what separates them.
LABELS_PATTERN = r"^[^,\x00-\x20]{1,100}(,[^,\x00-\x20]{1,100}){0,49}$"


class UploadQuery(DryRunQuery):
    """What holds for every file that does not say otherwise in its front matter."""

    group_id: Annotated[GroupId, Field(description="A group within reach; else the key's own.")] | None = None
    visibility: Annotated[
        Literal["group", "subtree"],
        Field(description="Who may find them: their own group, or with `subtree` the groups below too."),
    ] = "group"
    labels: (
        Annotated[str, Field(max_length=5_000, pattern=LABELS_PATTERN, description="Labels, separated by commas.")]
        | None
    ) = None


class UploadedFile(BaseModel):
    """What became of one file."""

    name: str = Field(description="Its path in the archive, which is the document's `externalId`.")
    status: int = Field(description="As a request of its own would have answered: 200, 201, or a refusal's.")
    change: Change | None = Field(default=None, description="What was done; `unchanged` costs nothing.")
    document: KnowledgeFields | None = None
    problem: dict[str, Any] | None = Field(default=None, description="A problem document.")


class UploadResult(BaseModel):
    """An answer for every file."""

    data: list[UploadedFile]
    summary: DocumentBatchSummary


async def _read_files(
    services: Services, data: bytes, query: UploadQuery
) -> list[tuple[str, DocumentPut | PortalError]]:
    """Each file by its name: the document it makes, or why it makes none.

    Raises:
        InvalidDocument, PayloadTooLarge: the archive as a whole.
    """
    options: dict[str, Any] = {"visibility": query.visibility}
    options["labels"] = query.labels.split(",") if query.labels else []
    if query.group_id is not None:
        options["groupId"] = encode_id("group", query.group_id)
    try:
        files = await asyncio.to_thread(read_archive, data, options)
    except UploadTooLarge as refusal:
        raise PayloadTooLarge(str(refusal)) from None
    except UploadInvalid as refusal:
        flaw = Flaw("body", "is not an archive that can be used", "send a zip of Markdown, HTML, text, JSON or YAML")
        raise InvalidDocument(str(refusal), flaws=[flaw]) from None
    checked = await check_uploaded(services, files, f"POST {PATH}")
    return [(file.name, outcome) for file, outcome in zip(files, checked, strict=True)]


async def check_uploaded(services: Services, files: Sequence[ReadFile], place: str) -> list[DocumentPut | PortalError]:
    """What each file comes to, by place: its document, fit to be stored, or why there is none.

    A file in which a real key stands is refused and the key ended, as with any other body.
    """
    checked = await check_files(files)
    return [await _find_key(services, file, place) or outcome for file, outcome in zip(files, checked, strict=True)]


async def _find_key(services: Services, file: ReadFile, place: str) -> InvalidRequest | None:
    if file.document is None:
        return None
    try:
        await refuse_keys_in_body(services, file.document.text.encode(), f"{place} {file.name[:200]}")
    except InvalidRequest as refusal:
        return refusal
    return None


@operation(
    "POST",
    PATH,
    id="uploadDocuments",
    tag="Knowledge",
    scope=Scope.KNOWLEDGE_WRITE,
    query=UploadQuery,
    raw_body=RawBody("application/zip", ARCHIVE_BYTES_MAX, LARGE_BODY_SECONDS, _read_files),
    answer=UploadResult,
    errors=(NotFound, GroupArchived, InvalidDocument),
    answer_example=examples.UPLOAD_RESULT,
)
async def upload_documents(call: Call[list[tuple[str, DocumentPut | PortalError]], UploadQuery]) -> dict[str, Any]:
    """Upload a zip of documents.

    Each Markdown, HTML, text, JSON or YAML file becomes a document whose `externalId` is its path, created or replaced
    and answered on its own: a bad file spoils no other, and one that has not changed is left alone. Markdown may have
    `title`, `url`, `kind` and `labels` in its front matter.
    """
    if call.query.group_id is not None:
        await get_active_group(call.session, call.actor, call.query.group_id)
    outcomes = await put_documents(call.session, call.actor, [item for _, item in call.body])
    data = [
        {"name": name} | describe_outcome(call, outcome) for (name, _), outcome in zip(call.body, outcomes, strict=True)
    ]
    failed = sum("problem" in entry for entry in data)
    return {"data": data, "summary": {"total": len(data), "success": len(data) - failed, "failed": failed}}


handlers = [upload_documents]
