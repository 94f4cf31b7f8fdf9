"""What the platform itself knows: the pages of the documentation, the error codes and the operations of its API.

Read from the files, the error classes and the OpenAPI document; nothing here is typed a second time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from knowledge.markdown import Page, parse_page
from knowledge.words import path_words
from ontology.errors import PortalError

METHODS = ("get", "post", "put", "patch", "delete")
SCHEMA_DEPTH_MAX = 4


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document as its source has it. ``details`` go into the item's metadata."""

    kind: str
    external_id: str
    title: str
    text: str
    url: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def content_hash(self) -> str:
        """Equal exactly when nothing about the document has changed."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


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


def read_operations(openapi: Mapping[str, Any]) -> Iterator[SourceDocument]:
    """One document per operation: its path in words, name, description and parameters."""
    for path, item in cast("dict[str, dict[str, Any]]", openapi.get("paths") or {}).items():
        for method in METHODS:
            if method in item and item[method].get("operationId"):
                yield _from_operation(openapi, path, method, item)


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


def _from_operation(openapi: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]) -> SourceDocument:
    operation: dict[str, Any] = item[method]
    operation_id: str = operation["operationId"]
    title = operation.get("summary") or operation_id
    description = operation.get("description") or ""
    parameters = _parameter_names(openapi, [*item.get("parameters", []), *operation.get("parameters", [])])
    parameters += _body_names(openapi, operation.get("requestBody") or {})
    lines = [f"`{method.upper()} {path}`: {path_words(path)}.", description]
    if parameters:
        lines.append(f"Parameters: {', '.join(dict.fromkeys(parameters))}.")
    details: dict[str, Any] = {
        "method": method.upper(),
        "path": path,
        "operationId": operation_id,
        "description": description,
    }
    text = "\n\n".join(line for line in lines if line)
    return SourceDocument("endpoint", operation_id, title, text, f"/reference/{operation_id}", details)


def _parameter_names(openapi: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    resolved = [_resolve(openapi, parameter) for parameter in parameters]
    return [str(parameter["name"]) for parameter in resolved if parameter.get("in") != "header"]


def _body_names(openapi: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    content: dict[str, dict[str, Any]] = _resolve(openapi, body).get("content") or {}
    names: list[str] = []
    for media in content.values():
        names += _resolve(openapi, media.get("schema") or {}).get("properties") or {}
    return names


def _resolve(openapi: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow ``$ref`` within the document; a reference that leads nowhere is an empty object."""
    for _ in range(SCHEMA_DEPTH_MAX):
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        target: Any = openapi
        for step in reference.removeprefix("#/").split("/"):
            target = cast("Mapping[str, Any]", target).get(step, {}) if isinstance(target, Mapping) else {}
        value = cast("Mapping[str, Any]", target)
    return value
