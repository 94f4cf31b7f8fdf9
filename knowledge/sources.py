"""What the platform itself knows: the pages of the documentation, the error codes and the operations of its API.

Read from the files, the error classes and the OpenAPI document; nothing here is typed a second time.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knowledge.markdown import Page, parse_page
from knowledge.openapi_documents import read_operations
from knowledge.source_document import SourceDocument
from ontology.errors import PortalError

DOCS_DIR = Path(__file__).parents[1] / "content" / "docs"


def read_platform(
    directory: Path, errors: Sequence[type[PortalError]], openapi: Mapping[str, Any]
) -> list[SourceDocument]:
    """Everything the platform knows; an error's page and its class make one document.

    Raises:
        PageInvalid: a page has front matter that cannot be read; the message names the file.
    """
    by_code = {error.code: error for error in errors}
    documents = [_from_page(directory, path, by_code) for path in sorted(directory.rglob("*.md"))]
    with_page = {document.external_id for document in documents if document.kind == "error"}
    documents += [_from_error(error) for code, error in by_code.items() if code not in with_page]
    return documents + list(read_operations(openapi))


def page_slug(directory: Path, path: Path) -> str:
    """The address of a page below ``/docs``; an ``index.md`` answers for its directory."""
    slug = path.relative_to(directory).with_suffix("").as_posix()
    return "" if slug == "index" else slug.removesuffix("/index")


def _from_page(directory: Path, path: Path, errors: Mapping[str, type[PortalError]]) -> SourceDocument:
    source = path.read_text(encoding="utf-8")
    try:
        page = parse_page(source)
    except ValueError as error:
        raise type(error)(f"{path.relative_to(directory)}: {error}") from error
    slug = page_slug(directory, path)
    details = _page_details(page)
    kind, external_id = page.kind, slug or "index"
    if kind == "error":
        external_id = path.stem
        details |= _error_details(errors.get(path.stem))
    url = f"/docs/{slug}" if slug else "/docs"
    return SourceDocument(kind, external_id, page.title, source, url, details)


def _page_details(page: Page) -> dict[str, Any]:
    return {
        "description": page.description,
        "section": page.section,
        "order": page.order,
        "aliases": list(page.aliases),
    }


def _from_error(error: type[PortalError]) -> SourceDocument:
    text = f"{error.title}. {error.advice}"
    return SourceDocument("error", error.code, error.title, text, f"/docs/errors/{error.code}", _error_details(error))


def _error_details(error: type[PortalError] | None) -> dict[str, Any]:
    """The message as callers receive it: a pasted one then finds its page."""
    if error is None:
        return {}
    return {"status": error.status, "message": f"{error.title}. {error.advice}"}
