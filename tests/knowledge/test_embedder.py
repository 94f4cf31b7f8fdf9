"""The model: the published weights, and nothing else."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from knowledge.embedder import QUANTISED_COSINE_MIN, Embedder, ModelDamaged
from knowledge.model_files import find_model


def similarity(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def no_wait() -> None:
    pass


def test_meaning_is_near_meaning(embedder: Embedder) -> None:
    query = embedder.embed_query("my key stopped working")
    revoked, fruit = embedder.embed_passages(["A revoked API key is refused.", "Bananas are yellow."], no_wait)
    assert len(query) == embedder.dimensions == 384
    assert similarity(query, revoked) > similarity(query, fruit) + 0.2


def test_passages_in_reduced_precision_have_the_same_vectors(embedder: Embedder) -> None:
    texts = [f"Passage {n} about keys, groups and limits. " * (n + 1) for n in range(20)]
    vectors = embedder.embed_passages(texts, no_wait)
    for text, vector in zip(texts, vectors, strict=True):
        (exact,) = embedder._encode([text], reduced=False)  # pyright: ignore[reportPrivateUsage]
        assert similarity(exact, vector) > 0.999


def test_queries_have_nearly_the_vectors_of_single_precision_and_unit_length(embedder: Embedder) -> None:
    for text in ("x", "my key stopped working", "HTTP 429 rate_limit_exceeded", "word " * 1_000, "\N{ROCKET} ünïcödé"):
        (exact,) = embedder._encode([text], reduced=False)  # pyright: ignore[reportPrivateUsage]
        vector = embedder.embed_query(text)
        assert similarity(exact, vector) > QUANTISED_COSINE_MIN
        assert similarity(vector, vector) == pytest.approx(1, abs=1e-5)


def test_threads_share_the_model(embedder: Embedder) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                embedder.embed_query(f"question {number} {turn}")
                embedder.embed_passages([f"passage {number} {turn}"] * 3, no_wait)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_weights_with_another_digest_are_refused(tmp_path: Path) -> None:
    files = find_model()
    copy = tmp_path / "model"
    shutil.copytree(files.path, copy)
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x01")
    with pytest.raises(ModelDamaged, match="digest"):
        Embedder(replace(files, path=copy))
