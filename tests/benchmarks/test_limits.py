"""The judge of the limiter's decisions finds what it is for."""

import random
from bisect import bisect_left

import pytest

from benchmarks.limits.rule import (
    CLOCK_MICROS,
    WINDOW_MICROS,
    AdmissionLog,
    count_false_refusals,
    count_over_admissions,
    was_full,
)

SECOND = 1_000_000


def test_one_too_many_in_a_window_is_found() -> None:
    right = [0, 10, 20, WINDOW_MICROS, WINDOW_MICROS + 10]
    assert count_over_admissions(right, 3) == 0
    assert count_over_admissions([0, 10, 20, WINDOW_MICROS - 1], 3) == 1
    assert count_over_admissions(right, 2) == 3


def test_refusal_while_there_was_room_is_found() -> None:
    log = [100 * SECOND, 101 * SECOND, 102 * SECOND]
    assert was_full(log, 3, 103 * SECOND, 104 * SECOND)
    assert was_full(log, 3, 101 * SECOND, 103 * SECOND), "it filled up meanwhile"
    assert was_full(log, 3, 159 * SECOND, 170 * SECOND), "it was full at first"
    assert not was_full(log, 3, 100 * SECOND, 102 * SECOND - 2 * CLOCK_MICROS), "before the last of them"
    assert not was_full(log, 3, 160 * SECOND + 2 * CLOCK_MICROS, 170 * SECOND), "the first had left"
    assert not was_full(log, 4, 103 * SECOND, 104 * SECOND)
    refused = [(103 * SECOND, 104 * SECOND), (200 * SECOND, 201 * SECOND)]
    assert count_false_refusals(log, 3, refused) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_judge_agrees_with_counting(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.randint(1, 6)
    log = sorted(chance.randrange(0, 4 * 60) * SECOND for _ in range(chance.randint(0, 40)))
    for _ in range(200):
        start = chance.randrange(0, 5 * 60) * SECOND + SECOND // 2
        end = start + chance.randrange(0, 20) * SECOND
        moments = [start, end, *(time + shift for time in log for shift in (0, WINDOW_MICROS - 1))]
        counts = [sum(m - WINDOW_MICROS < time <= m for time in log) for m in moments if start <= m <= end]
        assert was_full(log, limit, start, end) == (max(counts) >= limit)


@pytest.mark.parametrize("seed", range(20))
def test_the_log_has_every_admission_once_however_it_is_looked_at(seed: int) -> None:
    chance = random.Random(seed)
    everything = sorted(chance.randrange(0, 50) for _ in range(60))
    log = AdmissionLog()
    begun, ended = 0, 0
    while ended < len(everything):
        ended = min(len(everything), ended + chance.randint(0, 5))
        log.look(everything[begun:ended])
        # What leaves the window leaves with all others of the same time.
        left = bisect_left(everything, everything[chance.randint(begun, ended - 1)]) if ended > begun else begun
        begun = max(begun, left)
    assert log.times == everything
