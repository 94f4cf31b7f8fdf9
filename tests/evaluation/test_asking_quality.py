"""Asking keeps refusing and answering as often as was recorded last."""

import json
from collections import Counter
from typing import Any

import pytest

from benchmarks.evaluation.__main__ import CACHE
from benchmarks.evaluation.asking import RESULTS, measure, read_rows
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.own_sets import FURTHER_SETS, read_further_questions, read_own_sets
from knowledge.indexing import Splitter
from knowledge.model_files import find_model

MAY_FALL_BY = 0.02
PREFIXES = ("", *(f"{name}_" for name in FURTHER_SETS))
GUARDED = ("refused", "right", "own_known")
# The halves of the largest collection are asked by `make eval` alone: it takes longer, and would notice the same.
GUARDED_SETS = ("held_out",)


# The first run embeds every page on one core; later ones take seconds.
@pytest.mark.timeout(600)
def test_no_figure_falls_by_more_than_two_points() -> None:
    recorded: dict[str, Any] = json.loads(RESULTS.read_text())["sets"]
    splitter, embedder = Splitter(find_model()), CachedEmbedder(CACHE)
    found = measure(read_own_sets(), read_further_questions(GUARDED_SETS), splitter, embedder)["sets"]
    assert set(found) < set(recorded)
    fallen = {
        f"{asked}, {name}": (recorded[asked][name], figures[name])
        for asked, figures in found.items()
        for name in GUARDED
        if figures[name] is not None and figures[name] < recorded[asked][name] - MAY_FALL_BY
    }
    assert not fallen, "recorded and found; look at what changed, or record new figures by `make eval ARGS=ask`"


def test_the_sets_are_as_large_as_promised_and_share_no_question() -> None:
    questions, errors, _ = read_own_sets()
    asked = [[query.text for query in judged.queries] for judged in (questions, errors)]
    asked += [[query.text for query in judged.queries] for judged in read_further_questions().values()]
    asked += [[text for _, text in read_rows(f"{prefix}unanswerable.tsv")] for prefix in PREFIXES]
    assert min(len(texts) for texts in asked) >= 95
    texts = [text for several in asked for text in several]
    own = [text for prefix in PREFIXES for _, text in read_rows(f"{prefix}about_me.tsv")]
    assert len(own) >= 60
    assert [text for text, count in Counter(texts + own).items() if count > 1] == []
