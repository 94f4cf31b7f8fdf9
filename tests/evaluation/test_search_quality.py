"""Search keeps finding what people mean: the project's own judged questions, against the figures recorded last."""

import json
from functools import cache
from typing import Any

import pytest

from benchmarks.evaluation.__main__ import CACHE
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.own_sets import judged_names, read_further_questions, read_own_sets
from benchmarks.evaluation.pipeline import evaluate
from benchmarks.evaluation.report import RESULTS, Result
from benchmarks.evaluation.scoring import score_rankings
from knowledge.indexing import Splitter
from knowledge.model_files import find_model

MAY_FALL_BY = 0.02
QUERIES_MIN = {"own-questions": 150, "own-errors": 100, "own-tasks": 60}


@cache
def recorded() -> dict[str, Any]:
    sets: dict[str, Any] = json.loads(RESULTS.read_text())["sets"]
    return sets


# The first run embeds every page on one core; later ones take seconds.
@pytest.mark.timeout(600)
def test_no_figure_falls_by_more_than_two_points() -> None:
    own = read_own_sets()
    found = evaluate(own, Splitter(find_model()), CachedEmbedder(CACHE))
    results = [
        Result(judged.name, judged.measure, None, 0, figures) for judged, figures in zip(own, found, strict=True)
    ]
    fallen = {
        result.name: (recorded()[result.name]["value"], round(result.value, 3))
        for result in results
        if result.value < recorded()[result.name]["value"] - MAY_FALL_BY
    }
    assert not fallen, "recorded and found; look at what changed, or record new figures by `make eval`"


def test_every_judged_answer_exists() -> None:
    sets = (*read_own_sets(), *read_further_questions().values())
    known = {judged.name.removeprefix("own-"): set(judged.identities.values()) for judged in sets}
    assert {(name, answer) for name, answer in judged_names() if answer not in known[name]} == set()


def test_the_sets_are_as_large_as_promised() -> None:
    sizes = {judged.name: len(judged.queries) for judged in read_own_sets()}
    assert all(sizes[name] >= least for name, least in QUERIES_MIN.items())


def test_scores_are_those_of_the_textbook() -> None:
    figures = score_rankings({"a": ["x", "y"], "b": ["y", "x"]}, {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}})
    assert figures.mrr_at_10 == pytest.approx((1 + 1 / 2) / 3)
    assert figures.ndcg_at_10 == pytest.approx((1 + 0.63093) / 3, abs=1e-4)
    assert figures.recall_at_1 == pytest.approx(1 / 3)
