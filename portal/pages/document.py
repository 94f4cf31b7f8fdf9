"""`/documents/{documentId}`: one of the organisation's own documents, to be read where search leads to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.response import Redirect
from markupsafe import Markup

from api.parameters import parse_path_id
from knowledge.document_formats import parse_document
from knowledge.markdown import slug
from knowledge.markdown_html import render_html
from ontology.actors import PLATFORM_ORG_ID
from ontology.database import open_transaction
from ontology.documents import DocumentFilter, get_document, list_documents
from ontology.ids import encode_id
from ontology.knowledge_items import DocumentFormat, KnowledgeItem
from ontology.pagination import PageRequest
from ontology.scopes import Scope
from portal.rendering import render
from portal.sessions import read_visitor

ENTRIES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class EntryView:
    """An operation or error of an OpenAPI document."""

    title: str
    address: str
    method: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """`origin` is where the document itself lies, if its owner said so; `specification` what an entry was read from."""

    title: str
    html: Markup
    kind: str
    method: str | None
    path: str | None
    origin: str | None
    specification: str | None
    labels: tuple[str, ...]
    changed: str
    changed_iso: str
    entries: tuple[EntryView, ...]


def document_address(document_id: UUID, heading_path: Sequence[str] = ()) -> str:
    """Where a document without an address of its own is read, at the heading that answers."""
    anchor = f"#{slug(heading_path[-1])}" if heading_path else ""
    return f"/documents/{encode_id('knowledge', document_id)}{anchor}"


@get("/documents/{document_id:str}", opt={"public": True})
async def document_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.KNOWLEDGE_READ).actor
    identity = parse_path_id("documentId", "knowledge", request.path_params["document_id"])
    async with open_transaction(visitor.services.engine, actor) as session:
        row = await get_document(session, actor, identity)
        entries: tuple[KnowledgeItem, ...] = ()
        if row.format == DocumentFormat.OPENAPI and row.org_id == actor.org_id:
            wanted = DocumentFilter(specification_id=row.id)
            page = PageRequest(visitor.services.settings.secret_key, ENTRIES_SHOWN, None)
            entries = tuple((await list_documents(session, actor, page, wanted)).rows)
    if row.org_id == PLATFORM_ORG_ID:
        return Redirect(row.url or "/docs", status_code=303)
    # Beside the event loop: a long document takes a moment.
    html = await asyncio.to_thread(lambda: render_html(parse_document(row.text, row.format, row.title)))
    page = DocumentPage(
        title=row.title,
        html=Markup(html),  # noqa: S704 - the renderer escapes
        kind=row.kind,
        method=row.metadata_.get("method"),
        path=row.metadata_.get("path"),
        origin=row.url,
        specification=document_address(row.document_id) if row.document_id else None,
        labels=tuple(row.labels),
        changed=f"{row.updated_at.day} {row.updated_at:%b %Y, %H:%M} UTC",
        changed_iso=row.updated_at.isoformat(),
        entries=tuple(map(_view_entry, entries)),
    )
    return render("document.html", visitor.site, page)


def _view_entry(row: KnowledgeItem) -> EntryView:
    return EntryView(row.title, document_address(row.id), row.metadata_.get("method"), row.metadata_.get("path"))


handlers = [document_page]
