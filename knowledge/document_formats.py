"""What each format of a document takes: whether a text can be read, its page, and an OpenAPI document's entries."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from knowledge.html_text import HtmlInvalid, check_html, parse_html
from knowledge.markdown import Page, PageInvalid, parse_foreign
from knowledge.openapi_documents import OpenApiInvalid, count_operations, parse_openapi, read_errors, read_operations
from knowledge.plain_text import parse_plain_text
from knowledge.source_document import SourceDocument
from ontology.documents import DocumentCreate
from ontology.errors import Flaw, InvalidDocument
from ontology.knowledge_items import DocumentFormat

PAGE_CHARACTERS_MAX = 400_000
OPERATIONS_MAX = 2_000


async def check_document(new: DocumentCreate) -> None:
    """Refuse what could not be read later.

    Raises:
        InvalidDocument: the text is none of its format; the flaw says where.
    """
    if new.format == DocumentFormat.OPENAPI:
        # Beside the event loop, since a large document takes a second.
        await asyncio.to_thread(_check_openapi, new.text)
    elif len(new.text) > PAGE_CHARACTERS_MAX:
        raise _refuse(f"has more than {PAGE_CHARACTERS_MAX:,} characters".replace(",", " "), "send it in parts")
    elif new.format == DocumentFormat.HTML:
        try:
            check_html(new.text)
        except HtmlInvalid as error:
            raise _refuse(str(error), "send it in parts") from error


def parse_document(text: str, format: str, title: str) -> Page:
    """A document that somebody stored as a page; one that cannot be read is empty, and nothing in it is refused.

    Of an OpenAPI document it is what that says of its API as a whole.
    """
    if format == DocumentFormat.TEXT:
        return parse_plain_text(text, title)
    if format == DocumentFormat.HTML:
        return parse_html(text, title)
    if format == DocumentFormat.OPENAPI:
        return parse_foreign(read_description(text), title)
    try:
        return parse_foreign(text, title)
    except PageInvalid:
        return parse_foreign("", title)


def read_entries(text: str) -> Iterator[SourceDocument]:
    """One entry per operation and per error of an OpenAPI document, different in kind or external id.

    Raises:
        OpenApiInvalid.
    """
    openapi = parse_openapi(text)
    seen: set[tuple[str, str]] = set()
    for entry in (*read_operations(openapi, url_prefix=""), *read_errors(openapi)):
        if (entry.kind, entry.external_id) not in seen:
            seen.add((entry.kind, entry.external_id))
            yield replace(entry, url="")


def read_description(text: str) -> str:
    """What an OpenAPI document says of its API as a whole; empty where it says nothing."""
    try:
        info = parse_openapi(text).get("info")
    except OpenApiInvalid:
        return ""
    description = info.get("description") if isinstance(info, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return description[:PAGE_CHARACTERS_MAX] if isinstance(description, str) else ""


def _check_openapi(text: str) -> None:
    try:
        count = count_operations(parse_openapi(text))
    except OpenApiInvalid as error:
        raise _refuse(str(error), "send an OpenAPI 3.0 or 3.1 document in JSON or YAML") from error
    if count > OPERATIONS_MAX:
        limit = f"{OPERATIONS_MAX:,}".replace(",", " ")
        raise _refuse(f"has {count} operations, more than {limit}", "send it in several documents")


def _refuse(message: str, fix: str) -> InvalidDocument:
    return InvalidDocument(flaws=[Flaw("body.text", message, fix)])
