"""From an Authorization header to an actor: form, key, organisation, limits; then the operation asks for its scope.

Each process keeps the credentials it has seen, each under the epoch it was loaded at. The limit script compares that
epoch in the round trip every request makes anyway, so a credential that has changed is never acted on.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from contextlib import suppress
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.actors import Actor
from ontology.addresses import Source
from ontology.credentials import Credential, find_credential
from ontology.database import open_lookup, open_transaction
from ontology.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    Flaw,
    GroupArchived,
    InvalidApiKey,
    MissingApiKey,
    OriginNotAllowed,
    PortalError,
    RateLimitExceeded,
)
from ontology.events import record_event
from ontology.ids import encode_id
from ontology.key_secrets import digest_key
from ontology.limits import Decision, Layer, Limiter, StaleCredential
from ontology.records import utc_now
from ontology.redis_client import Redis, RedisError, drop_connections
from ontology.redis_pipe import RedisPipe
from ontology.wrong_keys import WRONG_KEYS_MAX, WrongKeys

CREDENTIALS_MAX = 10_000
STALE_TRIES = 3
REDIS_REST_SECONDS = 1.0
HEADER_LENGTH_MAX = 200
_REFUSALS_OF_A_KNOWN_KEY = (InvalidApiKey, ExpiredApiKey, GroupArchived, AddressNotAllowed, OriginNotAllowed)


class LocalLimiter:
    """Stands in while Redis is away: a share of each organisation's minute, so all processes together stay under."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._times: dict[str, deque[float]] = {}

    def decide(self, credential: Credential, now: float) -> Decision:
        limit = max(1, credential.org_requests_per_minute // self._processes)
        if credential.requests_per_minute is not None:
            limit = max(1, min(limit, credential.requests_per_minute // self._processes))
        times = self._times.setdefault(str(credential.actor.org_id), deque())
        while times and times[0] <= now - 60:
            times.popleft()
        admitted = len(times) < limit
        if admitted:
            times.append(now)
        layers = (Layer("org-minute", limit, limit - len(times), 60, 60),)
        wait = 0 if admitted else max(1, int(times[0] + 60 - now) + 1)
        return Decision(admitted, layers, wait, "" if admitted else "org-minute", degraded=True)


class Authenticator:
    """Decides who asks and whether they may ask now."""

    def __init__(
        self, engine: AsyncEngine, redis: Redis, pipe: RedisPipe | None, *, pepper: str, processes: int
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._pepper = pepper
        self._known: OrderedDict[bytes, tuple[str, Credential]] = OrderedDict()
        self._digests: OrderedDict[bytes, bytes] = OrderedDict()
        self._loading: dict[bytes, asyncio.Task[tuple[str, Credential]]] = {}
        self._forgotten = 0
        self._local = LocalLimiter(processes)
        self._redis_rests_until = 0.0
        self._wrong_keys = WrongKeys(redis)
        self.limiter = Limiter(redis, pipe)

    @property
    def _redis_rests(self) -> bool:
        """Whether Redis failed a moment ago. Only a failure begins a rest, so that traffic cannot make it endless."""
        return time.monotonic() < self._redis_rests_until

    def forget_all(self) -> None:
        """Drop every cached credential: the Redis server is not the one that vouched for them."""
        self._known.clear()
        self._loading.clear()
        self._forgotten += 1

    async def authenticate(
        self, header: str | None, now: datetime, request_id: str, source: Source
    ) -> tuple[Actor, Credential, Decision]:
        """The actor behind a header, and whether its request is admitted, in which case it is counted.

        A refusal by limit is not raised here: its answer needs the decision for the headers, and the log the actor.

        Raises:
            MissingApiKey, InvalidApiKey, ExpiredApiKey, GroupArchived, AddressNotAllowed, OriginNotAllowed.
            RateLimitExceeded: too many wrong keys from this address, and this one is wrong too.
        """
        try:
            found = await self._authenticate(header, now, request_id, source)
        except InvalidApiKey:
            await self._slow_down(source)
            raise
        with suppress(RedisError):
            await self._wrong_keys.end_row(source.address)
        return found

    async def _authenticate(
        self, header: str | None, now: datetime, request_id: str, source: Source
    ) -> tuple[Actor, Credential, Decision]:
        digest = self._digest(read_bearer(header))
        try:
            if self._redis_rests:
                actor, credential, decision = await self._decide_locally(digest, now, request_id, source)
            else:
                actor, credential, decision = await self._decide(digest, now, request_id, source)
        except RedisError:
            self._redis_rests_until = time.monotonic() + REDIS_REST_SECONDS
            self.forget_all()
            await drop_connections(self._redis)
            actor, credential, decision = await self._decide_locally(digest, now, request_id, source)
        if not decision.admitted:
            await self._note_refusal(credential, decision, request_id)
        return actor, credential, decision

    async def renew(self, header: str | None, actor: Actor, source: Source) -> Actor:
        """The actor behind a key as it is now, for an answer that stays open; counts no request.

        Raises:
            InvalidApiKey, ExpiredApiKey, GroupArchived, AddressNotAllowed, OriginNotAllowed: it may no longer be used.
        """
        digest = self._digest(read_bearer(header))
        try:
            epoch = await self.limiter.read_epoch(actor.org_id)
            known = self._known.get(digest)
            if known is None or known[0] != epoch:
                known = await self._load(digest)
            credential = known[1]
        except RedisError:
            credential = await self._look_up(digest)
        return credential.admit(utc_now(), actor.request_id or "", source)

    async def identify(self, header: str, status: int) -> Actor | None:
        """Whose key was sent with a request that was refused with `status`, for the log; nothing is allowed by it.

        A key that was just looked up is known, or was found to be nobody's (401): only others are worth a look-up.
        """
        try:
            digest = self._digest(read_bearer(header or None))
        except PortalError:
            return None
        if (known := self._known.get(digest)) is not None:
            return known[1].actor
        if status == 401 and not self._redis_rests:
            return None
        with suppress(SQLAlchemyError, OSError, InvalidApiKey):
            return (await self._look_up(digest)).actor
        return None

    async def _slow_down(self, source: Source) -> None:
        """While Redis is away wrong keys are refused as ever, only not slowed."""
        if self._redis_rests:
            return
        try:
            waiting = await self._wrong_keys.count(source.address)
        except RedisError:
            return
        if waiting:
            raise RateLimitExceeded(
                f"{WRONG_KEYS_MAX} requests with wrong keys came from your address; further ones are refused for "
                f"{waiting} seconds. Requests with a valid key are answered as ever.",
                retry_after_seconds=waiting,
            ) from None

    def _digest(self, key: str) -> bytes:
        """`digest_key`, remembered under a plain hash: of 256 random bits it gives away nothing, and it is much faster.

        Raises:
            InvalidApiKey: not of a key's form.
        """
        mark = hashlib.sha256(key.encode()).digest()
        digest = self._digests.get(mark)
        if digest is None:
            digest = self._digests[mark] = digest_key(key, self._pepper)
            if len(self._digests) > CREDENTIALS_MAX:
                self._digests.popitem(last=False)
        return digest

    async def _decide(
        self, digest: bytes, now: datetime, request_id: str, source: Source
    ) -> tuple[Actor, Credential, Decision]:
        for _ in range(STALE_TRIES):
            forgotten = self._forgotten
            epoch, credential = self._known.get(digest) or await self._load_shared(digest)
            try:
                actor = await self._admit(credential, now, request_id, source, cached_epoch=epoch)
                decision = await self.limiter.decide(credential, epoch)
            except StaleCredential:
                self._known.pop(digest, None)
                continue
            if forgotten != self._forgotten:
                # A new server answered for a credential that it never vouched for; what it counted stands.
                _, credential = await self._load(digest)
                actor = credential.admit(now, request_id, source)
            return actor, credential, decision
        # Somebody raises the epoch faster than a credential is loaded under one. Read from the database after the
        # request came in, it holds for this request whatever the epoch; the limits are still decided by Redis.
        _, credential = await self._load(digest)
        return credential.admit(now, request_id, source), credential, await self.limiter.decide(credential, None)

    async def _admit(
        self, credential: Credential, now: datetime, request_id: str, source: Source, *, cached_epoch: str
    ) -> Actor:
        """A refusal is final only under the present epoch: a restored group or a new plan must count at once."""
        try:
            return credential.admit(now, request_id, source)
        except PortalError as refusal:
            if await self.limiter.read_epoch(credential.actor.org_id) != cached_epoch:
                raise StaleCredential from None
            await self._note_failure(credential, refusal, request_id, source)
            raise

    async def _decide_locally(
        self, digest: bytes, now: datetime, request_id: str, source: Source
    ) -> tuple[Actor, Credential, Decision]:
        credential = await self._look_up(digest)
        actor = credential.admit(now, request_id, source)
        return actor, credential, self._local.decide(credential, time.monotonic())

    async def _load_shared(self, digest: bytes) -> tuple[str, Credential]:
        """Load a credential once for all who ask for it meanwhile: many of them must not use up the pool.

        It may have been read before a request came in; whoever goes by it compares its epoch afterwards.
        """
        loading = self._loading.get(digest)
        if loading is None:
            loading = self._loading[digest] = asyncio.create_task(self._load(digest))
            loading.add_done_callback(lambda task: self._end_loading(digest, task))
        return await asyncio.shield(loading)

    def _end_loading(self, digest: bytes, task: "asyncio.Task[tuple[str, Credential]]") -> None:
        if self._loading.get(digest) is task:
            del self._loading[digest]
        if not task.cancelled():
            task.exception()  # those who asked have it; where none is left, it is nobody's

    async def _load(self, digest: bytes) -> tuple[str, Credential]:
        """Load a credential under the epoch read before it; a change in between makes it stale, not wrong.

        It is not kept when the server that gave the epoch was replaced meanwhile.
        """
        forgotten = self._forgotten
        first = await self._look_up(digest)
        epoch = await self.limiter.read_epoch(first.actor.org_id)
        credential = await self._look_up(digest)
        if forgotten == self._forgotten:
            self._known[digest] = (epoch, credential)
        if len(self._known) > CREDENTIALS_MAX:
            self._known.popitem(last=False)
        return epoch, credential

    async def _look_up(self, digest: bytes) -> Credential:
        """A credential as the database has it now.

        Raises:
            InvalidApiKey: it has none.
        """
        async with open_lookup(self._engine, key_digest=digest.hex()) as session:
            credential = await find_credential(session, digest)
        if credential is None:
            raise InvalidApiKey
        return credential

    async def _note_failure(
        self, credential: Credential, refusal: PortalError, request_id: str, source: Source
    ) -> None:
        """The organisation sees that one of its keys was refused, why, and where the request came from."""
        expected = isinstance(refusal, _REFUSALS_OF_A_KNOWN_KEY)
        if expected and await self._is_first(credential, "refused", 1):
            told = {"reason": refusal.code, "ipAddress": source.address}
            await self._record(credential, "api_auth_failed", told, request_id)

    async def _note_refusal(self, credential: Credential, decision: Decision, request_id: str) -> None:
        """One event per key and minute; the request log has every refusal."""
        if not decision.degraded and await self._is_first(credential, "limited", 60):
            kind = "day" if decision.binding.endswith("day") else "minute"
            await self._record(credential, "quota_exceeded", {"limitType": kind}, request_id)

    async def _is_first(self, credential: Credential, what: str, seconds: int) -> bool:
        """Whether this is the key's first refusal in a while: a flood of them must not become a flood of writes."""
        mark = f"limit:{{{credential.actor.org_id}}}:{credential.actor.key_id}:{what}"
        return bool(await self._redis.set(mark, b"1", ex=seconds, nx=True))

    async def _record(self, credential: Credential, type: str, metadata: dict[str, str], request_id: str) -> None:
        actor = credential.actor.for_request(request_id)
        key_id = encode_id("thing", actor.key_id) if actor.key_id else ""
        told = {"keyId": key_id, "keyPrefix": credential.prefix} | metadata

        async with open_transaction(self._engine, actor) as session:
            record_event(session, actor, type, group_id=actor.group_id, target_id=key_id, metadata=told)


class RateLimitRefused(RateLimitExceeded):
    """A refusal by rate limit that names the layer which binds and how long to wait."""

    def __init__(self, decision: Decision) -> None:
        layer = next((layer for layer in decision.layers if layer.name == decision.binding), None)
        allowed = f"{layer.limit} requests in {layer.window_seconds} seconds" if layer else "the limit"
        wait = decision.retry_after_seconds
        super().__init__(
            f"The limit `{decision.binding}` of {allowed} is used up; try again in {wait} seconds.",
            retry_after_seconds=wait,
        )


def read_bearer(header: str | None) -> str:
    """The key in an Authorization header.

    Raises:
        MissingApiKey: no header. InvalidApiKey: another scheme, or not one token.
    """
    if header is None:
        raise MissingApiKey(flaws=[Flaw("header.Authorization", "is required", "send `Bearer <your key>`")])
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key or len(header) > HEADER_LENGTH_MAX:
        raise InvalidApiKey(
            flaws=[Flaw("header.Authorization", "is not `Bearer` and one key", "send `Bearer <your key>`")]
        )
    return key
