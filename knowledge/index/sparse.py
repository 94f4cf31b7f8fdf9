"""Sparse BM25 vectors, made by the tokeniser that ships with the embedded engine, for both kinds of index.

Term weights are made here, fields weighted before saturation (BM25F); the index adds inverse document frequencies,
over what the scope may see.
"""

from collections.abc import Iterable

from qdrant_edge import Bm25, Bm25Config, SparseVector

from knowledge import weights
from knowledge.index.interface import Point, WeightedText
from knowledge.words import split_identifiers

# With so high a saturation and no length the tokeniser's weights are the numbers of occurrences.
_COUNTER = Bm25(Bm25Config(k=1e6, b=0.0, avg_len=1))

WORDS_CHARACTERS_MAX = 200_000


def point_words(point: Point) -> SparseVector | None:
    """The sparse vector of a point; ``None`` when nothing but stop words is left."""
    usual = weights.PASSAGE_LENGTH
    if point.part == "document":
        usual = weights.DOCUMENT_LENGTHS.get(point.kind, weights.DOCUMENT_LENGTH_DEFAULT)
    counts = _count([(point.words, 1.0), *point.fields])
    if not counts:
        return None
    saturation, normalisation = weights.TERM_SATURATION, weights.LENGTH_NORMALISATION
    norm = saturation * (1 - normalisation + normalisation * sum(counts.values()) / usual)
    values = [count * (saturation + 1) / (count + norm) for count in counts.values()]
    return SparseVector(list(counts), values)


def query_words(words: str) -> SparseVector | None:
    """The sparse vector of a query; ``None`` when nothing but stop words is left."""
    vector = _COUNTER.embed_query(split_identifiers(words))
    return vector if vector.indices else None


def _count(fields: Iterable[WeightedText]) -> dict[int, float]:
    counts: dict[int, float] = {}
    for text, weight in fields:
        found = _COUNTER.embed_document(split_identifiers(text[:WORDS_CHARACTERS_MAX]))
        for index, value in zip(found.indices, found.values, strict=True):
            counts[index] = counts.get(index, 0.0) + weight * value
    return counts
