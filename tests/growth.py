"""Whether work grows as what it works on does.

Measured is processor time, which other work on the machine does not change, and compared are two lengths, which its
speed does not change.
"""

from collections.abc import Callable
from time import thread_time

FACTOR = 4
# From one length to the next linear work takes four times as long, and quadratic work sixteen times.
GROWTH_MAX = 9.0
# What takes no longer than this grows by chance.
SECONDS_MIN = 0.003
_TRIES = 3


def is_linear(work: Callable[[int], object], length: int = 250, lengths: int = 3) -> bool:
    """Whether `work(length)` takes no more than so many times as long for a length that is so many times as long.

    It is asked with growing lengths, each `FACTOR` times the last, and given up at the first that takes too long.
    """
    before = _measure(work, length)
    for _ in range(1, lengths):
        length *= FACTOR
        took = _measure(work, length)
        if took > SECONDS_MIN and took > GROWTH_MAX * before:
            return False
        before = took
    return True


def _measure(work: Callable[[int], object], length: int) -> float:
    """The least of a few tries: what comes on top is the garbage collector's and the machine's."""
    best = float("inf")
    for _ in range(_TRIES):
        began = thread_time()
        work(length)
        best = min(best, thread_time() - began)
        if best > 10 * SECONDS_MIN:
            break
    return best
