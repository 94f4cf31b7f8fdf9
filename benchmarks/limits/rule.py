"""The rule of `ontology/limits.py`, read the other way round: whether decisions that were made are the right ones.

In any window at most `limit` requests are admitted, and one is refused only if `limit` were admitted in the window
before it. Admissions have the time at which the server made them; of a refusal is known between which two moments it
was made. Times are whole microseconds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

WINDOW_MICROS = 60_000_000
# How far apart the clock of the clients and the one the server decides by may be, on one machine.
CLOCK_MICROS = 5_000


def count_over_admissions(admitted: Sequence[int], limit: int) -> int:
    """How many were admitted while the window before them was full; `admitted` in order."""
    return sum(later - first < WINDOW_MICROS for first, later in zip(admitted, admitted[limit:], strict=False))


def count_false_refusals(admitted: Sequence[int], limit: int, refused: Sequence[tuple[int, int]]) -> int:
    """How many were refused between two moments with room all the time from the one to the other."""
    return sum(not was_full(admitted, limit, *moments) for moments in refused)


def was_full(admitted: Sequence[int], limit: int, start: int, end: int) -> bool:
    """Whether `limit` were in the window at some moment from `start` to `end`.

    It is full from the admission of a request's `limit - 1`th successor until the request itself leaves the window.
    """
    first = bisect_right(admitted, start - CLOCK_MICROS - WINDOW_MICROS)
    for filling in range(first + limit - 1, len(admitted)):
        if admitted[filling] > end + CLOCK_MICROS:
            break
        if admitted[filling] < admitted[filling - limit + 1] + WINDOW_MICROS:
            return True
    return False


class AdmissionLog:
    """All admissions of a window, from looks at the list the server keeps of the present one.

    The list is a queue in order of time: what is new since the last look stands at its end.
    """

    def __init__(self) -> None:
        self.times: list[int] = []

    def look(self, present: Sequence[int]) -> None:
        """Add what is new; looks must be less than a window apart."""
        last = self.times[-1] if self.times else -1
        start, end = bisect_left(present, last), bisect_right(present, last)
        known = len(self.times) - bisect_left(self.times, last)
        self.times.extend(present[min(start + known, end) :])
