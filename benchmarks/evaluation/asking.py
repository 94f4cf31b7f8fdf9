"""Asking, measured: what is refused, what is answered, and whether the right page is cited.

Every set has two halves, by turns of its lines: the first chose the threshold and the list of other subjects, the
second chose nothing. A question with a right page counts as answered rightly when the answer cites such a page.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID

from benchmarks.evaluation.embedding_cache import CachedEmbedder
from benchmarks.evaluation.judged_sets import ORGANISATION, JudgedSet
from benchmarks.evaluation.own_sets import OWN, ROOT
from benchmarks.evaluation.pipeline import build
from knowledge.answerability import ANSWERABLE_FROM, Decision, decide
from knowledge.asking import SOURCES_MAX, Source, choose_parts, compared_sentences
from knowledge.engine import Engine
from knowledge.index.interface import SearchScope
from knowledge.indexing import Splitter
from knowledge.protocol import SearchRequest
from knowledge.quotes import list_quotes
from knowledge.search import Hit

RESULTS = ROOT / "benchmarks" / "results" / "asking.json"
PAGE = ROOT / "content" / "docs" / "reference" / "search-quality.md"
SECTION = "\n## Asking\n"
HALVES = ("development", "held out")
# What else could have been chosen, for the curve.
_STEPS = (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03)
_SCOPE = SearchScope(ORGANISATION, ORGANISATION)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one question: the decision, and what an answer cites, given or not."""

    decision: Decision
    cites_right: bool
    citations: int
    subject: str = ""

    def answered(self, step: float = 0.0) -> bool:
        return self.decision.about is None and self.decision.margin >= step


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares of one half, between 0 and 1. `own_known` are questions about one's own, put to the right figures."""

    unanswerable: int
    refused: float
    questions: int
    questions_answered: float
    questions_right: float
    errors: int
    errors_right: float
    answerable_right: float
    citations: float
    own: int
    own_known: float


def measure(own: Sequence[JudgedSet], splitter: Splitter, embedder: CachedEmbedder) -> dict[str, Any]:
    """Ask every question of every set."""
    questions, errors = own[0], own[1]
    with TemporaryDirectory(prefix="one-eval-") as directory:
        engine = build(questions, splitter, embedder, Path(directory))
        asker = _asker(engine, questions, splitter)
        asked = {
            "questions": [asker(query.text, set(questions.judged[query.name])) for query in questions.queries],
            "errors": [asker(query.text, set(errors.judged[query.name])) for query in errors.queries],
            "unanswerable": [asker(text, set()) for _, text in read_rows("unanswerable.tsv")],
            "own": [asker(text, set(), subject) for subject, text in read_rows("about_me.tsv")],
        }
        engine.close()
    halves = {
        half: _figure({name: rows[place::2] for name, rows in asked.items()}) for place, half in enumerate(HALVES)
    }
    curve = [
        {
            "threshold": round(ANSWERABLE_FROM + step, 3),
            "refused": _share(asked["unanswerable"][1::2], lambda row, step=step: not row.answered(step)),
            "right": _share(
                [*asked["questions"][1::2], *asked["errors"][1::2]],
                lambda row, step=step: row.answered(step) and row.cites_right,
            ),
        }
        for step in _STEPS
    ]
    return {"halves": {half: asdict(figures) for half, figures in halves.items()}, "curve": curve}


def read_rows(name: str) -> list[tuple[str, str]]:
    """Category and question of a set of this project."""
    lines = (OWN / name).read_text(encoding="utf-8").splitlines()
    return [(category, text) for category, text in (line.split("\t") for line in lines)]


def print_figures(measured: dict[str, Any]) -> None:
    for half, figures in measured["halves"].items():
        print(
            f"ask, {half:<12} refused {figures['refused']:.3f} of {figures['unanswerable']} (reach 0.950)  "
            f"answered rightly {figures['answerable_right']:.3f} of {figures['questions'] + figures['errors']} "
            f"(reach 0.850): questions {figures['questions_right']:.3f} (given {figures['questions_answered']:.3f}), "
            f"errors {figures['errors_right']:.3f}  citations {figures['citations']:.1f}  "
            f"own known {figures['own_known']:.3f} of {figures['own']}"
        )
    for point in measured["curve"]:
        print(f"  held out, at {point['threshold']:.3f}: {point['refused']:.3f} refused, {point['right']:.3f} right")


def write_figures(measured: dict[str, Any]) -> None:
    """Record them, and write their part of the page."""
    recorded = {"date": datetime.now(UTC).date().isoformat(), "command": "make eval ARGS=ask", **measured}
    RESULTS.write_text(json.dumps(recorded, indent=2) + "\n")
    PAGE.write_text(PAGE.read_text().partition(SECTION)[0].rstrip("\n") + "\n" + SECTION + _describe(measured))


def _asker(engine: Engine, judged_set: JudgedSet, splitter: Splitter) -> Callable[..., Asked]:
    sources = {source.document_id: source for source in judged_set.documents}
    passages: dict[UUID, Any] = {}
    for source in judged_set.documents:
        prepared = splitter.prepare(source).passages
        passages |= {entry.id: entry.passage for entry in prepared} | {source.document_id: prepared[0].passage}

    def to_source(number: int, document_id: UUID, passage_id: UUID | None) -> Source:
        document, passage = sources[document_id], passages[passage_id or document_id]
        hit = Hit(
            kind=document.kind,
            document_id=document_id,
            title=document.title,
            heading_path=list(passage.heading_path),
            text=passage.text,
            highlights=[],
            score=0.0,
        )
        text = "" if document.kind == "endpoint" else document.text
        return Source(number, hit, tuple(list_quotes(text, "markdown", document.title, passage.text, of_platform=True)))

    def ask(text: str, right: set[str], subject: str = "") -> Asked:
        decision = decide(text, engine.weigh(SearchRequest(text, _SCOPE, (), 1)))
        ranked = engine.search(SearchRequest(text, _SCOPE, (), SOURCES_MAX))
        found = [to_source(number, entry.document_id, entry.passage_id) for number, entry in enumerate(ranked, 1)]
        cosines = engine.compare(text, compared_sentences(found), ORGANISATION)
        cited = {number for part in choose_parts(text, found, cosines) for number in part.citations}
        names = {judged_set.identities[source.hit.document_id] for source in found if source.number in cited}
        return Asked(decision, bool(names & right), len(cited), subject)

    return ask


def _figure(asked: dict[str, list[Asked]]) -> Figures:
    questions, errors = asked["questions"], asked["errors"]

    def right(row: Asked) -> bool:
        return row.answered() and row.cites_right

    answered = [row for row in (*questions, *errors) if row.answered()]
    return Figures(
        unanswerable=len(asked["unanswerable"]),
        refused=_share(asked["unanswerable"], lambda row: not row.answered() and row.decision.about is None),
        questions=len(questions),
        questions_answered=_share(questions, lambda row: row.answered()),
        questions_right=_share(questions, right),
        errors=len(errors),
        errors_right=_share(errors, right),
        answerable_right=_share([*questions, *errors], right),
        citations=round(sum(row.citations for row in answered) / len(answered), 2),
        own=len(asked["own"]),
        own_known=_share(asked["own"], lambda row: row.decision.about == row.subject),
    )


def _share(rows: Sequence[T], holds: Callable[[T], bool]) -> float:
    return round(sum(map(holds, rows)) / len(rows), 3)


def _describe(measured: dict[str, Any]) -> str:
    halves: dict[str, dict[str, Any]] = measured["halves"]
    rows = [
        f"| {half} | {figures['refused']:.3f} of {figures['unanswerable']} "
        f"| {figures['answerable_right']:.3f} of {figures['questions'] + figures['errors']} "
        f"| {figures['questions_right']:.3f} | {figures['errors_right']:.3f} "
        f"| {figures['citations']:.1f} | {figures['own_known']:.3f} of {figures['own']} |"
        for half, figures in halves.items()
    ]
    curve = [
        f"| {point['threshold']:.3f} | {point['refused']:.3f} | {point['right']:.3f} |" for point in measured["curve"]
    ]
    return "\n".join(
        (
            "",
            "How often does [`ask`](/docs/guides/ask) refuse what is not answered here (other products, what we do not "
            "offer, general chatter, near misses), and how often does it answer the questions and errors above with a "
            "citation of the right page? The threshold was chosen on the first half of each set; the second chose "
            "nothing.",
            "",
            "| Half | Unanswerable refused | Answered rightly | Questions | Errors | Citations | Own figures known |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Another threshold would refuse more and answer less, or the other way round (the second half):",
            "",
            "| Threshold | Unanswerable refused | Answered rightly |",
            "|---|---|---|",
            *curve,
            "",
        )
    )
