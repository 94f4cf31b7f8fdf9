"""The product's own pipeline over a judged set: prepared, indexed and searched by the code that serves callers."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid5

from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.judged_sets import ORGANISATION, JudgedQuery, JudgedSet
from benchmarks.evaluation.scoring import DEPTH, Figures, score_rankings
from knowledge.engine import Engine
from knowledge.index.edge import EdgeIndex
from knowledge.index.interface import SearchScope
from knowledge.indexing import Splitter
from knowledge.lexicon import Lexicon, read_vocabulary
from knowledge.model_files import find_model, list_words
from knowledge.protocol import SearchRequest
from knowledge.sources import DOCS_DIR

DOCUMENTS_PER_PUT = 64


def evaluate(judged_sets: Sequence[JudgedSet], splitter: Splitter, embedder: CachedEmbedder) -> list[Figures]:
    """Index sets that share their documents in a directory of their own, ask every query, and score the answers."""
    figures: list[Figures] = []
    with TemporaryDirectory(prefix="one-eval-") as directory:
        engine = build(judged_sets[0], splitter, embedder, Path(directory))
        for judged_set in judged_sets:
            rankings = {query.name: ask(engine, judged_set, query) for query in judged_set.queries}
            figures.append(score_rankings(rankings, judged_set.judged))
        engine.close()
    return figures


def build(judged_set: JudgedSet, splitter: Splitter, embedder: CachedEmbedder, directory: Path) -> Engine:
    """An engine that holds the documents of the set."""
    index = EdgeIndex(directory, model=embedder.name, dimensions=embedder.dimensions)
    engine = Engine(index, embedder, Lexicon(read_vocabulary(DOCS_DIR), list_words(find_model())))
    documents = [splitter.prepare(source).indexed for source in judged_set.documents]
    for start in range(0, len(documents), DOCUMENTS_PER_PUT):
        engine.put(documents[start : start + DOCUMENTS_PER_PUT])
    engine.mark_whole(engine.stats().index_id)
    return engine


def ask(engine: Engine, judged_set: JudgedSet, query: JudgedQuery) -> Sequence[str]:
    """The names of the documents found, best first."""
    within = uuid5(ORGANISATION, query.collection) if query.collection else None
    request = SearchRequest(query.text, SearchScope(ORGANISATION, ORGANISATION, within=within), query.kinds, DEPTH)
    return [judged_set.identities[found.document_id] for found in engine.search(request)]
