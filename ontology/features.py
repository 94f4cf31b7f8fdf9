"""Feature sets: types an organisation has only once it switches them on, such as a shop's carts and orders.

A set that is off takes nothing new. What there is of its types stays: it is read, changed and deleted as ever. The
sets that are on come with the actor, so a write asks nobody; whoever switches one raises the organisation's
authorisation epoch after commit, and the next call of every process goes by it.
"""

from collections.abc import Collection

from pydantic import Field as PydanticField
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.errors import FeatureDisabled, Flaw, InvalidRequest, NotFound
from ontology.groups import Group, record_group_event
from ontology.records import Input, next_change
from ontology.vocabulary import FEATURE_SETS, ConnectionType, EventType, ThingType


class FeaturesUpdate(Input):
    """A JSON Merge Patch (RFC 7396): sets that are not named stay as they are."""

    features: dict[str, bool] = PydanticField(
        min_length=1, description="Feature sets by name, each on (true) or off (false).", examples=[{"shop": True}]
    )


def is_enabled(feature: str | None, on: Collection[str]) -> bool:
    """Whether what belongs to this set, or to none, may be written where these sets are on."""
    return feature is None or feature in on


def require_feature(actor: Actor, kind: ThingType | ConnectionType | EventType, location: str) -> None:
    """Refuse to write what belongs to a feature set that the actor's organisation has not switched on.

    Raises:
        FeatureDisabled: naming the set.
    """
    if not is_enabled(kind.feature, actor.feature_sets):
        message = f"`{kind.name}` belongs to the feature set `{kind.feature}`, which is off"
        raise FeatureDisabled(flaws=[Flaw(location, message, "switch it on with PATCH /v1/ontology/features")])


def describe_features(on: Collection[str]) -> dict[str, bool]:
    """Every feature set, and whether it is among those that are on."""
    return {name: name in on for name in FEATURE_SETS}


async def update_features(session: AsyncSession, actor: Actor, change: FeaturesUpdate) -> dict[str, bool]:
    """Switch feature sets of the organisation on and off, with one event; how all of them stand then.

    Parallel changes wait for one another and lose nothing; switching a set to what it is changes nothing.

    Raises:
        InvalidRequest: a set of that name does not exist. NotFound: the organisation lies above the actor's reach.
    """
    _check_names(change.features)
    query = Group.visible_to(actor).where(col(Group.id) == actor.org_id).with_for_update()
    organisation = (await session.exec(query)).first()
    if organisation is None:
        raise NotFound("Feature sets belong to the whole organisation; use a key that reaches all of it.")
    before = organisation.features_on
    on = frozenset(name for name, wanted in (describe_features(before) | change.features).items() if wanted)
    if on != before:
        organisation.feature_sets = sorted(on)
        organisation.updated_at = next_change(organisation.updated_at)
        changes, previous = {"featureSets": sorted(on)}, {"featureSets": sorted(before)}
        record_group_event(
            session, actor, "thing_updated", organisation, action="updated", changes=changes, previousValues=previous
        )
    return describe_features(on)


def _check_names(given: Collection[str]) -> None:
    names = ", ".join(f"`{name}`" for name in FEATURE_SETS)
    flaws = [
        Flaw(f"body.features.{name[:60]}", "is not a feature set", f"use one of {names}")
        for name in given
        if name not in FEATURE_SETS
    ]
    if flaws:
        raise InvalidRequest(flaws=flaws)
