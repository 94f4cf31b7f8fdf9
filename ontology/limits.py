"""Rate limits, exact, and the authorisation epoch, in one round trip.

The rule: in any 60 seconds of Redis's clock at most L requests are admitted, and one is refused only if L were
admitted in the 60 seconds before it. The day is the UTC day. A request passes when every layer (key and organisation,
minute and day) admits it, and is counted in all of them or in none.

The last admission times of a window are a list, oldest first, from which those that left the window are dropped: its
length is the number in the window, and each time is added and dropped once.
"""

import asyncio
import secrets
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from ontology.credentials import Credential
from ontology.redis_client import AsyncScript, Redis
from ontology.redis_pipe import PipeScript, RedisPipe

MINUTE_SECONDS = 60
DAY_SECONDS = 86_400

# Keys: epoch, organisation minute, organisation day, key minute, key day. They share the organisation's hash tag.
# Arguments: the epoch the caller knows ('' when it has read the database for this very request), then the four limits
# in the order of the keys (0: no such layer), then how many requests ask, of which the first are admitted.
# Times are micro-seconds kept as integers written with %d: a Lua number printed plainly loses digits.
_ADMIT = """
local known = ARGV[1]
local epoch = redis.call('GET', KEYS[1])
if known ~= '' and known ~= epoch then return {-1} end
local asked = tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(time[1] / 86400)
local left, days, admitted = {-1, -1, -1, -1}, {}, asked
for layer = 1, 4 do
  local limit = tonumber(ARGV[layer + 1])
  local key = KEYS[layer + 1]
  if limit > 0 then
    if layer % 2 == 1 then
      local newest = redis.call('LINDEX', key, -1)
      if newest and tonumber(newest) > now then now = tonumber(newest) end
      local oldest = redis.call('LINDEX', key, 0)
      while oldest and tonumber(oldest) <= now - 60000000 do
        redis.call('LPOP', key)
        oldest = redis.call('LINDEX', key, 0)
      end
      left[layer] = limit - redis.call('LLEN', key)
    else
      local stored = redis.call('HMGET', key, 'day', 'used')
      local day, used = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
      if day < today then day, used = today, 0 end
      days[layer] = day
      left[layer] = limit - used
    end
    admitted = math.max(0, math.min(admitted, left[layer]))
  end
end
if admitted > 0 then
  local moment, moments = string.format('%d', now), {}
  for number = 1, admitted do moments[number] = moment end
  for layer = 1, 4 do
    local limit = tonumber(ARGV[layer + 1])
    local key = KEYS[layer + 1]
    if limit > 0 then
      left[layer] = left[layer] - admitted
      if layer % 2 == 1 then
        redis.call('RPUSH', key, unpack(moments))
        redis.call('PEXPIRE', key, 61000)
      else
        redis.call('HSET', key, 'day', days[layer], 'used', limit - left[layer])
        redis.call('EXPIRE', key, 172800)
      end
    end
  end
end
local wait, binding = 0, 0
if admitted < asked then
  for layer = 1, 4 do
    if tonumber(ARGV[layer + 1]) > 0 and left[layer] <= 0 then
      local pause = (today + 1) * 86400 - time[1]
      if layer % 2 == 1 then
        local freeing = tonumber(redis.call('LINDEX', KEYS[layer + 1], -left[layer]))
        pause = math.ceil((freeing + 60000000 - now) / 1000000)
      end
      if pause > wait then wait, binding = pause, layer end
    end
  end
end
return {admitted, wait, binding, left[1], left[2], left[3], left[4], (today + 1) * 86400 - time[1]}
"""
TOGETHER_MAX = 100
_NAMES = ("org-minute", "org-day", "key-minute", "key-day")


class Layer(msgspec.Struct, frozen=True):
    """One window of one bound: how many it allows, how many are left, and in how many seconds it is whole again."""

    name: str
    limit: int
    remaining: int
    window_seconds: int
    reset_seconds: int


class Decision(msgspec.Struct, frozen=True):
    """Admitted or not; `retry_after_seconds` and `binding` are set when not. `degraded`: Redis did not decide."""

    admitted: bool
    layers: tuple[Layer, ...]
    retry_after_seconds: int = 0
    binding: str = ""
    degraded: bool = False


class _Question(NamedTuple):
    """What requests have in common that can be decided together."""

    org_id: UUID
    key_id: UUID | None
    epoch: str
    limits: tuple[int, int, int, int]


class StaleCredential(Exception):
    """The organisation's epoch has moved on: load the credential again. Nothing was counted."""


class Limiter:
    """Decides admissions on Redis; every process uses the same lists, so together they are exact."""

    def __init__(self, redis: Redis, pipe: RedisPipe | None = None) -> None:
        self._redis = redis
        self._script: AsyncScript | PipeScript = PipeScript(pipe, _ADMIT) if pipe else redis.register_script(_ADMIT)
        self._waiting: dict[_Question, list[asyncio.Future[Decision]]] = {}
        self._asking: set[asyncio.Task[None]] = set()

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

        Requests of one key that come while others of it are being decided are decided together, in their order, by
        one call of the script: as exact, and cheaper the more there are.

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
        question = _Question(actor.org_id, actor.key_id, epoch or "", limits)
        decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(question)
        if waiting is None:
            self._waiting[question] = [decided]
            asking = asyncio.create_task(self._ask(question))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        else:
            waiting.append(decided)
        return await decided

    async def _ask(self, question: _Question) -> None:
        """Until nobody waits for its answer; who has stopped waiting is counted all the same."""
        while waiting := self._waiting[question]:
            together, self._waiting[question] = waiting[:TOGETHER_MAX], waiting[TOGETHER_MAX:]
            keys = _name_keys(question.org_id, question.key_id)
            try:
                answer = await self._script(keys=keys, args=(question.epoch, *question.limits, len(together)))
                decisions = _read_answer(answer, question.limits, len(together))
            except Exception as error:  # and it would be no other for those who have come meanwhile
                refused, self._waiting[question] = together + self._waiting[question], []
                for decided in refused:
                    if not decided.done():
                        decided.set_exception(error)
            else:
                for decided, decision in zip(together, decisions, strict=True):
                    if not decided.done():
                        decided.set_result(decision)
        del self._waiting[question]

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


def _read_answer(answer: list[int], limits: tuple[int, int, int, int], asked: int) -> list[Decision]:
    """What the script decided for each that asked, in their order.

    Raises:
        StaleCredential: nothing was decided.
    """
    if answer[0] == -1:
        raise StaleCredential
    admitted, wait, binding, *left, until_midnight = answer

    def describe_layers(later: int) -> tuple[Layer, ...]:
        """As it was when `later` more were still to be admitted."""
        return tuple(
            [
                Layer(
                    name=_NAMES[index],
                    limit=limits[index],
                    remaining=max(0, left[index] + later),
                    window_seconds=DAY_SECONDS if index % 2 else MINUTE_SECONDS,
                    reset_seconds=until_midnight if index % 2 else MINUTE_SECONDS,
                )
                for index in range(4)
                if limits[index]
            ]
        )

    decisions = [Decision(True, describe_layers(later)) for later in reversed(range(admitted))]
    if admitted < asked:
        refused = Decision(False, describe_layers(0), max(1, wait), _NAMES[binding - 1])
        decisions += [refused] * (asked - admitted)
    return decisions
