"""Vectors kept on disk between runs: they follow from model and text, and making them is all of the time."""

import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from knowledge.embedder import Embedder
from knowledge.engine import BeforeBatch
from knowledge.model_files import find_model

TEXTS_PER_COMMIT = 64


class CachedEmbedder:
    """The product's embedder behind a file of vectors. The model is loaded when a text is new."""

    def __init__(self, path: Path) -> None:
        files = find_model()
        self.name = files.name
        self._files = files
        self._embedder: Embedder | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(path, check_same_thread=False, timeout=60)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    @property
    def dimensions(self) -> int:
        return len(self.embed_query("dimensions"))

    def embed_query(self, text: str, owner: object = None) -> list[float]:
        digest = sha256(f"{self.name}\0query\0{text}".encode()).digest()
        vector = self._find(digest)
        if vector is None:
            vector = self._model.embed_query(text)
            self._keep({digest: vector})
        return vector

    def embed_passages(self, texts: Sequence[str], before_batch: BeforeBatch) -> list[list[float]]:
        digests = [sha256(f"{self.name}\0{text}".encode()).digest() for text in texts]
        held = {digest: vector for digest in digests if (vector := self._find(digest)) is not None}
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in held}
        pending = sorted(new.items(), key=lambda entry: len(entry[1]))
        for start in range(0, len(pending), TEXTS_PER_COMMIT):
            before_batch()
            held |= self._make(dict(pending[start : start + TEXTS_PER_COMMIT]))
        return [held[digest] for digest in digests]

    def _find(self, digest: bytes) -> list[float] | None:
        row = self._store.execute("SELECT vector FROM vectors WHERE digest = ?", (digest,)).fetchone()
        return np.frombuffer(row[0], dtype=np.float32).tolist() if row else None

    def _make(self, texts: dict[bytes, str]) -> dict[bytes, list[float]]:
        made = dict(zip(texts, self._model.embed_passages(list(texts.values()), lambda: None), strict=True))
        self._keep(made)
        return made

    @property
    def _model(self) -> Embedder:
        if self._embedder is None:
            self._embedder = Embedder(self._files)
        return self._embedder

    def _keep(self, made: dict[bytes, list[float]]) -> None:
        rows = [(digest, np.asarray(vector, dtype=np.float32).tobytes()) for digest, vector in made.items()]
        with self._store:
            self._store.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
