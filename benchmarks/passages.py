"""Passages by the thousand for measuring the search, written beside the program instead of being embedded by it.

Their words are windows over the product's own pages, so keyword search has real words to count; their vectors are unit
vectors at random, whose comparison costs what that of real ones does. Nothing is said here of how good the answers are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

from knowledge.index.edge import EdgeIndex
from knowledge.index.interface import Point, document_point_id
from knowledge.model_files import find_model
from knowledge.sources import DOCS_DIR
from ontology.ids import decode_id

PASSAGES_PER_DOCUMENT = 5
PASSAGE_WORDS = 110
DIMENSIONS = 384
POINTS_PER_WRITE = 500


@dataclass(frozen=True)
class MadeDocument:
    """A document with the ids and texts of its passages."""

    id: UUID
    title: str
    passages: list[tuple[UUID, str]]

    def rows(self, org_id: UUID) -> Iterator[dict[str, object]]:
        """As rows that are indexed already."""
        common: dict[str, object] = {"org_id": org_id, "title": self.title}
        texts = {"text": " ".join(text for _, text in self.passages), "type": "document"}
        yield common | texts | {"id": self.id, "document_id": None, "position": None}
        for position, (passage_id, text) in enumerate(self.passages):
            chunk = {"id": passage_id, "document_id": self.id, "position": position, "text": text, "type": "chunk"}
            yield common | chunk


INSERT = """
INSERT INTO knowledge_items
    (org_id, id, group_id, knowledge_type, kind, title, text, document_id, position, visibility, version,
     indexed_version, created_by, created_at, updated_at, format, labels, metadata, heading_path)
VALUES (%(org_id)s, %(id)s, %(org_id)s, %(type)s, 'page', %(title)s, %(text)s, %(document_id)s, %(position)s, 'group',
        1, 1, 'benchmark', now(), now(), 'text', '{}', '{}', '{}')
"""


def make_documents(passages: int) -> list[MadeDocument]:
    """The same for the same number."""
    random = Random(passages)
    words = [word for path in sorted(DOCS_DIR.rglob("*.md")) for word in re.findall(r"\S+", path.read_text())]
    documents: list[MadeDocument] = []
    for number in range((passages + PASSAGES_PER_DOCUMENT - 1) // PASSAGES_PER_DOCUMENT):
        starts = [random.randrange(len(words) - PASSAGE_WORDS) for _ in range(PASSAGES_PER_DOCUMENT)]
        texts = [(uuid4(), " ".join(words[start : start + PASSAGE_WORDS])) for start in starts]
        documents.append(MadeDocument(uuid4(), f"Handbook {number}", texts))
    return documents


def write_points(directory: Path, organisation_id: str, documents: list[MadeDocument]) -> None:
    """Add the documents to the index of a program that is not running."""
    org_id, random = decode_id(organisation_id)[1], Random(0)
    index = EdgeIndex(directory, model=find_model().name, dimensions=DIMENSIONS)
    points = [point for document in documents for point in _points(document, org_id, random)]
    for start in range(0, len(points), POINTS_PER_WRITE):
        index.upsert(points[start : start + POINTS_PER_WRITE])
    index.tidy()
    index.close()


def _points(document: MadeDocument, org_id: UUID, random: Random) -> Iterator[Point]:
    def point(point_id: UUID, passage_id: UUID | None, words: str) -> Point:
        vector = [random.gauss(0, 1) for _ in range(DIMENSIONS)] if passage_id else None
        return Point(
            id=point_id,
            document_id=document.id,
            passage_id=passage_id,
            org_id=org_id,
            group_id=org_id,
            group_ids=(org_id,),
            visibility="group",
            kind="page",
            version=1,
            words=words,
            vector=vector,
        )

    yield point(document_point_id(document.id), None, " ".join(text for _, text in document.passages))
    for passage_id, text in document.passages:
        yield point(passage_id, passage_id, text)
