"""Wrong keys, counted by the address they come from: after ten in a row, for five minutes each is answered 429.

The count is kept apart from every limit: it takes nothing from any organisation's budget, and requests with a valid
key are answered as ever, also from that address, since others may share it. A valid key ends a row that has not come
to ten; it does not shorten the five minutes.
"""

from typing import Any

from ontology.addresses import find_subscriber
from ontology.redis_client import AsyncScript, Redis

WRONG_KEYS_MAX = 10
SECONDS = 300
_REMEMBERED_MAX = 10_000

# Counts one more; from the one that fills the measure on, the time runs anew, once. Returns the seconds left to wait.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
local most, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
if count == 1 or count == most then redis.call('EXPIRE', KEYS[1], seconds) end
if count <= most then return 0 end
return math.max(1, redis.call('TTL', KEYS[1]))
"""
_END_ROW = """
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
if count < tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end
return count
"""


class WrongKeys:
    """The counts of all processes, in Redis; IPv6 addresses count by their /64.

    Each process remembers for whom it counted, so that a valid request asks Redis only after a wrong one.
    """

    def __init__(self, redis: Redis) -> None:
        self._count: AsyncScript = redis.register_script(_COUNT)
        self._end_row: AsyncScript = redis.register_script(_END_ROW)
        self._counted: set[str] = set()

    async def count(self, address: str) -> int:
        """Count a wrong key from an address; the seconds for which it is to be slowed, or 0.

        Raises:
            RedisError: Redis is away.
        """
        subscriber = find_subscriber(address)
        if subscriber is None:
            return 0
        if len(self._counted) >= _REMEMBERED_MAX:
            self._counted.clear()
        self._counted.add(subscriber)
        waiting: Any = await self._count(keys=[_key(subscriber)], args=[WRONG_KEYS_MAX, SECONDS])
        return int(waiting)

    async def end_row(self, address: str) -> None:
        """A valid key came from the address.

        Raises:
            RedisError: Redis is away.
        """
        if not self._counted or (subscriber := find_subscriber(address)) not in self._counted:
            return
        self._counted.discard(subscriber)
        await self._end_row(keys=[_key(subscriber)], args=[WRONG_KEYS_MAX])


def _key(subscriber: str) -> str:
    return f"wrong-keys:{subscriber}"
