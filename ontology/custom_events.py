"""Events an organisation records itself, of the types the vocabulary allows for it.

What the platform says happened stays trustworthy because nobody else can say it: types marked `system_only` are
refused. Who recorded an event is its `keyId`, whoever it names as the one who acted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as PydanticField
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection
from ontology.errors import Flaw, InvalidRequest, NotFound, SystemEvent, UnknownType
from ontology.events import Event
from ontology.features import require_feature
from ontology.groups import Group, get_active_group
from ontology.ids import GroupId, decode_id
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import Input, Moment
from ontology.sizes import check_size
from ontology.thing_rows import Thing
from ontology.things import TypeName
from ontology.vocabulary import get_event_type

EVENTS_MAX = 1_000
CLOCK_SKEW = timedelta(minutes=1)
_SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}$"
_TABLES: dict[str, type[Thing | Person | Group | Connection | KnowledgeItem | Event]] = {
    "thing": Thing,
    "person": Person,
    "group": Group,
    "connection": Connection,
    "knowledge": KnowledgeItem,
    "event": Event,
}

ActorId = Annotated[str, PydanticField(pattern=rf"^(thing|person)_{_SUFFIX}", description="Who did it; else the key.")]
TargetId = Annotated[
    str,
    PydanticField(
        pattern=rf"^(thing|person|group|connection|event|knowledge)_{_SUFFIX}", description="What it was done to."
    ),
]


class EventCreate(Input):
    """An event to record; who acted and what it was done to lie within the key's reach."""

    type: Annotated[
        TypeName,
        PydanticField(description="An event type that may be recorded.", examples=["course_enrolled"]),
    ]
    actor_id: ActorId | None = PydanticField(default=None, description="Who did it; else the key's service account.")
    target_id: TargetId | None = PydanticField(default=None, description="What it was done to.")
    timestamp: Moment | None = PydanticField(default=None, description="When it happened: not in the future; else now.")
    metadata_: dict[str, Any] = PydanticField(
        default_factory=dict, alias="metadata", description="What else is worth knowing. Never a secret."
    )
    group_id: GroupId | None = PydanticField(default=None, description="A group within reach; else the key's own.")


class EventsCreate(Input):
    """Up to a thousand events, recorded together or not at all."""

    events: Annotated[
        list[EventCreate],
        PydanticField(min_length=1, max_length=EVENTS_MAX, description="The events, in the order they are answered."),
    ]


async def create_event(session: AsyncSession, actor: Actor, new: EventCreate, now: datetime) -> Event:
    """Record one event.

    Raises:
        UnknownType, SystemEvent, FeatureDisabled: its type. InvalidRequest: it lies in the future.
        NotFound: its group, actor or target, the same whether it does not exist or lies out of reach.
        GroupArchived.
    """
    return (await _create(session, actor, [("body", new)], now))[0]


async def create_events(session: AsyncSession, actor: Actor, new: EventsCreate, now: datetime) -> Sequence[Event]:
    """Record all of them or none; raises what `create_event` raises, naming the place of the first that is refused."""
    return await _create(session, actor, [(f"body.events[{n}]", event) for n, event in enumerate(new.events)], now)


async def _create(
    session: AsyncSession, actor: Actor, placed: Sequence[tuple[str, EventCreate]], now: datetime
) -> list[Event]:
    for place, new in placed:
        _check_type(actor, place, new.type)
        check_size(new.metadata_, f"{place}.metadata")
        if new.timestamp is not None and new.timestamp > now + CLOCK_SKEW:
            raise InvalidRequest(flaws=[Flaw(f"{place}.timestamp", "lies in the future", "send when it happened")])
    groups = {wanted: (await get_active_group(session, actor, wanted)).id for wanted in {n.group_id for _, n in placed}}
    await _check_reach(session, actor, placed)
    events = [
        Event(
            org_id=actor.org_id,
            group_id=groups[new.group_id],
            type=new.type,
            actor_id=new.actor_id or actor.id,
            target_id=new.target_id,
            timestamp=new.timestamp or now,
            metadata_=new.metadata_,
            request_id=actor.request_id,
            key_id=actor.key_id,
        )
        for _, new in placed
    ]
    session.add_all(events)
    await session.flush()
    return events


def _check_type(actor: Actor, place: str, name: str) -> None:
    kind = get_event_type(name, f"{place}.type")
    if kind.name != name:
        fix = f"send `{kind.name}`, and what was special about it in `metadata`"
        flaw = Flaw(f"{place}.type", "is an older name, good for filters only", fix, (kind.name,))
        raise UnknownType(f"`{name}` is an older name of `{kind.name}`.", flaws=[flaw])
    if kind.policy == "system_only":
        message = f"`{kind.name}` is written by the platform alone"
        flaw = Flaw(f"{place}.type", message, "use a type whose `policy` is `custom_allowed` in `GET /v1/ontology`")
        raise SystemEvent(flaws=[flaw])
    require_feature(actor, kind, f"{place}.type")


async def _check_reach(session: AsyncSession, actor: Actor, placed: Sequence[tuple[str, EventCreate]]) -> None:
    """One query for each kind of id, whatever the number of events."""
    named = [
        (f"{place}.{name}", *decode_id(value))
        for place, new in placed
        for name, value in (("actorId", new.actor_id), ("targetId", new.target_id))
        if value is not None
    ]
    found: dict[str, set[UUID]] = {}
    for kind, model in _TABLES.items():
        if ids := {identity for _, of, identity in named if of == kind}:
            column: Any = model.id
            query = select(column).where(model.reach(actor), col(column).in_(ids))
            found[kind] = set((await session.exec(query)).all())
    for place, kind, identity in named:
        if identity not in found[kind]:
            raise NotFound(flaws=[Flaw(place, "is not within reach", "use an id as the API returned it")])
