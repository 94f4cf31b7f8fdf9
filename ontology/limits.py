"""Rate limits, exact, and the authorisation epoch, in one round trip.

The rule: in any 60 seconds of Redis's clock at most L requests are admitted, and one is refused only if L were
admitted in the 60 seconds before it. The day is the UTC day. A request passes when every layer (key and organisation,
minute and day) admits it, and is counted in all of them or in none.

The last admission times of a window are a list, oldest first, from which those that left the window are dropped: its
length is the number in the window, and each time is added and dropped once.
"""

import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from ontology.credentials import Credential
from ontology.redis_client import AsyncScript, Redis
from ontology.redis_pipe import PipeScript, RedisPipe

MINUTE_SECONDS = 60
DAY_SECONDS = 86_400

# Keys: epoch, organisation minute, organisation day, key minute, key day. They share the organisation's hash tag.
# Arguments: the epoch the caller knows ('' when it has read the database for this very request), then the four limits
# in the order of the keys (0: no such layer).
# Times are micro-seconds kept as integers written with %d: a Lua number printed plainly loses digits.
_ADMIT = """
local known = ARGV[1]
local epoch = redis.call('GET', KEYS[1])
if known ~= '' and known ~= epoch then return {-1} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(time[1] / 86400)
local left, wait, binding = {}, 0, 0
for layer = 1, 4 do
  local limit = tonumber(ARGV[layer + 1])
  local key = KEYS[layer + 1]
  if limit == 0 then
    left[layer] = -1
  elseif layer % 2 == 1 then
    local newest = redis.call('LINDEX', key, -1)
    if newest and tonumber(newest) > now then now = tonumber(newest) end
    local oldest = redis.call('LINDEX', key, 0)
    while oldest and tonumber(oldest) <= now - 60000000 do
      redis.call('LPOP', key)
      oldest = redis.call('LINDEX', key, 0)
    end
    local used = redis.call('LLEN', key)
    left[layer] = limit - used
    if used >= limit then
      local freeing = tonumber(redis.call('LINDEX', key, used - limit))
      local pause = math.ceil((freeing + 60000000 - now) / 1000000)
      if pause > wait then wait, binding = pause, layer end
    end
  else
    local day, used = 0, 0
    local stored = redis.call('HMGET', key, 'day', 'used')
    if stored[1] and tonumber(stored[1]) >= today then used = tonumber(stored[2]) end
    left[layer] = limit - used
    if used >= limit then
      local pause = (today + 1) * 86400 - time[1]
      if pause > wait then wait, binding = pause, layer end
    end
  end
end
local admitted = 0
if binding == 0 then
  admitted = 1
  for layer = 1, 4 do
    if left[layer] >= 0 then
      local key = KEYS[layer + 1]
      if layer % 2 == 1 then
        redis.call('RPUSH', key, string.format('%d', now))
        redis.call('PEXPIRE', key, 61000)
      else
        local stored = redis.call('HGET', key, 'day')
        if stored and tonumber(stored) >= today then redis.call('HINCRBY', key, 'used', 1)
        else redis.call('HSET', key, 'day', today, 'used', 1) end
        redis.call('EXPIRE', key, 172800)
      end
      left[layer] = left[layer] - 1
    end
  end
end
return {admitted, 0, wait, binding, left[1], left[2], left[3], left[4], (today + 1) * 86400 - time[1]}
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One window of one bound: how many it allows, how many are left, and in how many seconds it is whole again."""

    name: str
    limit: int
    remaining: int
    window_seconds: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Admitted or not; `retry_after_seconds` and `binding` are set when not. `degraded`: Redis did not decide."""

    admitted: bool
    layers: tuple[Layer, ...]
    retry_after_seconds: int = 0
    binding: str = ""
    degraded: bool = False


class StaleCredential(Exception):
    """The organisation's epoch has moved on: load the credential again. Nothing was counted."""


class Limiter:
    """Decides admissions on Redis; every process uses the same lists, so together they are exact."""

    def __init__(self, redis: Redis, pipe: RedisPipe | None = None) -> None:
        self._redis = redis
        self._script: AsyncScript | PipeScript = PipeScript(pipe, _ADMIT) if pipe else redis.register_script(_ADMIT)

    async def read_epoch(self, org_id: UUID) -> str:
        """The epoch to load a credential under; read it before the database, never after."""
        key = _epoch_key(org_id)
        value: Any = await self._redis.get(key)
        if value is None:
            new = _new_epoch()
            value = await self._redis.set(key, new, nx=True, get=True)
            return value.decode() if value else new
        return value.decode()

    async def raise_epoch(self, org_id: UUID) -> None:
        """Make every process load this organisation's credentials again before its next request."""
        await self._redis.set(_epoch_key(org_id), _new_epoch())

    async def decide(self, credential: Credential, epoch: str | None) -> Decision:
        """Admit or refuse one request, atomically over all layers; no epoch for a credential read for this request.

        Raises:
            StaleCredential: `epoch` is no longer the organisation's. RedisError: Redis is away.
        """
        actor = credential.actor
        limits = (
            credential.org_requests_per_minute,
            credential.org_requests_per_day,
            credential.requests_per_minute or 0,
            credential.requests_per_day or 0,
        )
        answer = await self._script(keys=_name_keys(actor.org_id, actor.key_id), args=(epoch or "", *limits))
        if answer[0] == -1:
            raise StaleCredential
        return _read_answer(answer, limits)

    async def count_recent(self, credential: Credential) -> tuple[int, int]:
        """Requests of the organisation in the last minute and this UTC day."""
        tag = f"limit:{{{credential.actor.org_id}}}"
        clock: Any = await self._redis.time()  # pyright: ignore[reportUnknownMemberType]
        seconds, micros = clock
        since = (seconds - MINUTE_SECONDS) * 1_000_000 + micros
        times: Any = await self._redis.lrange(f"{tag}:minute", 0, -1)  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        stored: Any = await self._redis.hmget(f"{tag}:day", ["day", "used"])  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        day, used = stored
        today = day is not None and int(day) == seconds // DAY_SECONDS
        return sum(1 for time in times if int(time) > since), int(used or 0) if today else 0


async def count_attempt(redis: Redis, name: str, *, limit: int, seconds: int) -> bool:
    """Count an attempt at something guarded (a sign-in, a sign-up); False when there were too many in the window.

    The window begins with the first attempt; it is made with its expiry, so that none can stay for ever.
    """
    key = f"attempts:{name}"
    await redis.set(key, b"0", ex=seconds, nx=True)
    return int(await redis.incr(key)) <= limit


def _new_epoch() -> str:
    """Random, so that a server that has lost its data can never bring an old one back by counting."""
    return secrets.token_hex(8)


@lru_cache(maxsize=10_000)
def _name_keys(org_id: UUID, key_id: UUID | None) -> tuple[str, ...]:
    """The script's keys, in its order."""
    tag = f"limit:{{{org_id}}}"
    return _epoch_key(org_id), f"{tag}:minute", f"{tag}:day", f"{tag}:{key_id}:minute", f"{tag}:{key_id}:day"


def _epoch_key(org_id: UUID) -> str:
    return f"epoch:{{{org_id}}}"


def _read_answer(answer: list[int], limits: tuple[int, int, int, int]) -> Decision:
    names = ("org-minute", "org-day", "key-minute", "key-day")
    until_midnight = int(answer[8])
    layers = tuple(
        Layer(
            name=names[index],
            limit=limits[index],
            remaining=max(0, int(answer[4 + index])),
            window_seconds=DAY_SECONDS if index % 2 else MINUTE_SECONDS,
            reset_seconds=until_midnight if index % 2 else MINUTE_SECONDS,
        )
        for index in range(4)
        if limits[index]
    )
    if answer[0] == 1:
        return Decision(True, layers)
    return Decision(False, layers, max(1, int(answer[2])), names[int(answer[3]) - 1])
