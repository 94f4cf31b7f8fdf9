"""``make eval``: the tables of search quality, from the shared sets where they are and from the project's own.

Writes the figures to ``benchmarks/results`` and to a page of the documentation. Vectors are kept in ``.eval-cache``,
so only the first run takes long. ``make eval ARGS="dbt-faq own"`` runs some of the sets and writes nothing;
``ARGS=ask`` measures answers and ``ARGS=suggest`` suggestions, and record them.
"""

import sys
import time
from pathlib import Path

from benchmarks.evaluation import asking, suggesting
from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.judged_sets import SHARED_SETS, read_shared_set
from benchmarks.evaluation.own_sets import ROOT, read_further_questions, read_own_sets
from benchmarks.evaluation.pipeline import evaluate
from benchmarks.evaluation.report import Result, print_result, write_results
from knowledge.indexing import Splitter
from knowledge.model_files import find_model

SHARED = ROOT.parent / "shared" / "eval"
CACHE = ROOT / ".eval-cache" / "vectors.sqlite"
SEED = 20_261_127


def main(wanted: list[str]) -> int:
    """Run the sets; the exit code is 1 when one falls short of what it should reach."""
    splitter, embedder = Splitter(find_model()), CachedEmbedder(CACHE)
    results: list[Result] = []
    if not wanted or "own" in wanted:
        own = read_own_sets()
        started = time.monotonic()
        for judged_set, figures in zip(own, evaluate(own, splitter, embedder), strict=True):
            results.append(Result(judged_set.name, judged_set.measure, None, len(judged_set.documents), figures))
            print_result(results[-1], time.monotonic() - started)
    for shared in SHARED_SETS:
        if (wanted and shared.name not in wanted) or not (SHARED / shared.name).is_dir():
            continue
        started = time.monotonic()
        judged_set = read_shared_set(Path(SHARED), shared)
        (figures,) = evaluate([judged_set], splitter, embedder)
        results.append(Result(shared.name, shared.measure, shared.reach, len(judged_set.documents), figures))
        print_result(results[-1], time.monotonic() - started)
    if not wanted:
        write_results(results)
    if not wanted or "ask" in wanted:
        measured = asking.measure(read_own_sets(), read_further_questions(), splitter, embedder)
        asking.print_figures(measured)
        asking.write_figures(measured)
    if not wanted or "suggest" in wanted:
        measured = suggesting.measure(suggesting.Simulator().run(SEED), embedder)
        suggesting.print_figures(measured)
        suggesting.write_figures(measured)
    return int(any(result.falls_short for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
