"""The index embedded in this process: Qdrant Edge, one shard in one directory, owned by one process.

Beside the shard lies a manifest that says what the shard was made for, and whether it is whole. When schema or model
differ, or the shard cannot be opened, it is thrown away and begun anew with another ``index_id``: all is in the
database.
"""

import fcntl
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import qdrant_edge
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Filter,
    HasIdCondition,
    IdfParams,
    KeywordIndexParams,
    Modifier,
    PayloadSelector,
    Query,
    QueryRequest,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)

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

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SCROLL_POINTS = 1_000
PLACES_MAX = 500_000
_HYDRATION_KEYS = PayloadSelector.Include(["document_id", "passage_id"])
# The document of a point, and its passage if it is one.
Place = tuple[UUID, UUID | None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest says beside what the shard was made for."""

    index_id: str
    whole: bool = False


class EdgeIndex:
    """An open shard. Closing it, or the end of the process, frees the directory."""

    def __init__(self, directory: Path, *, model: str, dimensions: int) -> None:
        """Open the index of this model, or begin a new one.

        Raises:
            IndexUnavailable: another process owns the directory.
        """
        self._filters = FilterBuilder(qdrant_edge, lambda ids: HasIdCondition(point_ids=set(ids)))
        self._directory = directory
        self._wanted: dict[str, Any] = {"schema": SCHEMA_VERSION, "model": model, "dimensions": dimensions}
        self._lock = _lock_directory(directory)
        self._manifest, self._shard = _open_existing(directory, self._wanted) or _begin(directory, self._wanted)
        # Reading hundreds of payloads was more than half of a query's time, so they are remembered until written anew.
        # By number, since UUIDs are hashed in Python.
        self._places: dict[int, Place] = {}
        self._writes = 0
        self._remembering = threading.Lock()

    @property
    def index_id(self) -> str:
        return self._manifest.index_id

    @property
    def is_whole(self) -> bool:
        return self._manifest.whole

    def mark_whole(self) -> None:
        self._shard.flush()
        self._manifest = replace(self._manifest, whole=True)
        _write_manifest(self._directory, self._wanted, self._manifest)

    def look_again(self) -> None:
        """The files of a removed directory would serve on until the process ends, and then be gone."""
        if (self._directory / MANIFEST).exists():
            return
        logger.error("the index in %s is gone and is begun anew", self._directory)
        os.close(self._lock)
        self._lock = _lock_directory(self._directory)
        self.begin_anew()

    def begin_anew(self) -> None:
        self._manifest, self._shard = _begin(self._directory, self._wanted)

    def upsert(self, points: Sequence[Point]) -> None:
        if points:
            self._shard.update(UpdateOperation.upsert_points([_to_edge(point) for point in points]))
            self._forget_places(points)

    def find_points(self, point_ids: Iterable[UUID]) -> set[UUID]:
        records = self._shard.retrieve(list(point_ids), with_payload=False, with_vector=False)
        return {_to_uuid(record.id) for record in records}

    def refresh_payloads(self, points: Sequence[Point]) -> None:
        for point in points:
            self._shard.update(UpdateOperation.overwrite_payload([point.id], point.payload))
        self._forget_places(points)

    def delete_documents(self, document_ids: Iterable[UUID], keep: Iterable[UUID] = ()) -> None:
        chosen: Filter = self._filters.documents(document_ids, keep)
        self._shard.update(UpdateOperation.delete_points_by_filter(chosen))

    def versions(self, document_ids: Iterable[UUID] | None = None) -> dict[UUID, int]:
        chosen: Filter = self._filters.whole_documents(document_ids)
        keys = PayloadSelector.Include(["document_id", "version"])
        found: dict[UUID, int] = {}
        offset: object = None
        while True:
            records, offset = self._shard.scroll(
                ScrollRequest(offset=offset, limit=SCROLL_POINTS, filter=chosen, with_payload=keys)  # pyright: ignore[reportArgumentType]
            )
            for record in records:
                payload = record.payload or {}
                found[UUID(payload["document_id"])] = int(payload["version"])
            if offset is None:
                return found

    def search_dense(
        self, vector: Sequence[float], scope: SearchScope, kinds: Sequence[str], limit: int
    ) -> list[Candidate]:
        visible: Filter = self._filters.visible(scope, kinds, "passage")
        return self._query(Query.Nearest(list(vector), using=DENSE), visible, limit)

    def search_words(
        self, words: str, scope: SearchScope, kinds: Sequence[str], limit: int, *, whole_documents: bool
    ) -> list[Candidate]:
        sparse = query_words(words)
        if sparse is None:
            return []
        visible: Filter = self._filters.visible(scope, kinds, "document" if whole_documents else "passage")
        nearest = Query.Nearest(sparse, using=DOCUMENT_WORDS if whole_documents else PASSAGE_WORDS)
        return self._query(nearest, visible, limit, SearchParams(idf=IdfParams(corpus=visible)))

    def find_names(self, names: Sequence[str], scope: SearchScope, kinds: Sequence[str], limit: int) -> list[Candidate]:
        if not names:
            return []
        named: Filter = self._filters.named(names, scope, kinds)
        request = ScrollRequest(limit=limit, filter=named, with_payload=_HYDRATION_KEYS)
        records, _ = self._shard.scroll(request)
        return [Candidate(*_to_place(record.payload), 1.0) for record in records]

    def count(self) -> int:
        return self._shard.info().points_count

    def declared_indexes(self) -> set[str]:
        """The payload keys that have an index."""
        return set(self._shard.info().payload_schema)

    def tidy(self) -> None:
        """Merge segments, drop deleted points, and build the graph of a large collection."""
        self._shard.optimize()
        self._shard.flush()

    def close(self) -> None:
        self._shard.flush()
        self._shard.close()
        os.close(self._lock)

    def _query(self, query: Query, chosen: Filter, limit: int, params: SearchParams | None = None) -> list[Candidate]:
        request = QueryRequest(limit=limit, query=query, filter=chosen, params=params, with_payload=False)
        found = [(_to_uuid(point.id).int, point.score) for point in self._shard.query(request)]
        places = self._find_places([number for number, _ in found])
        return [
            Candidate(*place, score, place[1] is not None and place[1].int != number)
            for number, score in found
            if (place := places.get(number)) is not None
        ]

    def _find_places(self, numbers: Sequence[int]) -> Mapping[int, Place]:
        """Where points belong; one that has been deleted meanwhile is left out."""
        unknown = [UUID(int=number) for number in numbers if number not in self._places]
        if not unknown:
            return self._places
        writes = self._writes
        records = self._shard.retrieve([*unknown], with_payload=_HYDRATION_KEYS, with_vector=False)
        read = {_to_uuid(record.id).int: _to_place(record.payload) for record in records}
        known = {number: place for number in numbers if (place := self._places.get(number)) is not None}
        with self._remembering:
            if self._writes == writes:  # otherwise what was read may be older than what was written
                if len(self._places) + len(read) > PLACES_MAX:
                    self._places.clear()
                self._places.update(read)
        return known | read

    def _forget_places(self, points: Sequence[Point]) -> None:
        with self._remembering:
            self._writes += 1
            for point in points:
                self._places.pop(point.id.int, None)


def _lock_directory(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise IndexUnavailable(f"another process owns the index in {directory}") from None
    return lock


def _open_existing(directory: Path, wanted: Mapping[str, Any]) -> tuple[Manifest, EdgeShard] | None:
    """The shard that is there, if it was made for what is wanted and can be opened."""
    try:
        made_for = json.loads((directory / MANIFEST).read_text())
        manifest = Manifest(str(made_for.pop("index_id")), bool(made_for.pop("whole", False)))
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    if made_for != wanted:
        return None
    try:
        return manifest, EdgeShard.load(str(directory / "shard"))
    except Exception:  # the engine raises plain Exception, whatever is wrong with its files
        logger.exception("the index in %s cannot be opened and is begun anew", directory)
        return None


def _begin(directory: Path, wanted: Mapping[str, Any]) -> tuple[Manifest, EdgeShard]:
    """A new shard; its manifest is written last, so one that was begun halfway is begun again."""
    path = directory / "shard"
    (directory / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    sparse = {name: EdgeSparseVectorParams(modifier=Modifier.Idf) for name in (PASSAGE_WORDS, DOCUMENT_WORDS)}
    dense = {DENSE: EdgeVectorParams(size=int(wanted["dimensions"]), distance=Distance.Cosine)}
    shard = EdgeShard.create(str(path), EdgeConfig(vectors=dense, sparse_vectors=sparse))
    for key, kind in PAYLOAD_INDEXES.items():
        shard.update(UpdateOperation.create_field_index(key, KeywordIndexParams(is_tenant=kind == "tenant")))
    shard.flush()
    manifest = Manifest(str(uuid4()))
    _write_manifest(directory, wanted, manifest)
    return manifest, shard


def _write_manifest(directory: Path, wanted: Mapping[str, Any], manifest: Manifest) -> None:
    draft = directory / "manifest.new"
    draft.write_text(json.dumps({**wanted, **asdict(manifest)}))
    draft.replace(directory / MANIFEST)


def _to_edge(point: Point) -> qdrant_edge.Point:
    vectors: dict[str, Any] = {}
    if point.vector is not None:
        vectors[DENSE] = list(point.vector)
    words = point_words(point)
    if words is not None:
        vectors[DOCUMENT_WORDS if point.part == "document" else PASSAGE_WORDS] = words
    return qdrant_edge.Point(point.id, vectors, point.payload)


def _to_uuid(point_id: UUID | int | str) -> UUID:
    """The points of this index are all named by UUIDs."""
    if isinstance(point_id, UUID):
        return point_id
    return UUID(int=point_id) if isinstance(point_id, int) else UUID(point_id)


def _to_place(payload: Mapping[str, Any] | None) -> Place:
    payload = payload or {}
    passage_id = payload.get("passage_id")
    return parse_id(payload["document_id"]), parse_id(passage_id) if passage_id else None
