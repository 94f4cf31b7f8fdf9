"""The index on a Qdrant server.

The collection's name carries schema and model, so another model fills another collection beside it; its
metadata carries the ``index_id``, and whether it is whole.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from knowledge.index.filters import FilterBuilder
from knowledge.index.interface import (
    DENSE,
    DOCUMENT_WORDS,
    PASSAGE_WORDS,
    PAYLOAD_INDEXES,
    SCHEMA_VERSION,
    Candidate,
    IndexUnavailable,
    Point,
    SearchScope,
    parse_id,
)
from knowledge.index.sparse import point_words, query_words

T = TypeVar("T")

IN_MEMORY = ":memory:"
TIMEOUT_SECONDS = 4
SCROLL_POINTS = 1_000
HTTP_CONFLICT = 409
_HYDRATION_KEYS = ["document_id", "passage_id"]


class ServerIndex:
    """A collection on a server, or in this process's memory for tests (``location=":memory:"``)."""

    def __init__(self, location: str, *, model: str, dimensions: int, api_key: str = "") -> None:
        """Connect, and create the collection where it is missing.

        Raises:
            IndexUnavailable: the server does not answer or refuses.
        """
        self._filters = FilterBuilder(models, lambda ids: models.HasIdCondition(has_id=list(ids)))
        self._in_memory = location == IN_MEMORY
        if self._in_memory:
            self._client = QdrantClient(IN_MEMORY)
        else:
            self._client = QdrantClient(
                url=location, api_key=api_key or None, timeout=TIMEOUT_SECONDS, check_compatibility=False
            )
        slug = re.sub(r"[^a-z0-9]+", "-", model.lower())
        self._collection = f"knowledge-{SCHEMA_VERSION}-{slug}-{dimensions}"
        self._dimensions = dimensions
        self._index_id, self._is_whole = self._answer(self._prepare)

    @property
    def index_id(self) -> str:
        return self._index_id

    @property
    def is_whole(self) -> bool:
        return self._is_whole

    def mark_whole(self) -> None:
        metadata = {"index_id": self._index_id, "whole": True}
        self._answer(lambda: self._client.update_collection(self._collection, metadata=metadata))
        self._is_whole = True

    def begin_anew(self) -> None:
        self._answer(lambda: self._client.delete_collection(self._collection))
        self.look_again()

    def look_again(self) -> None:
        self._index_id, self._is_whole = self._answer(self._prepare)

    def upsert(self, points: Sequence[Point]) -> None:
        if points:
            structs = [_to_struct(point) for point in points]
            self._answer(lambda: self._client.upsert(self._collection, structs, wait=True))

    def find_points(self, point_ids: Iterable[UUID]) -> set[UUID]:
        ids: list[int | str | UUID] = [str(point_id) for point_id in point_ids]
        records = self._answer(lambda: self._client.retrieve(self._collection, ids, with_payload=False))
        return {UUID(str(record.id)) for record in records}

    def refresh_payloads(self, points: Sequence[Point]) -> None:
        for point in points:
            self._answer(partial(self._overwrite, point))

    def delete_documents(self, document_ids: Iterable[UUID], keep: Iterable[UUID] = ()) -> None:
        selector = models.FilterSelector(filter=self._filters.documents(document_ids, keep))
        self._answer(lambda: self._client.delete(self._collection, selector, wait=True))

    def versions(self, document_ids: Iterable[UUID] | None = None) -> dict[UUID, int]:
        chosen = self._filters.whole_documents(document_ids)
        found: dict[UUID, int] = {}
        offset: Any = None
        while True:
            records, offset = self._answer(partial(self._scroll, chosen, offset, SCROLL_POINTS))
            for record in records:
                payload = record.payload or {}
                found[UUID(payload["document_id"])] = int(payload["version"])
            if offset is None:
                return found

    def search_dense(
        self, vector: Sequence[float], scope: SearchScope, kinds: Sequence[str], limit: int
    ) -> list[Candidate]:
        return self._query(list(vector), DENSE, self._filters.visible(scope, kinds, "passage"), limit)

    def search_words(
        self, words: str, scope: SearchScope, kinds: Sequence[str], limit: int, *, whole_documents: bool
    ) -> list[Candidate]:
        sparse = query_words(words)
        if sparse is None:
            return []
        visible = self._filters.visible(scope, kinds, "document" if whole_documents else "passage")
        query = models.SparseVector(indices=sparse.indices, values=sparse.values)
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=visible))
        using = DOCUMENT_WORDS if whole_documents else PASSAGE_WORDS
        return self._query(query, using, visible, limit, params)

    def find_names(self, names: Sequence[str], scope: SearchScope, kinds: Sequence[str], limit: int) -> list[Candidate]:
        if not names:
            return []
        named = self._filters.named(names, scope, kinds)
        records, _ = self._answer(lambda: self._scroll(named, None, limit))
        return [_to_candidate(record, 1.0) for record in records]

    def count(self) -> int:
        return self._answer(lambda: self._client.count(self._collection)).count

    def tidy(self) -> None:
        """Nothing: a server does so by itself."""

    def close(self) -> None:
        self._client.close()

    def _answer(self, ask: Callable[[], T]) -> T:
        """What the server answers; its silence and refusals become one exception."""
        try:
            return ask()
        except (ApiException, OSError) as error:
            raise IndexUnavailable("the vector index does not answer") from error

    def _prepare(self) -> tuple[str, bool]:
        if not self._client.collection_exists(self._collection):
            self._create()
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return str(metadata.get("index_id", self._collection)), bool(metadata.get("whole", False))

    def _create(self) -> None:
        idf = models.SparseVectorParams(modifier=models.Modifier.IDF)
        try:
            self._client.create_collection(
                self._collection,
                vectors_config={DENSE: models.VectorParams(size=self._dimensions, distance=models.Distance.COSINE)},
                sparse_vectors_config={PASSAGE_WORDS: idf, DOCUMENT_WORDS: idf},
                metadata={"index_id": str(uuid4())},
            )
        except UnexpectedResponse as error:
            # Another machine's process was first: its collection is the one.
            if error.status_code != HTTP_CONFLICT:
                raise
        if self._in_memory:
            return
        for key, kind in PAYLOAD_INDEXES.items():
            params = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=kind == "tenant")
            self._client.create_payload_index(self._collection, key, params)

    def _overwrite(self, point: Point) -> models.UpdateResult:
        return self._client.overwrite_payload(self._collection, point.payload, [str(point.id)], wait=True)

    def _scroll(self, chosen: Any, offset: Any, limit: int) -> tuple[list[models.Record], Any]:
        keys = [*_HYDRATION_KEYS, "version"]
        return self._client.scroll(
            self._collection, scroll_filter=chosen, limit=limit, offset=offset, with_payload=keys
        )

    def _query(
        self, query: Any, using: str, chosen: Any, limit: int, params: models.SearchParams | None = None
    ) -> list[Candidate]:
        answer = self._answer(
            lambda: self._client.query_points(
                self._collection,
                query=query,
                using=using,
                query_filter=chosen,
                search_params=params,
                limit=limit,
                with_payload=_HYDRATION_KEYS,
            )
        )
        return [_to_candidate(point, point.score) for point in answer.points]


def _to_struct(point: Point) -> models.PointStruct:
    vectors: dict[str, Any] = {}
    if point.vector is not None:
        vectors[DENSE] = list(point.vector)
    words = point_words(point)
    if words is not None:
        name = DOCUMENT_WORDS if point.part == "document" else PASSAGE_WORDS
        vectors[name] = models.SparseVector(indices=words.indices, values=words.values)
    return models.PointStruct(id=str(point.id), vector=vectors, payload=point.payload)


def _to_candidate(point: models.Record | models.ScoredPoint, score: float) -> Candidate:
    payload = point.payload or {}
    passage_id = parse_id(payload["passage_id"]) if payload.get("passage_id") else None
    is_lead = passage_id is not None and str(passage_id) != str(point.id)
    return Candidate(parse_id(payload["document_id"]), passage_id, score, is_lead)
