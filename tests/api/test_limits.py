"""Rate limits over several web processes: exactly as many as allowed, and none refused while there is room.

The rule is the one written in `ontology/limits.py`; the admission times in Redis are the log it is checked against.
"""

import asyncio
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from ontology.ids import decode_id
from ontology.plans import PLAN_LIMITS, Plan
from tests.parts import wait_for
from tests.program import Caller, Program, eventually
from tests.web import Answer, RunningWeb, burst, hammering
from worker.request_log import drain_request_log

# The first test starts the processes.
pytestmark = pytest.mark.timeout(300)

LIMIT = 20
LINES_EACH = 2
WINDOW_MICROS = 60_000_000
# How far apart this machine's clock and the one Redis reads for a script may be.
CLOCK_MICROS = 5_000


def admitted(answers: Sequence[Answer]) -> list[Answer]:
    assert {answer.status for answer in answers} <= {200, 429}
    return [answer for answer in answers if answer.status == 200]


def refused(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status == 429]


def read_layers(header: str) -> dict[str, dict[str, int]]:
    """The layers of a `RateLimit` or `RateLimit-Policy` header, in its order."""
    layers: dict[str, dict[str, int]] = {}
    for item in header.split(", "):
        name, *values = item.split(";")
        layers[name.strip('"')] = {key: int(value) for key, value in (pair.split("=") for pair in values)}
    return layers


def check_refusals(answers: Sequence[Answer], layer: str, limit: int, window: int) -> None:
    """Every refusal names the layer that binds, in its problem and in its three headers."""
    for answer in answers:
        problem = answer.json()
        assert problem["code"] == "rate_limit_exceeded"
        assert f"`{layer}` of {limit} requests in {window} seconds" in problem["detail"]
        assert 1 <= int(answer.headers["retry-after"]) <= window
        assert read_layers(answer.headers["ratelimit-policy"])[layer] == {"q": limit, "w": window}
        left = read_layers(answer.headers["ratelimit"])
        assert left[layer]["r"] == 0
        assert next(iter(left)) == layer, "the tightest layer stands first"
        assert answer.headers["content-type"] == "application/problem+json"
        assert re.fullmatch(r"req_[0-9a-z]{24}", answer.headers["x-request-id"])


def minute_of(caller: Caller, key: Caller | None = None) -> str:
    return f"limit:{{{caller.org_id}}}:{_key_part(key)}minute"


def day_of(caller: Caller, key: Caller | None = None) -> str:
    return f"limit:{{{caller.org_id}}}:{_key_part(key)}day"


def _key_part(key: Caller | None) -> str:
    identity: UUID | None = decode_id(key.key_id)[1] if key else None
    return f"{identity}:" if identity else ""


async def test_requests_decided_together_are_told_what_each_left(api: Program) -> None:
    key = await api.issue(await api.register(), per_minute=LIMIT)
    answers = await asyncio.gather(*(key.get("/v1/whoami") for _ in range(2 * LIMIT)))
    assert Counter(answer.status_code for answer in answers) == {200: LIMIT, 429: LIMIT}
    left = [read_layers(answer.headers["ratelimit"])["key-minute"]["r"] for answer in answers]
    assert sorted(left) == [0] * LIMIT + list(range(LIMIT))


async def test_who_no_longer_waits_takes_no_decision_from_those_beside_it(api: Program) -> None:
    key = await api.issue(await api.register(), per_minute=LIMIT)
    assert (await key.get("/v1/whoami")).status_code == 200
    calls = [asyncio.create_task(key.get("/v1/whoami")) for _ in range(LIMIT)]
    await asyncio.sleep(0)
    calls[0].cancel()
    answers = await asyncio.wait_for(asyncio.gather(*calls[1:]), 30)
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert sum(answer.status_code == 200 for answer in answers) >= LIMIT - 2


async def test_a_burst_on_every_process_is_admitted_exactly_to_the_keys_limit(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    key = await office.issue(owner, per_minute=LIMIT)
    with web.lines(LINES_EACH) as lines:
        answers = burst(lines, [key.key], 3 * LIMIT // len(lines))
        later = burst(lines, [key.key], 1)
    assert len(admitted(answers)) == LIMIT
    assert admitted(later) == []
    # No two of them were told the same, so together they counted, and each process on its own did not.
    left = [read_layers(answer.headers["ratelimit"])["key-minute"]["r"] for answer in admitted(answers)]
    assert sorted(left) == list(range(LIMIT))
    check_refusals(refused(answers) + later, "key-minute", LIMIT, 60)
    # Counted in every layer or in none: what the key's limit refused has cost the organisation nothing.
    assert await office.redis.llen(minute_of(owner, key)) == LIMIT
    assert await office.redis.llen(minute_of(owner)) == LIMIT
    assert await office.redis.hget(day_of(owner), "used") == str(LIMIT).encode()


async def test_an_organisations_keys_share_the_plans_minute(web: RunningWeb, office: Program) -> None:
    owner = await office.register(plan=Plan.STARTER)
    keys = [owner.key, (await office.issue(owner)).key, (await office.issue(owner, per_minute=1_000)).key]
    stranger = await office.register(plan=Plan.STARTER)
    limit = PLAN_LIMITS[Plan.STARTER].requests_per_minute
    with web.lines(LINES_EACH) as lines:
        answers = burst(lines, keys, limit // len(lines) + 3)
        assert len(admitted(answers)) == limit
        check_refusals(refused(answers), "org-minute", limit, 60)
        assert {answer.status for answer in burst(lines, [stranger.key], 1)} == {200}


async def test_the_day_is_exact_for_the_organisation_and_for_the_key(web: RunningWeb, office: Program) -> None:
    for by_key in (False, True):
        owner = await office.register()
        key = await office.issue(owner, per_minute=5_000)
        limit, room = 1_000_000, 10
        # Written as the day to come, which is how a day looks to a clock that was set back: it counts as today, so
        # that midnight during this test opens no new day.
        name = day_of(owner, key if by_key else None)
        await office.redis.hset(name, mapping={"day": await _today(office) + 1, "used": limit - room})
        with web.lines(LINES_EACH) as lines:
            answers = burst(lines, [key.key], 2)
        assert len(admitted(answers)) == room
        check_refusals(refused(answers), "key-day" if by_key else "org-day", limit, 86_400)
        assert await office.redis.hget(name, "used") == str(limit).encode()


async def test_yesterdays_requests_do_not_count_today(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    await office.redis.hset(day_of(owner), mapping={"day": await _today(office) - 1, "used": 1_000_000})
    with web.lines(1) as lines:
        assert len(admitted(burst(lines, [owner.key], 1))) == len(lines)
    assert await office.redis.hget(day_of(owner), "used") == str(len(lines)).encode()


async def test_every_decision_agrees_with_the_admission_log(web: RunningWeb, office: Program) -> None:
    """The window slides: as each of the earlier requests leaves it, one more is admitted, and not one before."""
    owner = await office.register()
    key = await office.issue(owner, per_minute=LIMIT)
    name = minute_of(owner, key)
    now = await _now_micros(office)
    # They leave the window one after another, from one second on.
    earlier = [now - WINDOW_MICROS + 1_000_000 + index * 80_000 for index in range(LIMIT)]
    await office.redis.rpush(name, *earlier)
    with web.lines(2) as lines, hammering(lines, key.key) as hammer:
        wait_for(lambda: len(admitted(hammer.answers)) >= LIMIT, 60)
        hammer.wait_until_each_asked(hammer.answers[-1].received, 1)
    new = [int(time) for time in await office.redis.lrange(name, 0, -1)]
    assert len(admitted(hammer.answers)) == len(new) == LIMIT
    log = sorted(earlier + new)
    assert all(later - first >= WINDOW_MICROS for first, later in zip(log, log[LIMIT:], strict=False))
    assert any(answer.sent * 1e6 > now + 1_000_000 for answer in refused(hammer.answers))
    for answer in refused(hammer.answers):
        sent, received = answer.sent * 1e6 - CLOCK_MICROS, answer.received * 1e6 + CLOCK_MICROS
        assert _was_full(log, LIMIT, sent, received), "refused while there was room"
        wait = int(answer.headers["retry-after"]) * 1_000_000
        freed = [time + WINDOW_MICROS for time in log]
        assert any(sent + wait - 1_000_000 < time <= received + wait for time in freed), "Retry-After is not the wait"


def _was_full(log: Sequence[int], limit: int, start: float, end: float) -> bool:
    """Whether at some moment from `start` to `end` the sixty seconds before it held as many as are allowed."""
    moments = [start, end, *log, *(time + WINDOW_MICROS - 1 for time in log)]
    used = (
        bisect_right(log, moment) - bisect_right(log, moment - WINDOW_MICROS)
        for moment in moments
        if start <= moment <= end
    )
    return max(used) >= limit


def test_the_check_of_the_log_can_fail() -> None:
    log = [0, 10, 20]
    assert _was_full(log, 3, 25, 30)
    assert not _was_full(log, 3, 15, 19)
    assert not _was_full(log, 3, WINDOW_MICROS, WINDOW_MICROS + 5)


async def test_without_redis_the_processes_together_stay_under_the_limit_and_say_so(
    web: RunningWeb, office: Program
) -> None:
    owner = await office.register(plan=Plan.STARTER)
    limit = PLAN_LIMITS[Plan.STARTER].requests_per_minute
    with web.lines(LINES_EACH) as lines:
        web.kill_redis()
        try:
            answers = burst(lines, [owner.key], limit // len(lines) + 4)
            quota = lines[0].get(owner.key, "/v1/quota")
        finally:
            web.start_redis()
        assert len(admitted(answers)) == limit
        assert {answer.headers["ratelimit-mode"] for answer in answers} == {"degraded"}
        assert quota.status in (429, 503)
        assert "retry-after" in quota.headers
        wait_for(lambda: all("ratelimit-mode" not in line.get(owner.key).headers for line in lines))


async def test_refusals_by_limit_are_told_to_the_organisation_once_a_minute(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    key = await office.issue(owner, per_minute=1)
    with web.lines(1) as lines:
        answers = burst(lines, [key.key], 3)
    assert Counter(answer.status for answer in answers) == {200: 1, 429: 3 * len(lines) - 1}
    events = await owner.all_rows("/v1/events", type="quota_exceeded")
    assert [event["metadata"]["limitType"] for event in events] == ["minute"]
    assert events[0]["targetId"] == key.key_id
    # The log of calls, however, holds each of them.
    told = {answer.headers["x-request-id"]: answer.status for answer in answers}

    async def is_logged() -> bool:
        await drain_request_log(office.engine, office.redis)
        rows = await owner.all_rows("/v1/events", type="api_request_made", targetId=key.key_id)
        return {row["requestId"]: row["metadata"]["statusCode"] for row in rows} == told

    await eventually(is_logged)


async def _now_micros(office: Program) -> int:
    seconds, micros = await office.redis.time()
    return seconds * 1_000_000 + micros


async def _today(office: Program) -> int:
    return await _now_micros(office) // 86_400_000_000
