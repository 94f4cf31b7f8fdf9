"""The figures as printed, as recorded for the test that guards them, and as a page of the documentation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.evaluation.judged_sets import MRR, NDCG
from benchmarks.evaluation.own_sets import ROOT
from benchmarks.evaluation.scoring import Figures

RESULTS = ROOT / "benchmarks" / "results" / "search-quality.json"
PAGE = ROOT / "content" / "docs" / "reference" / "search-quality.md"
DIGITS = 3

_ABOUT = {
    "own-questions": "questions about these pages",
    "own-errors": "errors of this API, described and pasted",
    "own-tasks": "tasks and the operations of this API",
    "dbt-faq": "questions and the pages that answer them (dbt)",
    "aks-faq": "questions and the pages that answer them (Azure Kubernetes Service)",
    "toolalpaca-real": "tasks and the endpoints of one real API",
    "toolalpaca-sim": "tasks and the endpoints of one described API",
    "stabletoolbench": "tasks and endpoints of many APIs at once",
    "nextjs-errors": "messages of Next.js and their pages",
    "pydantic-errors": "messages of pydantic and their entries",
    "pylint-errors": "messages of pylint and their entries",
}
_HEAD = """---
title: Search quality
description: How often search finds the right page, error or endpoint, measured on questions with known answers.
section: reference
order: 90
kind: page
aliases:
  - how good is the search
  - retrieval quality figures
  - search accuracy
---

How well does search find what a person means? These figures are measured by `make eval` through the very code that
answers a search, with one set of weights for everything. Each question has one or more right answers, named
by the people who wrote the documentation or the error messages.

"""
_TAIL = """
## How to read it

- **nDCG@10**: 1 when the right answers stand first, less the further down they are, 0 when none is among the first ten.
- **MRR@10**: one divided by the place of the first right answer: 1 for the first place, 0.5 for the second.
- **First** and **first ten**: the share of right answers in first place, and among the first ten.

The first group asks about this product: its pages, its error codes and its operations. The others are public
collections on which nothing of this product was written. The numbers are means over all questions of a set.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What one set came to; ``reach`` is the figure it should have at least."""

    name: str
    measure: str
    reach: float | None
    documents: int
    figures: Figures

    @property
    def value(self) -> float:
        """The figure of the set's own measure."""
        return {NDCG: self.figures.ndcg_at_10, MRR: self.figures.mrr_at_10}[self.measure]

    @property
    def falls_short(self) -> bool:
        return self.reach is not None and round(self.value, DIGITS) < self.reach


def print_result(result: Result, seconds: float) -> None:
    figures = result.figures
    reach = "     " if result.reach is None else f"{result.reach:.3f}"
    print(
        f"{result.name:<16} {result.documents:>5} documents {figures.queries:>4} queries  "
        f"{result.measure:<7} {result.value:.3f} (reach {reach}{' MISSED' if result.falls_short else ''})  "
        f"R@1 {figures.recall_at_1:.3f}  R@10 {figures.recall_at_10:.3f}  {seconds:.0f} s",
        flush=True,
    )


def write_results(results: Sequence[Result]) -> None:
    """Record the figures and write the page."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {
        result.name: {
            "measure": result.measure,
            "value": round(result.value, DIGITS),
            "reach": result.reach,
            "documents": result.documents,
            **{name: _rounded(value) for name, value in asdict(result.figures).items()},
        }
        for result in results
    }
    recorded = {"date": datetime.now(UTC).date().isoformat(), "command": "make eval", "sets": entries}
    RESULTS.write_text(json.dumps(recorded, indent=2) + "\n")
    PAGE.write_text(_HEAD + _table(results) + _TAIL)


def _table(results: Sequence[Result]) -> str:
    lines = ["| Set | Questions | Among | Measure | Figure | First | First ten |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {_ABOUT[result.name]} | {result.figures.queries} | {result.documents} | {result.measure} "
        f"| {result.value:.3f} | {result.figures.recall_at_1:.3f} | {result.figures.recall_at_10:.3f} |"
        for result in results
    ]
    return "\n".join(lines) + "\n"


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, DIGITS)
