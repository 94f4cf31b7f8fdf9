"""The embedding model: with `quantised` the only module that imports sentence-transformers and torch.

Torch uses one thread: with two, a query under load took ten times as long. Passages are encoded in bfloat16 where
this processor is faster with it; the vectors agree with single precision to a cosine above .9999. Queries are encoded
in 8-bit integers where it is faster with that, and the vectors agree nearly as well.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from hashlib import file_digest
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer

from knowledge.model_files import ModelFiles
from knowledge.quantised import QuantisedBert

logger = logging.getLogger(__name__)

BATCH_PASSAGES = 8
QUERY_CACHE_ENTRIES = 4_096
# What a quantised query may differ by, as a cosine; of 220 questions the worst had .986, the median .995.
QUANTISED_COSINE_MIN = 0.98
_QUESTIONS = (
    "my key stopped working",
    "HTTP 429 rate_limit_exceeded",
    "give each customer a space of its own",
)
_WARM_UP = ["a passage about keys, groups and things " * 12] * 4


class ModelDamaged(Exception):
    """The weights are not the published ones."""


class Embedder:
    """One loaded model. Methods may be called from several threads."""

    def __init__(self, files: ModelFiles) -> None:
        """Load the model from its directory, never from the network.

        Raises:
            ModelDamaged: the weights do not have the digest that was published.
        """
        _verify(files)
        os.environ["HF_HUB_OFFLINE"] = "1"
        torch.set_num_threads(1)
        self.name = files.name
        self._model = SentenceTransformer(str(files.path), device="cpu", local_files_only=True)
        self._model.eval()
        # A fast tokeniser refuses to be used by two threads at once; the forward pass does not mind.
        self._tokenizing = threading.Lock()
        self._cache: OrderedDict[Hashable, list[float]] = OrderedDict()
        self._cache_lock = threading.Lock()
        self.dimensions = len(self._encode(["warm up"], reduced=False)[0])
        self._reduced = self._reduced_is_faster()
        self._quantised = self._quantise()

    def embed_query(self, text: str, owner: Hashable = None) -> list[float]:
        """The vector of a query. Cached per owner, so no one learns from timing what another has asked."""
        key = (owner, text)
        with self._cache_lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        vector = self._encode_query(text)
        with self._cache_lock:
            self._cache[key] = vector
            if len(self._cache) > QUERY_CACHE_ENTRIES:
                self._cache.popitem(last=False)
        return vector

    def embed_passages(self, texts: Sequence[str], before_batch: Callable[[], None]) -> list[list[float]]:
        """The vectors of passages, in order; ``before_batch`` is called between small batches to let others in.

        Texts of like length go together, because a batch costs what its longest text costs.
        """
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(order), BATCH_PASSAGES):
            before_batch()
            batch = order[start : start + BATCH_PASSAGES]
            encoded = self._encode([texts[position] for position in batch], reduced=self._reduced)
            vectors.update(zip(batch, encoded, strict=True))
        return [vectors[position] for position in range(len(texts))]

    def _encode_query(self, text: str) -> list[float]:
        if self._quantised is None:
            return self._encode([text], reduced=False)[0]
        with torch.inference_mode():
            return cast("Any", self._quantised(self._tokenize([text])["input_ids"][0])).tolist()

    def _encode(self, texts: Sequence[str], *, reduced: bool) -> list[list[float]]:
        features = self._tokenize(texts)
        precision = torch.autocast("cpu", dtype=torch.bfloat16) if reduced else nullcontext()
        with torch.inference_mode(), precision:
            encoded: Any = self._model(features)["sentence_embedding"]
            vectors: Any = torch.nn.functional.normalize(encoded.float(), dim=1)
        return vectors.tolist()

    def _tokenize(self, texts: Sequence[str]) -> dict[str, Any]:
        with self._tokenizing:
            return cast("dict[str, Any]", self._model.preprocess(list(texts)))  # pyright: ignore[reportUnknownMemberType]

    def _quantise(self) -> QuantisedBert | None:
        """The model in 8-bit integers, if this is a model and a processor for it: as good and faster, or `None`."""
        bert: Any = self._model[0]
        try:
            with torch.inference_mode():
                quantised = QuantisedBert(bert.auto_model)
                tokens = [self._tokenize([question])["input_ids"][0] for question in _QUESTIONS]
                found: Any = torch.stack([quantised(ids) for ids in tokens])
                wanted: Any = torch.tensor([self._encode([question], reduced=False)[0] for question in _QUESTIONS])
                agrees = bool(((found * wanted).sum(1) > QUANTISED_COSINE_MIN).all())
                faster = _seconds(lambda: quantised(tokens[0])) < _seconds(
                    lambda: self._encode(_QUESTIONS[:1], reduced=False)
                )
        except (AttributeError, ValueError, RuntimeError):
            logger.info("queries are embedded in single precision", exc_info=True)
            return None
        return quantised if agrees and faster else None

    def _reduced_is_faster(self) -> bool:
        for reduced in (False, True):
            self._encode(_WARM_UP, reduced=reduced)
        return _seconds(lambda: self._encode(_WARM_UP, reduced=True)) < _seconds(
            lambda: self._encode(_WARM_UP, reduced=False)
        )


def _seconds(work: Callable[[], object]) -> float:
    """Of processor time in this thread, which what else the machine does falsifies least."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _verify(files: ModelFiles) -> None:
    if files.sha256 is None:
        return
    with files.weights.open("rb") as weights:
        found = file_digest(weights, "sha256").hexdigest()
    if found != files.sha256:
        raise ModelDamaged(f"{files.weights} has the digest {found}, not the published {files.sha256}")
