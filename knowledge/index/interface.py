"""What the rest of the program knows of the vector index: ids go in, ids and scores come out, never text.

The scope is part of every search, applied before ranking, so what a caller may not see neither appears nor
shifts the scores of what appears. The index can be rebuilt from the database at any time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol
from uuid import UUID, uuid5

SCHEMA_VERSION = 3
ID_CACHE_ENTRIES = 200_000
DENSE, PASSAGE_WORDS, DOCUMENT_WORDS = "dense", "passage_words", "document_words"
# In place of a row's visibility, of what a group calls again and again: the groups above find it where they name the
# group (`within`), since what a thousand groups do would stand before what was written for all of them.
OWN_GROUP = "own"
POINT_NAMESPACE = UUID("6f1f0f6e-6c0b-5d83-9a6d-0d6e2b7a4c11")

WeightedText = tuple[str, float]

# Every key a filter names, with its kind of index; the contract suite compares it with what is declared.
PAYLOAD_INDEXES: Mapping[str, str] = {
    "org_id": "tenant",
    "group_id": "keyword",
    "group_ids": "keyword",
    "visibility": "keyword",
    "kind": "keyword",
    "document_id": "keyword",
    "part": "keyword",
    "names": "keyword",
    "labels": "keyword",
}


class IndexUnavailable(Exception):
    """The index cannot answer now: locked by another process, away, or damaged."""


class IndexIncomplete(Exception):
    """The index is still being filled for the first time; half an index must not pass for a whole one."""


@dataclass(frozen=True, slots=True)
class Point:
    """One entry of the index: a passage (with ``vector``) or a document as a whole (with ``names``).

    ``group_ids`` are the document's group and its ancestors. ``words`` is matched by BM25; ``fields`` are further
    texts matched with it, each with the weight of one occurrence of its words.
    """

    id: UUID
    document_id: UUID
    passage_id: UUID | None
    org_id: UUID
    group_id: UUID
    group_ids: tuple[UUID, ...]
    visibility: str
    kind: str
    version: int
    words: str
    vector: Sequence[float] | None = None
    names: tuple[str, ...] = ()
    fields: tuple[WeightedText, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        return "document" if self.passage_id is None else "passage"

    @property
    def payload(self) -> dict[str, object]:
        """What is stored beside the vectors, all of it filterable or needed to hydrate."""
        return {
            "part": self.part,
            "document_id": str(self.document_id),
            "passage_id": str(self.passage_id) if self.passage_id else None,
            "org_id": str(self.org_id),
            "group_id": str(self.group_id),
            "group_ids": [str(group_id) for group_id in self.group_ids],
            "visibility": self.visibility,
            "kind": self.kind,
            "version": self.version,
            "names": list(self.names),
            "labels": list(self.labels),
        }


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What one caller may see: public content, documents of its group and the groups below, and those
    marked ``subtree`` in the groups above; of those marked ``own`` the ones of its group, or of the group that
    ``within`` names. ``within`` narrows to one group and the groups below it, ``labels`` to
    documents that carry each of them."""

    org_id: UUID
    group_id: UUID
    ancestor_ids: tuple[UUID, ...] = ()
    within: UUID | None = None
    labels: tuple[str, ...] = ()


class Candidate(NamedTuple):
    """One point that matched. ``passage_id`` is ``None`` when the document matched as a whole.

    ``is_lead`` where it was found by another text than that of the passage, such as an alias of the document.
    """

    document_id: UUID
    passage_id: UUID | None
    score: float
    is_lead: bool = False


class Index(Protocol):
    """One collection. All methods block and may be called from several threads."""

    @property
    def index_id(self) -> str:
        """Changes whenever the index begins anew, empty; whoever fills it compares."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether it has once held everything; kept with the index, so a restart changes nothing."""
        ...

    def mark_whole(self) -> None:
        """Say that it holds everything."""
        ...

    def look_again(self) -> None:
        """Notice what others did to what is stored: where it is gone, the index begins anew."""
        ...

    def begin_anew(self) -> None:
        """Throw away what is held; the index is then empty, not whole, and has another id."""
        ...

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; repeating is harmless.

        On return the next search sees them, and they survive a killed process.
        """
        ...

    def find_points(self, point_ids: Iterable[UUID]) -> set[UUID]:
        """Those of the ids that are present."""
        ...

    def refresh_payloads(self, points: Sequence[Point]) -> None:
        """Replace what is stored beside the vectors of points that are present; vectors stay."""
        ...

    def delete_documents(self, document_ids: Iterable[UUID], keep: Iterable[UUID] = ()) -> None:
        """Delete all points of the documents, save those in ``keep``."""
        ...

    def versions(self, document_ids: Iterable[UUID] | None = None) -> dict[UUID, int]:
        """Version of each document held, or of those asked for."""
        ...

    def search_dense(
        self, vector: Sequence[float], scope: SearchScope, kinds: Sequence[str], limit: int
    ) -> list[Candidate]:
        """Passages by cosine similarity, best first; no kinds means all."""
        ...

    def search_words(
        self, words: str, scope: SearchScope, kinds: Sequence[str], limit: int, *, whole_documents: bool
    ) -> list[Candidate]:
        """Passages, or whole documents, by BM25 with the word statistics of what the scope may see."""
        ...

    def find_names(self, names: Sequence[str], scope: SearchScope, kinds: Sequence[str], limit: int) -> list[Candidate]:
        """Documents that carry one of the names exactly."""
        ...

    def tidy(self) -> None:
        """Do what makes an index fast again after many writes; searches go on meanwhile."""
        ...

    def count(self) -> int:
        """Points held."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of the files or the connection."""
        ...


@lru_cache(maxsize=ID_CACHE_ENTRIES)
def parse_id(text: str) -> UUID:
    """A UUID from its text. Hundreds are read per search, mostly the same ones: parsing was half of its time."""
    return UUID(text)


def document_point_id(document_id: UUID) -> UUID:
    """The id of the point that stands for a whole document."""
    return uuid5(POINT_NAMESPACE, f"document:{document_id}")


def passage_point_id(document_id: UUID, content_hash: str, occurrence: int = 0) -> UUID:
    """The id of a passage's point. It names the content, so a point that is present has the right vector."""
    return uuid5(POINT_NAMESPACE, f"passage:{document_id}:{content_hash}:{occurrence}")
