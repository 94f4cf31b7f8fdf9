"""Suggestions beat what is called most and what is near in meaning, on sessions they were not made of."""

from typing import Any

import pytest

from benchmarks.evaluation.__main__ import CACHE
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.suggesting import BASELINES, FIRST, Simulator, measure


# The first run embeds every operation.
@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    small = Simulator(organisations=12, new_organisations=4, sessions=8, held_out=3)
    return measure(small.run(seed=1), CachedEmbedder(CACHE))


@pytest.mark.timeout(600)
def test_the_model_beats_both_baselines_and_not_the_structure_itself(measured: dict[str, Any]) -> None:
    for whose, rows in measured.items():
        for first in FIRST:
            found = {name: figures[f"hit@{first}"] for name, figures in rows.items()}
            assert found["model"] > max(found[name] for name in BASELINES), (whose, first, found)
            assert found["model"] >= found["last call only"] - 0.02, (whose, first, found)
        assert rows["model"]["hit@1"] <= rows["structure"]["hit@1"]


def test_new_organisations_have_the_patterns_of_others_alone(measured: dict[str, Any]) -> None:
    rows = measured["new organisations"]
    assert 0 < rows["model"]["hit@3"] < measured["same organisations"]["model"]["hit@3"]


def test_one_seed_is_one_simulation() -> None:
    one, same, other = (Simulator(organisations=2, sessions=2).run(seed) for seed in (1, 1, 2))
    assert one == same != other
