"""A key is dead from the answer that says so, on every web process, whatever happens to Redis before or after."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from ontology.database import open_transaction, run_sql
from ontology.ids import decode_id
from ontology.keys import revoke_key
from ontology.limits import Limiter
from ontology.records import utc_now
from tests.parts import wait_for
from tests.program import Caller, Program, eventually
from tests.web import Answer, Line, RunningWeb, at_once, burst, hammering

# The first test starts the processes.
pytestmark = pytest.mark.timeout(300)

KEYS = 4


def revoke(line: Line, owner: Caller, key: Caller) -> Answer:
    return line.send("DELETE", owner.key, f"/v1/api-keys/{key.key_id}")


def is_refused_as(answer: Answer, status: int, code: str) -> bool:
    return answer.status == status and answer.json()["code"] == code


def is_dead(answer: Answer) -> bool:
    """Refused as a key nobody has: at first with 401, from one address after ten in a row with 429."""
    return is_refused_as(answer, 401, "invalid_api_key") or is_refused_as(answer, 429, "rate_limit_exceeded")


def check_revocation(lines: list[Line], line: Line, owner: Caller, key: Caller) -> None:
    """Revoke a key over one line while every other line uses it."""
    clients = [other for other in lines if other is not line]
    with hammering(clients, key.key) as hammer:
        hammer.wait_until_each_asked(0)
        assert {answer.status for answer in hammer.answers} == {200}
        revoked = revoke(line, owner, key)
        assert revoked.status == 200
        assert revoked.json()["status"] == "revoked"
        hammer.wait_until_each_asked(revoked.received)
    for answer in hammer.answers:
        if answer.sent > revoked.received:
            assert is_dead(answer)
        elif answer.received < revoked.sent:
            assert answer.status == 200
        assert "ratelimit-mode" not in answer.headers, "decided without Redis"


async def test_revoked_key_is_refused_for_every_request_sent_after_the_answer(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    with web.lines(2) as lines:
        for number in range(KEYS):
            # One line of every process after another: each process revokes once.
            check_revocation(lines, lines[number], owner, await office.issue(owner))
        assert {answer.status for answer in burst(lines, [owner.key], 1)} == {200}


async def test_keys_revoked_at_once_are_all_dead_and_their_twins_alive(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    doomed = [await office.issue(owner) for _ in range(8)]
    spared = await office.issue(owner)
    with web.lines(2) as lines:
        assert {answer.status for answer in burst(lines, [key.key for key in doomed], len(doomed) // 2)} == {200}
        tasks = [lambda line=line, key=key: revoke(line, owner, key) for line, key in zip(lines, doomed, strict=True)]
        assert {answer.status for answer in at_once(tasks)} == {200}
        dead = burst(lines, [key.key for key in doomed], len(doomed) // 2)
        assert all(is_dead(answer) for answer in dead)
        assert {answer.status for answer in burst(lines, [spared.key, owner.key], 2)} == {200}


async def test_key_expires_at_its_instant_on_every_process(web: RunningWeb, office: Program) -> None:
    with web.lines(2) as lines:
        for life_seconds in (3, 10, 30):  # a busy machine may need longer for a first answer
            owner = await office.register()
            moment = datetime.now(UTC) + timedelta(seconds=life_seconds)
            key = await office.issue(owner, expires_at=moment)
            instant = int(moment.timestamp() * 1000) / 1000
            # Only around the instant, so that the organisation's budget outlives the key.
            await asyncio.sleep(max(instant - time.time() - 1, 0))
            with hammering(lines, key.key) as hammer:
                hammer.wait_until_each_asked(instant)
            if any(answer.received < instant for answer in hammer.answers):
                break
    assert any(answer.received < instant for answer in hammer.answers)
    for answer in hammer.answers:
        if answer.received < instant:
            assert answer.status == 200
        elif answer.sent >= instant:
            assert is_refused_as(answer, 401, "expired_api_key")
            assert moment.isoformat(timespec="seconds") in answer.json()["detail"]


async def test_archiving_a_group_stops_its_keys_at_once_and_restoring_starts_them_again(
    web: RunningWeb, office: Program
) -> None:
    owner = await office.register()
    group = await owner.make("/v1/groups", name="North")
    below = await owner.make("/v1/groups", name="Below", parentGroupId=group["_id"])
    keys = {name: await office.issue(owner, group_id=name) for name in (group["_id"], below["_id"])}
    inside = keys[group["_id"]].key
    with web.lines(2) as lines:
        assert {answer.status for answer in burst(lines, [inside], 1)} == {200}
        await set_group_status(office, owner, group["_id"], "archived")
        stopped = burst(lines, [inside], 2)
        assert all(is_refused_as(answer, 403, "group_archived") for answer in stopped)
        assert {answer.status for answer in burst(lines, [owner.key], 1)} == {200}
        await set_group_status(office, owner, group["_id"], "active")
        assert {answer.status for answer in burst(lines, [inside], 2)} == {200}


async def set_group_status(office: Program, owner: Caller, group_id: str, status: str) -> None:
    """Straight in the database, and announced as every change of what a key may do has to be."""
    statement = text("UPDATE groups SET status = :status WHERE id = :id")
    async with open_transaction(office.engine, owner.owner) as session:
        await run_sql(session, statement, {"status": status, "id": decode_id(group_id, "group")[1]})
    await office.raise_epoch(owner)


async def test_an_emptied_redis_stops_no_key_and_brings_none_back(web: RunningWeb, office: Program) -> None:
    owner = await office.register()
    dead, alive = await office.issue(owner), await office.issue(owner)
    with web.lines(2) as lines:
        assert {answer.status for answer in burst(lines, [dead.key, alive.key], 2)} == {200}
        assert revoke(lines[0], owner, dead).status == 200
        with hammering(lines[1:], alive.key) as hammer:
            hammer.wait_until_each_asked(0)
            await office.redis.flushall()
            hammer.wait_until_each_asked(time.time())
        assert {answer.status for answer in hammer.answers} == {200}
        assert all(is_dead(answer) for answer in burst(lines, [dead.key], 1))
        check_revocation(lines, lines[1], owner, alive)


async def test_a_redis_that_crashed_and_forgot_its_last_second_brings_no_key_back(
    web: RunningWeb, office: Program
) -> None:
    """`decisions/0003`: a server that is not the one which vouched for a credential is not believed."""
    owner = await office.register()
    dead, alive = await office.issue(owner), await office.issue(owner)
    with web.lines(2) as lines:
        assert {answer.status for answer in burst(lines, [dead.key, alive.key], 2)} == {200}
        vouched = await office.redis.get(f"epoch:{{{owner.org_id}}}")
        assert revoke(lines[0], owner, dead).status == 200
        web.kill_redis()
        web.start_redis()
        await office.redis.connection_pool.disconnect()
        # The worst it can have forgotten: the epoch is again the one under which every process knows the key.
        await office.redis.set(f"epoch:{{{owner.org_id}}}", vouched)
        assert all(is_dead(answer) for answer in burst(lines, [dead.key], 2))
        wait_for(lambda: all("ratelimit-mode" not in line.get(alive.key).headers for line in lines))
        check_revocation(lines, lines[1], owner, alive)


async def test_the_first_request_to_meet_a_new_server_is_not_let_in_by_the_word_of_the_old_one(
    web: RunningWeb, office: Program
) -> None:
    owner = await office.register()
    key = await office.issue(owner)
    await is_known_under_its_epoch(key)
    name = f"epoch:{{{owner.org_id}}}"
    vouched = await office.redis.get(name)
    async with open_transaction(office.engine, owner.owner) as session:
        await revoke_key(session, owner.owner, decode_id(key.key_id, "thing")[1], utc_now())
    web.kill_redis()
    web.start_redis()
    for redis in (office.redis, office.litestar.state.services.redis):
        await redis.connection_pool.disconnect()
    await office.redis.set(name, vouched)
    # The process still holds the key under that epoch, and learns only from this request's connection who answers.
    assert (await key.get("/v1/whoami")).status_code == 401


async def is_known_under_its_epoch(caller: Caller) -> None:
    """Wait until the process has got over what an earlier test did to Redis."""

    async def is_decided() -> bool:
        return await decided_by_redis(caller, 1) == 1

    await eventually(is_decided)


async def test_after_one_failure_a_restarted_redis_decides_again(web: RunningWeb, office: Program) -> None:
    """However many connections were open to the one before: each of them would be good for another failure."""
    owner = await office.register()
    services = office.litestar.state.services
    await is_known_under_its_epoch(owner)
    await asyncio.gather(*(services.redis.ping() for _ in range(12)))
    web.kill_redis()
    web.start_redis()
    assert await decided_by_redis(owner, 1) == 0
    assert all(await asyncio.gather(*(services.redis.ping() for _ in range(6))))
    await office.redis.connection_pool.disconnect()


async def decided_by_redis(caller: Caller, times: int) -> int:
    """How many of so many requests at once were."""
    answers = await asyncio.gather(*(caller.get("/v1/whoami") for _ in range(times)))
    assert {answer.status_code for answer in answers} == {200}
    return sum("ratelimit-mode" not in answer.headers for answer in answers)


async def test_without_redis_a_revocation_says_it_is_not_announced_and_holds_all_the_same(
    web: RunningWeb, office: Program
) -> None:
    owner = await office.register()
    key = await office.issue(owner)
    with web.lines(2) as lines:
        assert {answer.status for answer in burst(lines, [key.key], 1)} == {200}
        web.kill_redis()
        try:
            answer = revoke(lines[0], owner, key)
            assert is_refused_as(answer, 503, "service_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert all(is_dead(answer) for answer in burst(lines, [key.key], 1))
        finally:
            web.start_redis()
        assert all(is_dead(answer) for answer in burst(lines, [key.key], 2))
        repeated = revoke(lines[0], owner, key)
        assert repeated.status == 200
        assert repeated.json()["status"] == "revoked"


async def test_a_storm_of_revocations_makes_no_request_of_anybody_a_guess(api: Program) -> None:
    """Raising the epoch without pause must not push the process into the mode it has for a lost Redis."""
    owner, stranger = await api.register(), await api.register()
    limiter, over = Limiter(api.redis), asyncio.Event()

    async def storm() -> None:
        while not over.is_set():
            await limiter.raise_epoch(owner.org_id)

    storms = [asyncio.create_task(storm()) for _ in range(6)]
    try:
        for _ in range(5):
            for caller in (owner, stranger):
                answer = await caller.get("/v1/whoami")
                assert answer.status_code == 200
                assert "ratelimit-mode" not in answer.headers
    finally:
        over.set()
        await asyncio.gather(*storms)
    assert await api.redis.llen(f"limit:{{{owner.org_id}}}:minute") == 5
