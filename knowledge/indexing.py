"""A document made ready for the index: its passages, the other texts that lead to it, and its names.

Beside its passages a document is found by its title with its description, by each of its aliases (phrases people
type), and an error by the message callers receive. Each of these is embedded on its own and leads to the first
passage. Nothing here touches the database or the index.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from knowledge.index.interface import passage_point_id
from knowledge.markdown import Page, PageInvalid, flat_headings, parse_foreign, parse_page
from knowledge.model_files import ModelFiles, TokenCounter
from knowledge.passages import Passage, content_hash, embedded_text, split_page
from knowledge.protocol import IndexedDocument, IndexedPassage
from knowledge.queries import route_name
from knowledge.words import path_words
from ontology.actors import PLATFORM_ORG_ID

# A title counts three times and an alias twice in the words of a document: the measured gain of a title boost.
TITLE_REPEATS, ALIAS_REPEATS = 3, 2
ALIASES_MAX = 12


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """The fields of a document's row that decide what the index holds of it."""

    document_id: UUID
    org_id: UUID
    group_id: UUID
    group_ids: tuple[UUID, ...]
    visibility: str
    kind: str
    version: int
    title: str
    text: str
    external_id: str | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedPassage:
    """A passage with the id under which its row is stored and its point indexed."""

    id: UUID
    content_hash: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """What to store as rows, and what to send to the index."""

    passages: tuple[PreparedPassage, ...]
    indexed: IndexedDocument


class Splitter:
    """Cuts and prepares documents for one model. Loads the model's tokeniser, not the model."""

    def __init__(self, files: ModelFiles) -> None:
        self._model = files.name
        self._window_tokens = files.window_tokens
        self._count_tokens = TokenCounter(files)

    def prepare(self, source: DocumentSource) -> PreparedDocument:
        """The passages of a document and its form for the index; the same input gives the same ids."""
        page = _parse(source)
        passages = split_page(page, self._count_tokens, self._window_tokens)
        if not passages:
            passages = [Passage(0, (), "", source.title)]
        prepared = self._identify(source, passages)
        indexed = IndexedDocument(
            document_id=source.document_id,
            org_id=source.org_id,
            group_id=source.group_id,
            group_ids=source.group_ids,
            visibility=source.visibility,
            kind=source.kind,
            version=source.version,
            names=tuple(dict.fromkeys(_names(source))),
            words=_document_words(source, page, passages),
            passages=(
                *(_indexed(source, entry) for entry in prepared),
                *self._leads(source, page, prepared[0].id),
            ),
        )
        return PreparedDocument(tuple(prepared), indexed)

    def _identify(self, source: DocumentSource, passages: Sequence[Passage]) -> list[PreparedPassage]:
        """Ids by content; the second passage with the very same content gets another."""
        seen: dict[str, int] = {}
        prepared: list[PreparedPassage] = []
        for passage in passages:
            digest = content_hash(embedded_text(source.title, passage), self._model)
            occurrence = seen[digest] = seen.get(digest, -1) + 1
            point_id = passage_point_id(source.document_id, digest, occurrence)
            prepared.append(PreparedPassage(point_id, digest, passage))
        return prepared

    def _leads(self, source: DocumentSource, page: Page, first: UUID) -> Iterator[IndexedPassage]:
        """The other texts by which a document is found; all lead to its first passage."""
        for text in dict.fromkeys(_lead_texts(source, page)):
            digest = content_hash(f"lead\0{text}", self._model)
            yield IndexedPassage(passage_point_id(source.document_id, digest), first, text, text)


def _parse(source: DocumentSource) -> Page:
    if source.org_id == PLATFORM_ORG_ID and source.kind != "endpoint":
        return parse_page(source.text)
    try:
        return parse_foreign(source.text, source.title)
    except PageInvalid:
        return parse_foreign("", source.title)


def _indexed(source: DocumentSource, entry: PreparedPassage) -> IndexedPassage:
    text = embedded_text(source.title, entry.passage)
    return IndexedPassage(entry.id, entry.id, text, text)


def _lead_texts(source: DocumentSource, page: Page) -> Iterator[str]:
    description = str(source.details.get("description") or page.description)
    yield f"{source.title}. {description}".strip()
    yield from page.aliases[:ALIASES_MAX]
    if message := source.details.get("message"):
        yield str(message)
    if path := source.details.get("path"):
        yield f"{source.title}: {path_words(str(path))}"


def _document_words(source: DocumentSource, page: Page, passages: Sequence[Passage]) -> str:
    details = source.details
    parts = [source.title, source.external_id or "", str(details.get("operationId") or "")] * TITLE_REPEATS
    parts += [*page.aliases] * ALIAS_REPEATS
    parts += [str(details.get("description") or ""), str(details.get("message") or "")]
    parts += [heading.text for heading in flat_headings(page.headings)]
    parts += [passage.text for passage in passages]
    return "\n".join(part for part in parts if part)


def _names(source: DocumentSource) -> Iterator[str]:
    """Everything that, typed exactly, means this document."""
    if source.external_id:
        yield source.external_id.lower()
        yield source.external_id.rsplit("/", 1)[-1].lower()
    if source.kind == "endpoint" and "method" in source.details:
        name = route_name(source.details["method"], source.details["path"])
        yield name
        yield name.partition(" ")[2]
