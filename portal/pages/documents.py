"""`/documents`: what the organisation wants to be found, how far it is indexed; uploading files and whole trees."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from api.parameters import parse_path_id
from api.uploads import LABELS_PATTERN, check_uploaded
from knowledge.uploads import ARCHIVE_BYTES_MAX, ReadFile, UploadInvalid, read_upload
from ontology.database import open_transaction
from ontology.documents import DocumentFilter, count_documents, delete_document, list_documents, put_documents
from ontology.errors import InvalidCursor, PortalError
from ontology.ids import encode_id
from ontology.knowledge_items import KnowledgeItem
from ontology.pagination import PageRequest
from ontology.scopes import Scope
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor

ROWS_SHOWN = 50
DONE = {"deleted": "The document is deleted. Search has stopped showing it."}
# What a form adds to the file it carries.
FORM_BYTES_MAX = 100_000
CHANGES = ("created", "replaced", "unchanged", "refused")
STATUSES = ("pending", "indexed")
FORMATS = {"markdown": "Markdown", "html": "HTML", "text": "Text", "openapi": "OpenAPI"}


@dataclass(frozen=True, slots=True)
class DocumentView:
    id: str
    title: str
    name: str | None
    format: str
    kind: str
    labels: tuple[str, ...]
    visibility: str
    version: int
    status: str
    changed: str
    changed_iso: str


@dataclass(frozen=True, slots=True)
class FileView:
    """What became of one uploaded file; `problem` when it was refused."""

    name: str
    change: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DocumentsPage:
    """`address` is that of this list; `total` counts all of the organisation's documents, `pending` those to index.

    `labels` is what a refused form had there.
    """

    documents: tuple[DocumentView, ...]
    status: str
    address: str
    total: int
    pending: int
    may_write: bool
    may_delete: bool
    older: str | None = None
    files: tuple[FileView, ...] = ()
    figures: tuple[tuple[str, int], ...] = ()
    done: str = ""
    labels: str = ""
    problems: dict[str, str] = field(default_factory=dict[str, str])


@get("/documents", opt={"public": True})
async def documents_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.KNOWLEDGE_READ)
    status = request.query_params.get("status", "")
    done = DONE.get(request.query_params.get("done", ""), "")
    try:
        return await _show(visitor, status if status in STATUSES else "", request.query_params.get("cursor"), done=done)
    except InvalidCursor:
        return Redirect("/documents", status_code=303)


@post("/documents", opt={"public": True}, request_max_body_size=ARCHIVE_BYTES_MAX + FORM_BYTES_MAX)
async def upload(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.KNOWLEDGE_WRITE)
    try:
        form = await read_form(request, visitor)
    except HTTPException as error:
        if error.status_code != 413:
            raise
        return await _show(visitor, problems={"file": "The file is larger than 10 MB."}, answer=422)
    file = (await request.form()).get("file")
    labels = _read_labels(form)
    if labels is None:
        told = {"labels": "Separate labels by commas; each has at most 100 characters and no spaces."}
        return await _show(visitor, labels=",".join(form["labels"]), problems=told, answer=422)
    options = {"visibility": "subtree" if form.get("visibility") == ["subtree"] else "group", "labels": labels}
    name, data = (file.filename or "", await file.read()) if isinstance(file, UploadFile) else ("", b"")
    try:
        files = await asyncio.to_thread(read_upload, name, data, options)
    except UploadInvalid as refusal:
        return await _show(visitor, problems={"file": str(refusal)}, answer=422)
    shown = await _store(visitor, files)
    return await _show(visitor, files=shown, answer=422 if all(file.problem for file in shown) else 200)


@post("/documents/{document_id:str}/delete", opt={"public": True})
async def delete(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.KNOWLEDGE_DELETE).actor
    await read_form(request, visitor)
    identity = parse_path_id("documentId", "knowledge", request.path_params["document_id"])
    async with open_transaction(visitor.services.engine, actor) as session:
        await delete_document(session, actor, identity)
    return Redirect("/documents?done=deleted", status_code=303)


def _read_labels(form: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The labels for every file; None for what is no list of labels."""
    given = ",".join(part for text in form.get("labels", ()) for part in map(str.strip, text.split(",")) if part)
    if not given:
        return []
    return given.split(",") if re.fullmatch(LABELS_PATTERN, given) else None


async def _store(visitor: Visitor, files: list[ReadFile]) -> tuple[FileView, ...]:
    """Put what could be read; a file that is refused spoils no other."""
    actor = visitor.member().actor
    items = await check_uploaded(visitor.services, files, "the page of documents,")
    async with open_transaction(visitor.services.engine, actor) as session:
        outcomes = await put_documents(session, actor, items)
    return tuple(
        FileView(file.name, "refused", _explain(outcome))
        if isinstance(outcome, PortalError)
        else FileView(file.name, outcome.change)
        for file, outcome in zip(files, outcomes, strict=True)
    )


def _explain(refusal: PortalError) -> str:
    told = "; ".join(f"{flaw.message}; {flaw.fix}." for flaw in refusal.flaws)
    return f"{told[:1].upper()}{told[1:]}" or refusal.detail


async def _show(
    visitor: Visitor,
    status: str = "",
    cursor: str | None = None,
    *,
    files: tuple[FileView, ...] = (),
    done: str = "",
    labels: str = "",
    problems: dict[str, str] | None = None,
    answer: int = 200,
) -> Response[Any]:
    """Raises: InvalidCursor."""
    actor = visitor.member().actor
    request = PageRequest(visitor.services.settings.secret_key, ROWS_SHOWN, cursor)
    wanted = DocumentFilter(status=status or None)  # pyright: ignore[reportArgumentType]
    async with open_transaction(visitor.services.engine, actor) as session:
        found = await list_documents(session, actor, request, wanted)
        total, pending = await count_documents(session, actor)
    older = _address(status, found.next_cursor) if found.next_cursor else None
    page = DocumentsPage(
        documents=tuple(_view(row) for row in found.rows),
        status=status,
        address=_address(status, cursor),
        total=total,
        pending=pending,
        may_write=Scope.KNOWLEDGE_WRITE in actor.scopes,
        may_delete=Scope.KNOWLEDGE_DELETE in actor.scopes,
        older=older,
        files=files,
        figures=tuple((change, count) for change in CHANGES if (count := sum(file.change == change for file in files))),
        done=done,
        labels=labels,
        problems=problems or {},
    )
    return render("documents.html", visitor.site, page, status=answer)


def _address(status: str, cursor: str | None) -> str:
    asked = {name: value for name, value in (("status", status), ("cursor", cursor)) if value}
    return f"/documents?{urlencode(asked)}" if asked else "/documents"


def _view(row: KnowledgeItem) -> DocumentView:
    return DocumentView(
        id=encode_id("knowledge", row.id),
        title=row.title,
        name=row.external_id,
        format=FORMATS.get(row.format, row.format),
        kind=row.kind,
        labels=tuple(row.labels),
        visibility=row.visibility,
        version=row.version,
        status=row.status,
        changed=f"{row.updated_at.day} {row.updated_at:%b %Y, %H:%M} UTC",
        changed_iso=row.updated_at.isoformat(),
    )


handlers = [documents_page, upload, delete]
