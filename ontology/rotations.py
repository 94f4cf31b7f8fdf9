"""Rotations: a key replaced by another, while the old one goes on for a grace period and its further use is seen.

The end of the grace period is compared at every use of the key, so no job has to run for it to be dead on time.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import Field as PydanticField
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.errors import Conflict, Flaw, NotFound
from ontology.groups import get_active_group
from ontology.ids import ThingId, decode_id, encode_id
from ontology.key_bounds import BEFORE_LEAK, KeyBounds
from ontology.key_issuing import issue_twin
from ontology.key_shapes import NewApiKey, ScopeList, describe_status
from ontology.keys import (
    end_key,
    find_key,
    find_use,
    lock_manageable,
    record_key_event,
    refuse_ended,
    refuse_gain,
    refuse_wider,
)
from ontology.records import WHOLE, Input, Moment, Record, parse_moment, to_epoch_ms
from ontology.scopes import Scope, expand_scopes
from ontology.thing_rows import Thing

GRACE_HOURS_DEFAULT, GRACE_HOURS_MAX = 24, 7 * 24


class RotationCreate(Input):
    """How a key is replaced; with nothing given, by one with the same rights, after a day."""

    grace_hours: Annotated[int, PydanticField(ge=0, le=GRACE_HOURS_MAX, examples=[48]), WHOLE] = PydanticField(
        default=GRACE_HOURS_DEFAULT,
        description="How many hours the old key goes on working, from 0 (not at all) to 168 (seven days).",
    )
    scopes: ScopeList | None = PydanticField(
        default=None,
        description="Fewer scopes for the new key; else it has those of the old one.",
        examples=[["entities:read"]],
    )


class RotatedKey(NewApiKey):
    """The new key, with its text this once, and until when the old one still works."""

    replaces: ThingId
    old_key_until: Moment


class Rotation(Record):
    """A rotation under way or over, and whether the old key is still in use."""

    old_key_id: ThingId
    new_key_id: ThingId
    started_at: Moment
    until: Moment
    old_key_status: str
    used_since_start: bool
    last_used_at: Moment | None
    last_used_ip: str | None
    last_used_agent: str | None


async def rotate_key(
    session: AsyncSession, actor: Actor, key_id: UUID, how: RotationCreate, *, pepper: str, now: datetime
) -> RotatedKey:
    """Replace a key by a new one in the same group, of the same application, limits, life and places of use.

    The old key's row is locked, so parallel rotations make one new key. The caller raises the authorisation epoch
    after commit.

    Raises:
        NotFound, GroupArchived. PrivilegeEscalation: the new key would have more than the old or the acting one.
        Conflict: the key has ended, or has been replaced already.
    """
    old = await lock_manageable(session, actor, key_id)
    refuse_ended(old, now)
    if successor := old.properties.get("replacedBy"):
        flaw = Flaw("path.keyId", "has been replaced already", f"rotate `{successor}`, which replaced it")
        raise Conflict("The key has been rotated before.", flaws=[flaw], leads_to=("getApiKeyRotation", "rotateApiKey"))
    scopes = expand_scopes(how.scopes or [Scope(scope) for scope in old.properties["scopes"]])
    refuse_gain(old, scopes)
    rights = old.properties | {"scopes": sorted(scopes)}
    if BEFORE_LEAK in rights:  # a leak shortens the life of the key that leaked, not of the one that replaces it
        rights["expiresAt"] = rights[BEFORE_LEAK]
    await refuse_wider(session, actor, KeyBounds.of_properties(rights))
    group = await get_active_group(session, actor, old.group_id)
    new = await issue_twin(session, actor, old, rights, group=group, pepper=pepper)
    until = _set_end(session, actor, old, new.id, how.grace_hours, now)
    return RotatedKey.model_construct(**dict(new), replaces=old.id, old_key_until=until)


def _set_end(
    session: AsyncSession, actor: Actor, old: Thing, new_id: UUID, grace_hours: int, now: datetime
) -> datetime:
    until = now + timedelta(hours=grace_hours)
    old.properties = old.properties | {
        "replacedBy": encode_id("thing", new_id),
        "rotatedAt": to_epoch_ms(now),
        "rotatingUntil": to_epoch_ms(until),
    }
    old.updated_at = now
    told = {"thingType": "api_key", "action": "rotated", "replacedBy": old.properties["replacedBy"]}
    record_key_event(session, actor, "thing_updated", old, rotatingUntil=to_epoch_ms(until), **told)
    if grace_hours == 0:
        end_key(session, actor, old, now, "rotated")
    return until


async def get_rotation(session: AsyncSession, actor: Actor, key_id: UUID, now: datetime) -> Rotation:
    """How the rotation of a key stands.

    Raises:
        NotFound: no such key within reach, or it has not been rotated.
    """
    key = await find_key(session, actor, key_id)
    successor = key.properties.get("replacedBy")
    if successor is None:
        raise NotFound
    use = await find_use(session, actor, key)
    started, until = (parse_moment(key.properties[name]) for name in ("rotatedAt", "rotatingUntil"))
    return Rotation.model_construct(
        old_key_id=key.id,
        new_key_id=decode_id(successor)[1],
        started_at=started,
        until=until,
        old_key_status=describe_status(key.status, key.properties, now),
        used_since_start=use is not None and use.last_used_at > started,
        last_used_at=use.last_used_at if use else None,
        last_used_ip=use.last_used_ip if use else None,
        last_used_agent=use.last_used_agent if use else None,
    )
