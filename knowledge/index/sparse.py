"""Sparse BM25 vectors, made by the tokeniser that ships with the embedded engine, for both kinds of index.

Term weights are made here; the index adds inverse document frequencies, over what the scope may see.
"""

from qdrant_edge import Bm25, Bm25Config, SparseVector

from knowledge.index.interface import Point
from knowledge.words import split_identifiers

# Average lengths in words after stop words, of a passage and of a whole document with its weighted title.
_PASSAGE_BM25 = Bm25(Bm25Config(k=1.2, b=0.75, avg_len=90))
_DOCUMENT_BM25 = Bm25(Bm25Config(k=1.2, b=0.75, avg_len=300))

WORDS_CHARACTERS_MAX = 200_000


def point_words(point: Point) -> SparseVector | None:
    """The sparse vector of a point; ``None`` when nothing but stop words is left."""
    bm25 = _DOCUMENT_BM25 if point.part == "document" else _PASSAGE_BM25
    vector = bm25.embed_document(split_identifiers(point.words[:WORDS_CHARACTERS_MAX]))
    return vector if vector.indices else None


def query_words(words: str) -> SparseVector | None:
    """The sparse vector of a query; ``None`` when nothing but stop words is left."""
    vector = _PASSAGE_BM25.embed_query(split_identifiers(words))
    return vector if vector.indices else None
