"""The project's own judged sets: questions, errors and tasks about this product, written as people ask.

They are asked against everything the platform knows: its pages, its error codes and its operations.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from api.routes import openapi_document
from benchmarks.evaluation.judged_sets import MRR, NDCG, JudgedQuery, JudgedSet, to_document
from knowledge.sources import read_platform
from ontology.errors import list_error_classes

ROOT = Path(__file__).parents[2]
OWN = Path(__file__).parent / "own"
# Further sets of questions that are asked, and ranked by nobody. By the first the decision to answer was chosen, too,
# by the others nothing was.
FURTHER_SETS = ("training", "held_out", "test")
# The page this evaluation writes would answer questions about search: it takes no part.
_WRITTEN_PAGE = "reference/search-quality"

Row = tuple[str, str]
Reader = Callable[[str, str, Iterable[Row], tuple[str, ...]], JudgedSet]


def read_own_sets() -> list[JudgedSet]:
    """Questions over everything, errors among errors, tasks among endpoints."""
    read = _reader()
    return [
        read("questions", NDCG, _tabbed("questions.tsv"), ()),
        read("errors", MRR, _errors(), ("error",)),
        read("tasks", NDCG, _tabbed("tasks.tsv"), ("endpoint",)),
    ]


def read_further_questions(names: Iterable[str] = FURTHER_SETS) -> dict[str, JudgedSet]:
    """Questions over everything, by the name of their set."""
    read = _reader()
    return {name: read(name, NDCG, _tabbed(f"{name}_questions.tsv"), ()) for name in names}


def judged_names() -> set[tuple[str, str]]:
    """Every set and right answer, for the test that says each of them exists."""
    rows = {
        "questions": _tabbed("questions.tsv"),
        "errors": _errors(),
        "tasks": _tabbed("tasks.tsv"),
    } | {name: _tabbed(f"{name}_questions.tsv") for name in FURTHER_SETS}
    return {(name, answer) for name, own in rows.items() for answers, _ in own for answer in answers.split(",")}


def _reader() -> Reader:
    """Reads sets over everything the platform knows."""
    platform = read_platform(ROOT / "content/docs", list_error_classes(), openapi_document("http://127.0.0.1:8000"))
    sources = [source for source in platform if source.external_id != _WRITTEN_PAGE]
    documents = [to_document(source, of_platform=True) for source in sources]
    identities = {document.document_id: str(document.external_id) for document in documents}

    def read(name: str, measure: str, rows: Iterable[Row], kinds: tuple[str, ...]) -> JudgedSet:
        queries: list[JudgedQuery] = []
        judged: dict[str, dict[str, int]] = {}
        for number, (answers, text) in enumerate(rows, 1):
            query = JudgedQuery(f"{name}-{number}", text, kinds=kinds)
            queries.append(query)
            judged[query.name] = dict.fromkeys(answers.split(","), 1)
        return JudgedSet(f"own-{name}", measure, documents, queries, judged, identities=identities)

    return read


def _tabbed(name: str) -> list[Row]:
    lines = (OWN / name).read_text(encoding="utf-8").splitlines()
    return [(answers, text) for answers, text in (line.split("\t") for line in lines)]


def _errors() -> list[Row]:
    lines = (OWN / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["answer"], row["text"]) for row in map(json.loads, lines)]
