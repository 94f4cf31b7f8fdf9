"""What is likely to be called next: a context model over the last operations, which backs off to shorter contexts.

Each later part of the last operations that was seen before is asked what followed it, and mixed with what the shorter
parts say, down to how often operations are called at all; at each length the caller's own calls come after those of
others. The mixing is that of Witten and Bell (1991, method C of PPM): a context counts the more, the more often it was
seen and the fewer different operations followed it. So the longest context decides where there is much evidence, one's
own habits before those of others, and popularity where there is nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ontology.usage_patterns import Follower, Operations


class Source(StrEnum):
    """Where it comes from: `own` calls within reach, those of `others` (five organisations at least), or `meaning`."""

    OWN = "own"
    OTHERS = "others"
    MEANING = "meaning"


@dataclass(frozen=True, slots=True)
class NextOperation:
    """An operation with its probability; `after` is the longest part of the last operations it was seen to follow."""

    operation: str
    probability: float
    after: Operations
    source: Source


def predict_next(recent: Operations, followers: Iterable[Follower]) -> list[NextOperation]:
    """Every operation that was seen, the most probable first; never the last one again."""
    counts: dict[tuple[Operations, bool], dict[str, int]] = {}
    found: dict[str, tuple[Operations, Source]] = {}
    for each in sorted(followers, key=lambda each: (len(each.after), each.is_own)):
        if (each.operation,) != recent[-1:]:
            counts.setdefault((each.after, each.is_own), {})[each.operation] = each.times
            found[each.operation] = (each.after, Source.OWN if each.is_own else Source.OTHERS)
    probabilities: dict[str, float] = {}
    for start in range(len(recent), -1, -1):
        for is_own in (False, True):
            if seen := counts.get((recent[start:], is_own)):
                probabilities = _mix(seen, probabilities)
    ranked = sorted(found, key=lambda operation: (-probabilities[operation], operation))
    return [NextOperation(operation, probabilities[operation], *found[operation]) for operation in ranked]


def _mix(seen: dict[str, int], less_exact: dict[str, float]) -> dict[str, float]:
    """Counts with the probabilities of what is less exact: the others' calls, or a shorter context."""
    total, kinds = sum(seen.values()), len(seen) if less_exact else 0
    return {
        operation: (seen.get(operation, 0) + kinds * less_exact.get(operation, 0.0)) / (total + kinds)
        for operation in seen.keys() | less_exact.keys()
    }
