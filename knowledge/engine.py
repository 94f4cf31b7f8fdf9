"""The work of the knowledge process: one model, one index, and who goes first.

Searches come before everything. Documents are embedded in small batches by one thread of lower priority, which
waits, though not for ever, while a search is being answered.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from knowledge.answerability import NEAREST, Likeness, list_examples
from knowledge.index.interface import Index, IndexIncomplete, Point, SearchScope, document_point_id
from knowledge.lexicon import Lexicon
from knowledge.passage_ranking import rank_passages
from knowledge.protocol import IndexedDocument, IndexedPassage, RankedDocument, SearchRequest, Stats
from knowledge.queries import Query, read_query
from knowledge.ranking import is_far, match_meaning, match_words, rank, share_unknown

YIELD_TO_SEARCHES_SECONDS = 0.1
BACKGROUND_NICENESS = 10
POINTS_PER_WRITE = 200
TIDY_AFTER_POINTS = 5_000


class Embeds(Protocol):
    """What the engine needs of a model."""

    name: str

    def embed_query(self, text: str, owner: object = None) -> list[float]: ...

    def embed_passages(self, texts: Sequence[str], before_batch: "BeforeBatch") -> list[list[float]]: ...


class BeforeBatch(Protocol):
    """Called between batches."""

    def __call__(self) -> None: ...


class Engine:
    """Searches from many threads; writes from one at a time."""

    def __init__(self, index: Index, embedder: Embeds, lexicon: Lexicon | None = None) -> None:
        """Without a lexicon every query is taken as it is."""
        self._index = index
        self._embedder = embedder
        self._lexicon = lexicon or Lexicon()
        self._beside = ThreadPoolExecutor(1, "words")
        self._idle = threading.Condition()
        self._searching = 0
        self._writing = threading.Lock()
        self._searches = 0
        self._embedded_texts = 0
        self._untidy_points = 0
        self._examples: dict[str, NDArray[np.float64]] = {}

    def search(self, request: SearchRequest) -> list[RankedDocument]:
        """The documents that answer best, within the scope.

        Raises:
            IndexIncomplete: nobody has said yet that the index is whole.
        """
        self._require_whole()
        with self._idle:
            self._searching += 1
            self._searches += 1
        try:
            query = self._read_query(request)
            # Words are looked up beside the model's work, on another core if there is one.
            words = self._beside.submit(match_words, self._index, query, request)
            meaning = match_meaning(self._index, self._embed(query, request.scope.org_id), request)
            if is_far(meaning, words.result()) and self._lexicon.is_rubbish(query.words):
                return []
            found = (rank_passages if request.by_passage else rank)(meaning, words.result(), request.limit)
            self._require_whole()
            return found
        finally:
            with self._idle:
                self._searching -= 1
                self._idle.notify_all()

    def weigh(self, request: SearchRequest) -> Likeness:
        """How near a question is to what its caller may read, and to the examples of every kind of question.

        Its words are looked up in all that the caller may read, also where the request is narrowed to a part.

        Raises:
            IndexIncomplete: nobody has said yet that the index is whole.
        """
        self._require_whole()
        query = self._read_query(request)
        vector = self._embed(query, request.scope.org_id)
        near = self._index.search_dense(vector, request.scope, request.kinds, NEAREST)
        examples = {name: _cosines(vectors, vector) for name, vectors in self._embed_examples().items()}
        return Likeness(
            tuple(candidate.score for candidate in near),
            {name: tuple(sorted(cosines, reverse=True)[:NEAREST]) for name, cosines in examples.items()},
            share_unknown(self._index, query.words, _whole(request.scope)),
            self._find_own_passage(vector, request),
        )

    def compare(self, question: str, texts: Sequence[str], owner: UUID) -> list[float]:
        """The cosine of each text to a question, in order.

        They are sentences, as short as questions, and are embedded as those are: faster, and kept for the owner's next
        question.
        """
        vector = self._embed(read_query(question), owner)
        return _cosines(np.asarray([self._embedder.embed_query(text, owner) for text in texts]), vector)

    def prepare(self) -> None:
        """Do what the first question would otherwise wait for."""
        self._embed_examples()

    def put(self, documents: Sequence[IndexedDocument], most: int | None = None) -> list[UUID]:
        """Bring documents up to date; only passages whose content is new are embedded.

        At most so many new passages of each document, so that a long one holds up no other: returned are the documents
        that are to be put again, of which what was embedded is kept and found. Older versions never overwrite newer
        ones, and repeating is harmless.
        """
        with self._writing:
            held = self._index.versions([document.document_id for document in documents])
            current = [entry for entry in documents if entry.version >= held.get(entry.document_id, 0)]
            if not current:
                return []
            missing = self._find_missing(current)
            vectors = self._embed_passages([entry for entries in missing.values() for entry in entries[:most]])
            unfinished = [key for key, entries in missing.items() if most is not None and len(entries) > most]
            self._write(current, vectors, frozenset(unfinished))
            self._tidy_when_due(len(vectors))
            return unfinished

    def delete(self, document_ids: Sequence[UUID]) -> None:
        """Forget documents; those unknown are none the worse."""
        with self._writing:
            self._index.delete_documents(document_ids)

    def versions(self) -> dict[UUID, int]:
        """What is held, for whoever compares it with the database."""
        return self._index.versions()

    @property
    def is_whole(self) -> bool:
        """Whether searches are answered."""
        return self._index.is_whole

    def mark_whole(self, index_id: str) -> None:
        """Answer searches from now on, unless another index has begun since."""
        with self._writing:
            if self._index.index_id == index_id:
                self._index.mark_whole()

    def begin_anew(self) -> None:
        """Throw the index away; whoever fills it notices by its id, and searches wait until it is whole."""
        with self._writing:
            self._index.begin_anew()

    def stats(self) -> Stats:
        """What is held now; an index that was taken away has begun anew."""
        with self._writing:
            self._index.look_again()
        return Stats(
            index_id=self._index.index_id,
            whole=self._index.is_whole,
            model=self._embedder.name,
            points=self._index.count(),
            embedded_texts=self._embedded_texts,
            searches=self._searches,
        )

    def close(self) -> None:
        self._beside.shutdown()
        with self._writing:
            self._index.close()

    def _require_whole(self) -> None:
        """Asked before and after a search: the index may have begun anew in between."""
        if not self._index.is_whole:
            raise IndexIncomplete

    def _read_query(self, request: SearchRequest) -> Query:
        """The query with its mistyped words put right; what was pasted is taken as it is."""
        query, scope = read_query(request.query), _whole(request.scope)
        if query.texts != (query.words,):
            return query

        def is_known(word: str) -> bool:
            return bool(self._index.search_words(word, scope, (), 1, whole_documents=True))

        words = self._lexicon.correct(query.words, is_known)
        return replace(query, texts=(words,), words=words)

    def _find_own_passage(self, vector: Sequence[float], request: SearchRequest) -> float:
        """The cosine of the nearest passage that the caller's own organisation wrote; 0 where it wrote none."""
        scope = replace(request.scope, within=request.scope.within or request.scope.org_id)
        return max((found.score for found in self._index.search_dense(vector, scope, request.kinds, 1)), default=0.0)

    def _embed(self, query: Query, owner: UUID) -> list[float]:
        return _mean([self._embedder.embed_query(text, owner) for text in query.texts])

    def _embed_examples(self) -> dict[str, NDArray[np.float64]]:
        """Once per process; by one thread at a time, and twice would only be twice the work."""
        if not self._examples:
            self._examples = {
                name: np.asarray(self._embedder.embed_passages(texts, self._let_searches_pass))
                for name, texts in list_examples().items()
            }
        return self._examples

    def _find_missing(self, documents: Sequence[IndexedDocument]) -> dict[UUID, list[IndexedPassage]]:
        """Of each document the passages that the index does not hold."""
        present = self._index.find_points([entry.point_id for document in documents for entry in document.passages])
        return {
            document.document_id: [entry for entry in document.passages if entry.point_id not in present]
            for document in documents
        }

    def _embed_passages(self, passages: Sequence[IndexedPassage]) -> dict[UUID, list[float]]:
        """The vector of each passage, by its point."""
        texts = list(dict.fromkeys(text for passage in passages for text in passage.texts))
        encoded = dict(zip(texts, self._embedder.embed_passages(texts, self._let_searches_pass), strict=True))
        self._embedded_texts += len(texts)
        return {passage.point_id: _mean([encoded[text] for text in passage.texts]) for passage in passages}

    def _tidy_when_due(self, written: int) -> None:
        """The embedded engine tidies only when told to."""
        self._untidy_points += written
        if self._untidy_points >= TIDY_AFTER_POINTS:
            self._index.tidy()
            self._untidy_points = 0

    def _let_searches_pass(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._searching == 0, timeout=YIELD_TO_SEARCHES_SECONDS)

    def _write(
        self, documents: Sequence[IndexedDocument], vectors: dict[UUID, list[float]], unfinished: frozenset[UUID]
    ) -> None:
        """New points first and stale ones last: a search in between finds the document either way.

        Of a document that is not finished nothing but new passages are written.
        """
        points: list[Point] = []
        refreshed: list[Point] = []
        for document in documents:
            finished = document.document_id not in unfinished
            if finished:
                points.append(_document_point(document))
            for passage in document.passages:
                vector = vectors.get(passage.point_id)
                if vector is not None:
                    points.append(_passage_point(document, passage, vector))
                elif finished:
                    refreshed.append(_passage_point(document, passage, None))
        for start in range(0, len(points), POINTS_PER_WRITE):
            self._index.upsert(points[start : start + POINTS_PER_WRITE])
        self._index.refresh_payloads(refreshed)
        for document in documents:
            if document.document_id in unfinished:
                continue
            keep = {document_point_id(document.document_id), *(entry.point_id for entry in document.passages)}
            self._index.delete_documents([document.document_id], keep)


def lower_priority() -> None:
    """Called once by the writing thread: on a busy machine the scheduler prefers the searches."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)


def _whole(scope: SearchScope) -> SearchScope:
    """All that its asker may read."""
    return replace(scope, within=None, labels=())


def _mean(vectors: Sequence[list[float]]) -> list[float]:
    if len(vectors) == 1:
        return vectors[0]
    return [sum(parts) / len(vectors) for parts in zip(*vectors, strict=True)]


def _cosines(vectors: NDArray[np.float64], vector: Sequence[float]) -> list[float]:
    """To a vector of any length; those compared with it have length one."""
    if not len(vectors):
        return []
    cosines: list[float] = (vectors @ np.asarray(vector) / (np.linalg.norm(vector) or 1.0)).tolist()
    return cosines


def _document_point(document: IndexedDocument) -> Point:
    return Point(
        id=document_point_id(document.document_id),
        document_id=document.document_id,
        passage_id=None,
        org_id=document.org_id,
        group_id=document.group_id,
        group_ids=document.group_ids,
        visibility=document.visibility,
        kind=document.kind,
        version=document.version,
        words=document.words,
        fields=document.fields,
        names=document.names,
        labels=document.labels,
    )


def _passage_point(document: IndexedDocument, passage: IndexedPassage, vector: list[float] | None) -> Point:
    return Point(
        id=passage.point_id,
        document_id=document.document_id,
        passage_id=passage.passage_id,
        org_id=document.org_id,
        group_id=document.group_id,
        group_ids=document.group_ids,
        visibility=document.visibility,
        kind=document.kind,
        version=document.version,
        words=passage.words,
        vector=vector,
        labels=document.labels,
    )
