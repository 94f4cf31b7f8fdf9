"""API keys that exist: read, changed, and dead on the request after they are revoked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.errors import Conflict, Flaw, NotFound, PrivilegeEscalation
from ontology.events import record_event
from ontology.ids import encode_id
from ontology.key_bounds import KeyBounds, find_end, find_wider
from ontology.key_shapes import ApiKey, ApiKeyUpdate, KeyUse, describe_key
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.records import refuse_nulls, to_epoch_ms
from ontology.scopes import Scope, expand_scopes
from ontology.thing_rows import Status, Thing

REVOKED = Status.INACTIVE


async def get_key(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> ApiKey:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    key = await find_key(session, actor, key_id)
    return describe_key(key, await find_use(session, actor, key), now)


async def list_keys(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[ApiKey]:
    """Keys within reach, newest first, revoked ones included."""
    query = Thing.visible_to(actor).where(col(Thing.type) == "api_key")
    found = await fetch_page(session, actor, query, Thing.id, page, describe_list("keys"))
    ids = [key.id for key in found.rows]
    uses = await session.exec(KeyUse.visible_to(actor).where(col(KeyUse.key_id).in_(ids)))
    by_key = {use.key_id: use for use in uses.all()}
    return Page([describe_key(key, by_key.get(key.id), now) for key in found.rows], found.next_cursor)


async def revoke_key(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> ApiKey:
    """Revoke a key; every request sent after the answer is refused, on every process.

    The caller raises the organisation's authorisation epoch after commit and before it answers. Revoking twice is
    harmless. Requests already admitted finish.

    Raises:
        NotFound: no such key within the actor's reach. PrivilegeEscalation: the key is wider than the actor.
    """
    key = await lock_manageable(session, actor, key_id)
    if key.status == Status.ACTIVE:
        end_key(session, actor, key, now)
    return describe_key(key, await find_use(session, actor, key), now)


async def update_key(session: AsyncSession, actor: Actor, key_id: UUID, change: ApiKeyUpdate, now: datetime) -> ApiKey:
    """Change what a live key is called and narrow what it may do; never wider than the changing key.

    The caller raises the authorisation epoch after commit, so that the change holds from the next request on.

    Raises:
        NotFound, PrivilegeEscalation. Conflict: the key is revoked or has ended. InvalidRequest: no name.
    """
    refuse_nulls(change, "name", "scopes")
    given = change.model_dump(by_alias=True, exclude_unset=True, mode="json")
    key = await lock_manageable(session, actor, key_id)
    refuse_ended(key, now)
    properties = key.properties | {name: value for name, value in given.items() if name != "name"}
    if change.scopes is not None:
        wanted = expand_scopes(change.scopes)
        refuse_gain(key, wanted)
        properties["scopes"] = sorted(wanted)
    await refuse_wider(session, actor, KeyBounds.of_properties(properties))
    key.name, key.properties, key.updated_at = change.name or key.name, properties, now
    record_key_event(session, actor, "thing_updated", key, thingType="api_key", action="changed", fields=sorted(given))
    return describe_key(key, await find_use(session, actor, key), now)


def end_key(
    session: AsyncSession,
    actor: Actor,
    key: Thing,
    now: datetime,
    reason: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Revoke a live key that its caller has checked and locked, with its event."""
    key.status, key.updated_at = REVOKED, now
    key.properties = key.properties | {"revokedAt": to_epoch_ms(now), "revokedReason": reason}
    told = {"prefix": key.properties["prefix"]} | ({"reason": reason} if reason else {}) | dict(more or {})
    record_key_event(session, actor, "api_key_revoked", key, **told)


def refuse_gain(key: Thing, wanted: frozenset[Scope]) -> None:
    """Raises: PrivilegeEscalation: a scope that the key does not have."""
    held = expand_scopes(Scope(scope) for scope in key.properties["scopes"])
    if gained := sorted(wanted - held):
        flaws = [Flaw("body.scopes", f"the key itself lacks `{scope}`", "leave it out") for scope in gained]
        raise PrivilegeEscalation(flaws=flaws)


def refuse_ended(key: Thing, now: datetime) -> None:
    """Raises: Conflict: the key is revoked or has ended, and what has ended stays as it is."""
    end = find_end(key.properties)
    if key.status != Status.ACTIVE or (end is not None and end <= to_epoch_ms(now)):
        raise Conflict("The key has ended and cannot be changed; create a new one.", leads_to=("createApiKey",))


async def refuse_wider(session: AsyncSession, actor: Actor, asked: KeyBounds) -> None:
    """A key is never wider than the one that makes or changes it; a person is bound by scopes alone.

    Raises:
        PrivilegeEscalation: naming each place that is wider.
    """
    if actor.key_id is None:
        own = KeyBounds(actor.scopes)
    else:
        own = KeyBounds.of_properties((await find_key(session, actor, actor.key_id)).properties)
    flaws: Sequence[Flaw] = find_wider(own, asked)
    if flaws:
        raise PrivilegeEscalation(flaws=flaws)


async def find_key(session: AsyncSession, actor: Actor, key_id: UUID, *, lock: bool = False) -> Thing:
    """The thing that a key is.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
    """
    query = Thing.visible_to(actor).where(col(Thing.id) == key_id, col(Thing.type) == "api_key")
    if (found := (await session.exec(query.with_for_update() if lock else query)).first()) is None:
        raise NotFound
    return found


async def find_use(session: AsyncSession, actor: Actor, key: Thing) -> KeyUse | None:
    return (await session.exec(KeyUse.visible_to(actor).where(col(KeyUse.key_id) == key.id))).first()


async def lock_manageable(session: AsyncSession, actor: Actor, key_id: UUID) -> Thing:
    """A key to change, locked until commit.

    Raises:
        NotFound. PrivilegeEscalation: it has scopes the actor lacks.
    """
    key = await find_key(session, actor, key_id, lock=True)
    refuse_narrower(actor, key)
    return key


def refuse_narrower(actor: Actor, key: Thing) -> None:
    """Raises: PrivilegeEscalation: the key has scopes the actor lacks."""
    if not expand_scopes(Scope(scope) for scope in key.properties["scopes"]) <= actor.scopes:
        raise PrivilegeEscalation("A key cannot change or end one that has scopes it lacks.")


def record_key_event(session: AsyncSession, actor: Actor, type: str, key: Thing, **more: Any) -> None:
    """An event about a key; never with its text."""
    target = encode_id("thing", key.id)
    record_event(session, actor, type, group_id=key.group_id, target_id=target, metadata={"keyId": target} | more)
