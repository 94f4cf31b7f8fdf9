"""Whether a question can be answered from what is known here: one number, its threshold, and how both were found.

A question is near whatever texts there are, so nearness alone says little. It is held against the nearest of two lists:
other subjects (`elsewhere.txt`: other products, the company, the world), and what such products often have and this one
has not, or what no page says (`absent.txt`). What counts is by how much the nearest passages are nearer than those.
From this a share of its words is taken off that stand in no text its asker may read, stop words apart: "is the source
code published under a licence" is near to much, but for one word. A caller's own text about what is missing here
answers all the same, and may do so by one passage: a handbook has no three about anything. Of 26 questions about
fifteen texts of that kind 14 are answered so, 9 if three passages have to, and 13 were before there was a second list.

The weight of unknown words was chosen on the development sets of `benchmarks/evaluation/own`; the second list was
mended by them and the training sets, and the threshold is where 95 of 100 of both together are refused (.951, and .866
answered rightly). On the test sets, about other subjects, .886 are refused and .811 answered rightly, on the held-out
sets .70 and .616. Compared when the pages of passwords were not there yet: .904 and .798, without the list .675 at as
many refusals; held out .70 and .591, without it .473. Both flatter: who wrote the list had written the test questions,
and had seen the first 60 held-out refusals, of which .80 were refused with it and .47 without. Of the other 40, most of
them other products and chatter, .55 and .60 were. So a list knows the near misses that it foresees; the training
questions themselves, added to it, brought nothing for subjects that are not theirs.

Tried on the training half: the weakest word of a question, by the best match of its token vector in the sentences or
passages found; words weighted by rarity in the best pages; best sentence; agreement, scores and gaps of the rankings;
distinct pages; nearness to questions that are answered; how near a passage is to everything; leaving a word out. The
first helped most, cross-validated by subject (.575 to .64 answered rightly without the list, .73 to .76 with it), and
nothing on the test half (.552 to .528, .785 to .779): what tells unforeseen near misses apart is not in these vectors.

The same comparison tells when somebody asks about their own errors, usage, limits or keys: `own_questions.tsv` has
examples of each, and of what people ask about the documentation in the first person ("how do I rotate our keys"). With
eight examples of each, held against the passages alone, half of such questions were known: pages have questions as
aliases, so they are near too. Nearness and both margins were chosen on half of the development set of such questions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Subject = Literal["errors", "usage", "limits", "keys"]

SUBJECTS: tuple[Subject, ...] = ("errors", "usage", "limits", "keys")
ELSEWHERE, ABSENT, FOREIGN_ERRORS, ABOUT_DOCS = "elsewhere", "absent", "foreign_errors", "docs"
_HERE = Path(__file__).parent
# How many of the nearest are averaged: one is noise, and a small collection has few.
NEAREST = 3
UNKNOWN_WORDS_WEIGHT, ANSWERABLE_FROM = 0.2, 0.0
# What an organisation wrote may answer by a single passage, which then counts so much less than several as near.
SINGLE_PASSAGE_COSTS = 0.08
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

    `unknown_words` is the share of its words, between 0 and 1, that stand in nothing its caller may read;
    `own_passage` is the nearest passage of the caller's own organisation, 0 where there is none.
    """

    passages: tuple[float, ...]
    examples: Mapping[str, tuple[float, ...]]
    unknown_words: float = 0.0
    own_passage: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`about` is set for a question about the caller's own; `margin` is by how much it was answerable, or not."""

    answerable: bool
    margin: float
    about: Subject | None = None


def decide(question: str, likeness: Likeness) -> Decision:
    """What to do with a question."""
    nearness = _measure_all(likeness) - UNKNOWN_WORDS_WEIGHT * likeness.unknown_words
    margin = round(nearness - ANSWERABLE_FROM, 3)
    about = _find_own(question, likeness)
    return Decision(about is not None or margin >= 0, margin, about)


def measure_error(likeness: Likeness) -> tuple[float, float]:
    """By how much passages are nearer to a message than other subjects, and than errors of other programs.

    Both are -1 where there are no passages.
    """
    if not likeness.passages:
        return -1.0, -1.0
    nearest = _mean(likeness.passages)
    return nearest - _mean(likeness.examples[ELSEWHERE]), nearest - _mean(likeness.examples[FOREIGN_ERRORS])


@cache
def list_examples() -> Mapping[str, tuple[str, ...]]:
    """The texts that questions are compared with, by the name of their list."""
    examples: dict[str, tuple[str, ...]] = {
        name: tuple((_HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines())
        for name in (ELSEWHERE, ABSENT, FOREIGN_ERRORS)
    }
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


def _measure_all(likeness: Likeness) -> float:
    """The same against both lists, and of a single passage of one's own where that is more."""
    if not likeness.passages:
        return -1.0
    others = sorted((*likeness.examples[ELSEWHERE], *likeness.examples[ABSENT]), reverse=True)
    nearest = max(_mean(likeness.passages), likeness.own_passage - SINGLE_PASSAGE_COSTS)
    return nearest - _mean(others)


def _mean(values: Sequence[float], most: int = NEAREST) -> float:
    nearest = values[:most]
    return sum(nearest) / len(nearest)
