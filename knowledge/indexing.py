"""A document made ready for the index: its passages, the other texts that lead to it, and its names.

Beside its passages a document is found by its title with its description, by each of its aliases (phrases people
type), and an error by the message callers receive; where nobody says which that is, by each of its first sentences,
of which one usually is it. Each of these is embedded on its own and leads to the first passage. Nothing here touches
the database or the index.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from knowledge.document_formats import parse_document
from knowledge.endpoint_texts import endpoint_fields, endpoint_texts, endpoint_words
from knowledge.index.interface import OWN_GROUP, WeightedText, passage_point_id
from knowledge.markdown import Page, flat_headings, parse_page
from knowledge.model_files import ModelFiles, TokenCounter
from knowledge.passages import Passage, content_hash, embedded_text, first_sentences, split_page
from knowledge.protocol import IndexedDocument, IndexedPassage
from knowledge.queries import route_name
from knowledge.weights import ALIAS_WEIGHT, DESCRIPTION_WEIGHT, HEADING_WEIGHT, TITLE_WEIGHT
from knowledge.words import page_name
from ontology.actors import PLATFORM_ORG_ID
from ontology.knowledge_items import DocumentKind

ALIASES_MAX = 12
KEPT_MAX = 16
# MRR of pylint's errors went from .929 to .952, of pydantic's from .722 to .739, of Next.js's from .947 to .952. Three
# find .003 less of the last, twelve no more. Where the message is known they find nothing that it does not.
SENTENCES_OF_ERROR = 6


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
    format: str = "markdown"
    labels: tuple[str, ...] = ()
    is_own_pattern: bool = False
    """What a group itself calls again and again: it is found where that group is meant (`index/interface.py`)."""


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
    """Cuts and prepares documents for one model. Loads the model's tokeniser, not the model.

    The last few are kept, since a long document is indexed in several turns.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._model = files.name
        self._window_tokens = files.window_tokens
        self._count_tokens = TokenCounter(files)
        self._kept: dict[UUID, tuple[DocumentSource, PreparedDocument]] = {}

    def prepare(self, source: DocumentSource) -> PreparedDocument:
        """The passages of a document and its form for the index; the same input gives the same ids."""
        kept = self._kept.pop(source.document_id, None)
        prepared = kept[1] if kept is not None and kept[0] == source else self._prepare(source)
        self._kept[source.document_id] = (source, prepared)
        if len(self._kept) > KEPT_MAX:
            self._kept.pop(next(iter(self._kept)))
        return prepared

    def _prepare(self, source: DocumentSource) -> PreparedDocument:
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
            visibility=OWN_GROUP if source.is_own_pattern else source.visibility,
            kind=source.kind,
            version=source.version,
            names=tuple(dict.fromkeys(_names(source))),
            words="\n".join(entry.text for entry in passages) if source.kind != DocumentKind.ENDPOINT else "",
            fields=tuple((text, weight) for text, weight in _fields(source, page) if text),
            passages=self._indexed(source, page, prepared),
            labels=source.labels,
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

    def _indexed(
        self, source: DocumentSource, page: Page, prepared: Sequence[PreparedPassage]
    ) -> tuple[IndexedPassage, ...]:
        """The points of a document: its passages and leads, or the one that stands for an endpoint."""
        if source.kind == DocumentKind.ENDPOINT:
            return (self._endpoint(source, prepared[0].id),)
        texts = [embedded_text(source.title, entry.passage) for entry in prepared]
        passages = [
            IndexedPassage(entry.id, entry.id, (text,), text) for entry, text in zip(prepared, texts, strict=True)
        ]
        return (*passages, *self._leads(source, page, prepared[0].id))

    def _leads(self, source: DocumentSource, page: Page, first: UUID) -> Iterator[IndexedPassage]:
        """The other texts by which a document is found; all lead to its first passage."""
        for text in dict.fromkeys(_lead_texts(source, page)):
            digest = content_hash(f"lead\0{text}", self._model)
            yield IndexedPassage(passage_point_id(source.document_id, digest), first, (text,), text)

    def _endpoint(self, source: DocumentSource, first: UUID) -> IndexedPassage:
        """One point: its vector is the mean of several texts, its words are all that the specification says of it."""
        texts = endpoint_texts(source.title, source.details)
        words = endpoint_words(source.title, source.details)
        digest = content_hash("\0".join((*texts, words)), self._model)
        return IndexedPassage(passage_point_id(source.document_id, digest), first, texts, words)


def _parse(source: DocumentSource) -> Page:
    if source.org_id == PLATFORM_ORG_ID and source.kind != "endpoint":
        return parse_page(source.text)
    return parse_document(source.text, source.format, source.title)


def _lead_texts(source: DocumentSource, page: Page) -> Iterator[str]:
    description = str(source.details.get("description") or page.description)
    yield f"{source.title}. {description}".strip()
    yield from page.aliases[:ALIASES_MAX]
    message = source.details.get("message")
    if message:
        yield str(message)
    elif source.kind == DocumentKind.ERROR and not page.aliases:
        yield from first_sentences(page, SENTENCES_OF_ERROR)


def _fields(source: DocumentSource, page: Page) -> Iterator[WeightedText]:
    """What counts more, or less, than the words of the passages."""
    details = source.details
    if source.kind == DocumentKind.ENDPOINT:
        yield from endpoint_fields(source.title, details)
        return
    yield source.title, TITLE_WEIGHT
    yield source.external_id or "", TITLE_WEIGHT
    for alias in page.aliases:
        yield alias, ALIAS_WEIGHT
    yield str(details.get("description") or ""), DESCRIPTION_WEIGHT
    yield str(details.get("message") or ""), DESCRIPTION_WEIGHT
    for heading in flat_headings(page.headings):
        yield heading.text, HEADING_WEIGHT


def _names(source: DocumentSource) -> Iterator[str]:
    """Everything that, typed exactly, means this document."""
    if source.external_id:
        yield source.external_id.lower()
        yield source.external_id.rsplit("/", 1)[-1].lower()
        yield page_name(source.external_id).lower()
    if source.kind == "endpoint" and "method" in source.details:
        name = route_name(source.details["method"], source.details["path"])
        yield name
        yield name.partition(" ")[2]
