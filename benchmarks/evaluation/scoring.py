"""What a ranking is worth against the judges' answers, by the measures the field uses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEPTH = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the queries of a set, each between 0 and 1."""

    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr_at_10: float
    ndcg_at_10: float


def score_rankings(rankings: Mapping[str, Sequence[str]], judged: Mapping[str, Mapping[str, int]]) -> Figures:
    """Score the ranking of every judged query; one without a ranking counts as nothing found."""
    rows = [_score_one(rankings.get(query, ()), grades) for query, grades in judged.items()]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return Figures(len(rows), *means)


def _score_one(ranking: Sequence[str], grades: Mapping[str, int]) -> tuple[float, float, float, float, float]:
    found = list(dict.fromkeys(ranking))[:DEPTH]
    gains = [2 ** grades.get(document, 0) - 1 for document in found]
    recalls = [sum(gain > 0 for gain in gains[:depth]) / len(grades) for depth in (1, 5, 10)]
    reciprocal = next((1 / place for place, gain in enumerate(gains, 1) if gain), 0.0)
    ideal = sorted((2**grade - 1 for grade in grades.values()), reverse=True)[:DEPTH]
    return recalls[0], recalls[1], recalls[2], reciprocal, _discounted(gains) / _discounted(ideal)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))
