"""Whether a question can be answered from what is known here: one number, its threshold, and how both were found.

A question is near whatever texts there are, so nearness alone says little. It is held against the nearest of a list of
other subjects (`elsewhere.txt`: other products, what we do not do, the company, the world): what counts is by how much
the nearest passages are nearer than those. From this a share of its words is taken off that stand in no text its asker
may read, stop words apart: "is the source code published under a licence" is near to much, but for one word.

Both weights were chosen on the development sets of `benchmarks/evaluation/own`, of which the list has seen too much:
there it refuses 95 of 100 by itself, and answers 86 rightly. So each unanswerable question was judged without the entry
of the list that is nearest to it, as one on a subject that nobody thought of. With 95 of 100 of those refused, .805 are
answered rightly by the list alone, .847, .859, .855 and .859 with unknown words at .1, .2, .3 and .4; without the two
nearest entries .763, .821, .824, .840 and .828. The threshold is the lowest at which 95 of 100 are refused without the
nearest entry. Best sentence, agreement of the rankings, their scores and their gaps added nothing beside; the share of
its words that one document holds did no more than the unknown words do.

It is far from settled. On held-out questions, by which nothing was chosen and of which most unanswerable ones are near
misses, 53 of 100 are refused and .673 answered rightly (.963 and .855 on the development sets); before the unknown
words 49 and .727. An answerable one there has a higher number than an unanswerable one in .675 of pairs, in .628
without the unknown words, in .991 on the development sets: what tells near misses apart is not in these vectors.

The same comparison tells when somebody asks about their own errors, usage, limits or keys: `own_questions.tsv` has
examples of each, and of what people ask about the documentation in the first person ("how do I rotate our keys"). With
eight examples of each, held against the passages alone, half of such questions were known: pages have questions as
aliases, so they are near too. Nearness and both margins were chosen on half of the development set of such questions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Subject = Literal["errors", "usage", "limits", "keys"]

SUBJECTS: tuple[Subject, ...] = ("errors", "usage", "limits", "keys")
ELSEWHERE, ABOUT_DOCS = "elsewhere", "docs"
_HERE = Path(__file__).parent
# How many of the nearest are averaged: one is noise, and a small collection has few.
NEAREST = 3
UNKNOWN_WORDS_WEIGHT, ANSWERABLE_FROM = 0.2, 0.02
# A question about one's own is so near to two examples of it, and at most so much nearer to two examples of the other
# kind, or to a passage.
OWN_NEAREST, OWN_FROM = 2, 0.45
NEARER_TO_DOCS_MAX, NEARER_TO_PASSAGE_MAX = 0.05, 0.15
# Who asks about their own says so ("show me" does not), and asks: a statement is an error somebody met.
_FIRST_PERSON = re.compile(r"\b(?:my|our|mine|ours|i|we|us)\b", re.IGNORECASE)
_ASKS = re.compile(
    r"\s*(?:and |so |please )?(?:which|what|who|when|how|why|is|are|am|was|were|do|does|did|have|has|will|may|can|could"
    r"|show|list|give|count|tell|check|display|get|find|my|our)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Cosines of a question, highest first: to what its caller may read, and to each list of examples.

    `unknown_words` is the share of its words, between 0 and 1, that stand in nothing its caller may read.
    """

    passages: tuple[float, ...]
    examples: Mapping[str, tuple[float, ...]]
    unknown_words: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`about` is set for a question about the caller's own; `margin` is by how much it was answerable, or not."""

    answerable: bool
    margin: float
    about: Subject | None = None


def decide(question: str, likeness: Likeness) -> Decision:
    """What to do with a question."""
    nearness = measure_margin(likeness) - UNKNOWN_WORDS_WEIGHT * likeness.unknown_words
    margin = round(nearness - ANSWERABLE_FROM, 3)
    about = _find_own(question, likeness)
    return Decision(about is not None or margin >= 0, margin, about)


def measure_margin(likeness: Likeness) -> float:
    """By how much the nearest passages are nearer than the nearest other subjects; -1 where there are no passages."""
    if not likeness.passages:
        return -1.0
    return _mean(likeness.passages) - _mean(likeness.examples[ELSEWHERE])


@cache
def list_examples() -> Mapping[str, tuple[str, ...]]:
    """The texts that questions are compared with, by the name of their list."""
    lines = (_HERE / "elsewhere.txt").read_text(encoding="utf-8").splitlines()
    examples: dict[str, tuple[str, ...]] = {ELSEWHERE: tuple(line for line in lines if line)}
    for line in (_HERE / "own_questions.tsv").read_text(encoding="utf-8").splitlines():
        name, question = line.split("\t")
        examples[name] = (*examples.get(name, ()), question)
    return examples


def _find_own(question: str, likeness: Likeness) -> Subject | None:
    """The subject whose examples are nearest, when they are near enough, and nothing else is much nearer."""
    if not (_FIRST_PERSON.search(question) and _ASKS.match(question)):
        return None
    nearness = {subject: _mean(likeness.examples[subject], OWN_NEAREST) for subject in SUBJECTS}
    best = max(SUBJECTS, key=lambda subject: nearness[subject])
    nearest_docs = _mean(likeness.examples[ABOUT_DOCS], OWN_NEAREST)
    nearest_passage = max(likeness.passages, default=0.0)
    least = max(OWN_FROM, nearest_docs - NEARER_TO_DOCS_MAX, nearest_passage - NEARER_TO_PASSAGE_MAX)
    return best if nearness[best] >= least else None


def _mean(values: tuple[float, ...], most: int = NEAREST) -> float:
    nearest = values[:most]
    return sum(nearest) / len(nearest)
