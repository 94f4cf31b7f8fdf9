"""Many changes of things at once: every item has an outcome, and the whole takes a handful of statements.

Everything is checked before anything is changed, so an item that is refused leaves nothing behind and needs no
savepoint. Locks are taken in one order (rows by id, then quotas by group), so that batches do not block each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from pydantic import Field as PydanticField
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count
from ontology.errors import Flaw, NotFound, PortalError, QuotaExceeded
from ontology.events import record_event, record_full
from ontology.groups import Group, get_active_group
from ontology.ids import ThingId
from ontology.plans import PLAN_LIMITS
from ontology.records import Input
from ontology.scopes import Scope
from ontology.thing_lists import count_things
from ontology.thing_rows import Thing
from ontology.things import (
    ThingCreate,
    ThingUpdate,
    apply_delete,
    apply_update,
    build_thing,
    finish_deletions,
    record_creation,
    require_generic,
)
from ontology.vocabulary import THING_TYPES

ITEMS_MAX = 1_000


class BatchCreate(ThingCreate):
    """Create an entity; `operation` may be left out."""

    operation: Literal["create"] = PydanticField(default="create", description="`create`.")


class BatchUpdate(ThingUpdate):
    """Update an entity: a JSON Merge Patch, as `PATCH` takes it."""

    operation: Literal["update"] = PydanticField(description="`update`.")
    id: ThingId = PydanticField(alias="_id", description="The entity to update.")


class BatchDelete(Input):
    """Delete an entity."""

    operation: Literal["delete"] = PydanticField(description="`delete`.")
    id: ThingId = PydanticField(alias="_id", description="The entity to delete.")


Change = BatchCreate | BatchUpdate | BatchDelete
Outcome = Thing | PortalError


@dataclass
class _Batch:
    """What the items stand on, looked up once each."""

    session: AsyncSession
    actor: Actor
    groups: dict[UUID, Group | PortalError] = field(default_factory=dict[UUID, Group | PortalError])
    things: dict[UUID, Thing] = field(default_factory=dict[UUID, Thing])
    places_left: dict[UUID, int] = field(default_factory=dict[UUID, int])
    created: list[Thing] = field(default_factory=list[Thing])
    deleted: list[Thing] = field(default_factory=list[Thing])


async def change_things(
    session: AsyncSession, actor: Actor, items: Sequence[Change | PortalError], *, atomic: bool
) -> list[Outcome]:
    """Apply changes in order, each with its event, and one event for the whole; what became of each, by place.

    An item that is a refusal already stays one. Quotas are exact: places freed by a deletion count for what follows.

    Raises:
        PortalError: with `atomic`, the first item's refusal naming the places of all, and nothing is changed.
    """
    batch = _Batch(session, actor)
    await _load_things(batch, items)
    await _load_groups(batch, items)
    await _load_quotas(batch, items)
    outcomes = [_apply(batch, item) for item in items]
    if atomic:
        _refuse_if_any(outcomes)
    await _store(batch)
    _record_summary(batch, outcomes, atomic=atomic)
    return outcomes


async def _load_things(batch: _Batch, items: Sequence[Change | PortalError]) -> None:
    wanted = {item.id for item in items if isinstance(item, (BatchUpdate, BatchDelete))}
    if wanted:
        query = Thing.visible_to(batch.actor).where(col(Thing.id).in_(wanted)).order_by(col(Thing.id))
        found = (await batch.session.exec(query.with_for_update())).all()
        batch.things = {thing.id: thing for thing in found}


async def _load_groups(batch: _Batch, items: Sequence[Change | PortalError]) -> None:
    wanted = {_group_of(batch, item) for item in items if isinstance(item, BatchCreate)}
    for group_id in wanted | {thing.group_id for thing in batch.things.values()}:
        try:
            batch.groups[group_id] = await get_active_group(batch.session, batch.actor, group_id)
        except PortalError as refusal:
            batch.groups[group_id] = refusal


async def _load_quotas(batch: _Batch, items: Sequence[Change | PortalError]) -> None:
    maximum = PLAN_LIMITS[batch.actor.plan].things_per_group_max
    wanted = {_group_of(batch, item) for item in items if isinstance(item, BatchCreate)}
    if maximum is None:
        return
    for group_id in sorted(wanted):
        if isinstance(batch.groups[group_id], Group):
            await lock_for_count(batch.session, group_id)
            used = await count_things(batch.session, batch.actor, group_id, at_most=maximum)
            batch.places_left[group_id] = maximum - used


def _group_of(batch: _Batch, item: BatchCreate) -> UUID:
    return item.group_id or batch.actor.group_id


def _apply(batch: _Batch, item: Change | PortalError) -> Outcome:
    if isinstance(item, PortalError):
        return item
    try:
        if isinstance(item, BatchCreate):
            return _create(batch, item)
        return _change(batch, item)
    except PortalError as refusal:
        return refusal


def _create(batch: _Batch, item: BatchCreate) -> Thing:
    group = batch.groups[_group_of(batch, item)]
    if isinstance(group, PortalError):
        raise group
    thing = build_thing(batch.actor, item, group)
    left = batch.places_left.get(group.id)
    if left is not None:
        if left <= 0:
            raise QuotaExceeded(f"The plan `{batch.actor.plan}` allows no more entities in this group.")
        batch.places_left[group.id] = left - 1
    batch.created.append(thing)
    return thing


def _change(batch: _Batch, item: BatchUpdate | BatchDelete) -> Thing:
    if isinstance(item, BatchDelete):
        batch.actor.require(Scope.ENTITIES_DELETE)
    thing = batch.things.get(item.id)
    if thing is None:
        raise NotFound
    require_generic(THING_TYPES[thing.type])
    batch.actor.require_own(thing.created_by)
    group = batch.groups[thing.group_id]
    if isinstance(group, PortalError):
        raise group
    if isinstance(item, BatchUpdate):
        apply_update(batch.session, batch.actor, thing, item)
    elif thing.deleted_at is None:
        apply_delete(thing)
        batch.deleted.append(thing)
        if thing.group_id in batch.places_left:
            batch.places_left[thing.group_id] += 1
    return thing


def _refuse_if_any(outcomes: Sequence[Outcome]) -> None:
    """One refusal for all: the first one's code, and a flaw for every place of every item."""
    refused = [(index, outcome) for index, outcome in enumerate(outcomes) if isinstance(outcome, PortalError)]
    if not refused:
        return
    flaws: list[Flaw] = []
    for index, refusal in refused:
        place = f"body.items[{index}]"
        flaws.extend(_at(place, flaw) for flaw in refusal.flaws)
        if not refusal.flaws:
            flaws.append(Flaw(place, refusal.title, refusal.advice))
    first = type(refused[0][1])
    raise first(f"{len(refused)} of {len(outcomes)} items are refused, so nothing was changed.", flaws=flaws)


def _at(place: str, flaw: Flaw) -> Flaw:
    """`body.name` of an item as a place in the batch."""
    inner = flaw.location.removeprefix("body")
    return flaw if flaw.location.startswith(("header", "body.items[")) else replace(flaw, location=place + inner)


async def _store(batch: _Batch) -> None:
    batch.session.add_all(batch.created)
    await batch.session.flush()
    for thing in batch.created:
        record_creation(batch.session, batch.actor, thing)
    if batch.deleted:
        await finish_deletions(batch.session, batch.actor, batch.deleted)


def _record_summary(batch: _Batch, outcomes: Sequence[Outcome], *, atomic: bool) -> None:
    failed = sum(isinstance(outcome, PortalError) for outcome in outcomes)
    if full := [outcome for outcome in outcomes if isinstance(outcome, QuotaExceeded)]:
        record_full(batch.session, batch.actor, full[0].counted, attempted=len(full))
    if failed == len(outcomes):
        return
    summary = {"total": len(outcomes), "success": len(outcomes) - failed, "failed": failed, "atomic": atomic}
    record_event(
        batch.session,
        batch.actor,
        "thing_updated",
        group_id=batch.actor.group_id,
        metadata={"thingType": "batch", "action": "batch"} | summary,
    )
