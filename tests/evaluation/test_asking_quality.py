"""Asking keeps refusing and answering as often as was recorded last."""

import json
from typing import Any

import pytest

from benchmarks.evaluation.__main__ import CACHE
from benchmarks.evaluation.asking import RESULTS, measure, read_rows
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.own_sets import read_held_out_questions, read_own_sets
from knowledge.indexing import Splitter
from knowledge.model_files import find_model

MAY_FALL_BY = 0.02
GUARDED = ("refused", "right", "own_known")


# The first run embeds every page on one core; later ones take seconds.
@pytest.mark.timeout(600)
def test_no_figure_falls_by_more_than_two_points() -> None:
    recorded: dict[str, Any] = json.loads(RESULTS.read_text())["sets"]
    splitter, embedder = Splitter(find_model()), CachedEmbedder(CACHE)
    found = measure(read_own_sets(), read_held_out_questions(), splitter, embedder)["sets"]
    fallen = {
        f"{asked}, {name}": (figures[name], found[asked][name])
        for asked, figures in recorded.items()
        for name in GUARDED
        if found[asked][name] < figures[name] - MAY_FALL_BY
    }
    assert not fallen, "recorded and found; look at what changed, or record new figures by `make eval ARGS=ask`"


def test_the_sets_are_as_large_as_promised_and_share_no_question() -> None:
    own, held_out = read_own_sets(), read_held_out_questions()
    developed = {query.text for judged in own[:2] for query in judged.queries}
    kept = [query.text for query in held_out.queries]
    assert len(set(kept)) == len(kept) >= 100 and developed.isdisjoint(kept)
    for name in ("unanswerable.tsv", "about_me.tsv"):
        developed, kept = ([text for _, text in read_rows(prefix + name)] for prefix in ("", "held_out_"))
        assert len(set(developed)) == len(developed) and len(set(kept)) == len(kept)
        assert set(developed).isdisjoint(kept)
    assert min(len(read_rows(prefix + "unanswerable.tsv")) for prefix in ("", "held_out_")) >= 100
