"""Many commands on one connection: each gets its own answer, a lost connection is noticed, and comes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ontology.redis_client import KnownServer, Redis, RedisError, create_redis, find_plain_address
from ontology.redis_pipe import PipeScript, RedisPipe, pack
from ontology.settings import Settings
from tests.program import eventually


@pytest.fixture
async def pipe(settings: Settings) -> AsyncIterator[RedisPipe]:
    address = find_plain_address(settings.redis_url)
    assert address is not None
    pipe = RedisPipe(address, KnownServer(lambda: None))
    yield pipe
    await pipe.close()


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    redis = create_redis(settings)
    yield redis
    await redis.aclose()


async def test_each_command_gets_its_own_answer(pipe: RedisPipe) -> None:
    texts = [f"{number} \r\n $5 *1 :" * (number % 300) for number in range(500)]
    answers = await asyncio.gather(*(pipe.execute(pack("ECHO", text)) for text in texts))
    assert answers == [text.encode() for text in texts]


async def test_answers_of_every_kind_are_read(pipe: RedisPipe) -> None:
    assert await pipe.execute(pack("SET", "name", b"\x00\xff")) == b"OK"
    assert await pipe.execute(pack("GET", "name")) == b"\x00\xff"
    assert await pipe.execute(pack("GET", "nothing")) is None
    assert await pipe.execute(pack("INCR", "number")) == 1
    nested = pack("EVAL", "return {1, {'two', {}}, false, -3}", 0)
    assert await pipe.execute(nested) == [1, [b"two", []], None, -3]


async def test_a_refused_command_takes_no_other_with_it(pipe: RedisPipe) -> None:
    await pipe.execute(pack("SET", "text", "no number"))
    commands = (pack("ECHO", "before"), pack("INCR", "text"), pack("ECHO", "after"))
    before, refused, after = await asyncio.gather(*map(pipe.execute, commands), return_exceptions=True)
    assert (before, after) == (b"before", b"after")
    assert isinstance(refused, RedisError)


async def test_a_lost_connection_fails_what_was_under_way_and_comes_back(pipe: RedisPipe, redis: Redis) -> None:
    await pipe.execute(pack("PING"))
    waiting = asyncio.gather(
        pipe.execute(pack("BLPOP", "never", "0")), pipe.execute(pack("ECHO", "behind")), return_exceptions=True
    )

    async def is_blocked() -> bool:
        return bool((await redis.info("clients"))["blocked_clients"])

    await eventually(is_blocked)
    await redis.client_kill_filter(_type="normal", skipme=True)
    assert [type(answer) for answer in await waiting] == [RedisError, RedisError]
    assert await pipe.execute(pack("ECHO", "again")) == b"again"


async def test_a_caller_that_has_gone_does_not_shift_the_answers(pipe: RedisPipe) -> None:
    await pipe.execute(pack("PING"))
    gone = asyncio.create_task(pipe.execute(pack("ECHO", "gone")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await pipe.execute(pack("ECHO", "here")) == b"here"


async def test_a_script_is_known_again_after_the_server_forgot_it(pipe: RedisPipe, redis: Redis) -> None:
    script = PipeScript(pipe, "return {KEYS[1], ARGV[1]}")
    assert await script(keys=("key",), args=(7,)) == [b"key", b"7"]
    await redis.script_flush()
    assert await script(keys=("key",), args=(8,)) == [b"key", b"8"]


async def test_another_server_is_noticed_before_anything_is_asked() -> None:
    noticed: list[str] = []
    server = KnownServer(lambda: noticed.append("new"))
    for run_id in ("a", "a", "b", "b"):
        server.notice(f"# Server\r\nrun_id:{run_id}\r\n".encode())
    assert noticed == ["new"]


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("unix://:word@/tmp/redis.sock?db=0", True),
        ("redis://:word@127.0.0.1:6379/2", True),
        ("rediss://127.0.0.1:6379", False),
        ("redis://127.0.0.1:6379?ssl_cert_reqs=none", False),
    ],
)
def test_only_an_address_that_needs_no_more_than_a_socket_is_plain(url: str, plain: bool) -> None:
    assert (find_plain_address(url) is not None) is plain
