"""Asking keeps refusing and answering as often as was recorded last."""

import json
from typing import Any

import pytest

from benchmarks.evaluation.__main__ import CACHE
from benchmarks.evaluation.asking import RESULTS, measure, read_rows
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.own_sets import read_own_sets
from knowledge.indexing import Splitter
from knowledge.model_files import find_model

MAY_FALL_BY = 0.02
GUARDED = ("refused", "answerable_right", "own_known")


# The first run embeds every page on one core; later ones take seconds.
@pytest.mark.timeout(600)
def test_no_figure_falls_by_more_than_two_points() -> None:
    recorded: dict[str, Any] = json.loads(RESULTS.read_text())["halves"]
    found = measure(read_own_sets(), Splitter(find_model()), CachedEmbedder(CACHE))["halves"]
    fallen = {
        f"{half}, {name}": (figures[name], found[half][name])
        for half, figures in recorded.items()
        for name in GUARDED
        if found[half][name] < figures[name] - MAY_FALL_BY
    }
    assert not fallen, "recorded and found; look at what changed, or record new figures by `make eval ARGS=ask`"


def test_the_set_of_unanswerable_questions_is_as_large_as_promised() -> None:
    questions = [text for _, text in read_rows("unanswerable.tsv")]
    assert len(set(questions)) == len(questions) >= 100
