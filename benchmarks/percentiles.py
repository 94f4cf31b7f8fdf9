"""How long something took, most of the time and at worst."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latencies:
    """In milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed; 0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def describe_latencies(seconds: Sequence[float]) -> Latencies:
    ordered = sorted(seconds)
    p50, p95, p99, highest = (round(percentile(ordered, share) * 1000, 3) for share in (0.5, 0.95, 0.99, 1.0))
    return Latencies(p50, p95, p99, highest)
