"""`/v1/whoami`, `/v1/quota` and `/v1/ontology`: who calls, what is left, and what there is."""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field

from api import examples
from api.answers import encode_answer
from api.operations import Call, FastAnswer, FastCall, NoBody, NoQuery, operation
from ontology.credentials import Credential
from ontology.features import is_enabled
from ontology.groups import count_sub_groups
from ontology.ids import GroupId, ThingId, encode_id
from ontology.plans import PLAN_LIMITS
from ontology.records import Moment, to_epoch_ms
from ontology.scopes import Scope
from ontology.thing_lists import count_things
from ontology.vocabulary import (
    CONNECTION_TYPES,
    EVENT_TYPES,
    FEATURE_SETS,
    THING_TYPES,
    ConnectionType,
    EventType,
    ThingType,
)

_TAG = "Organisation"
_UNLIMITED = -1


class OrganisationName(BaseModel):
    """The organisation, by its names."""

    id: GroupId = Field(alias="_id")
    name: str
    handle: str
    plan: str


class GroupName(BaseModel):
    """The group the key reaches from."""

    id: GroupId = Field(alias="_id")
    name: str


class KeyName(BaseModel):
    """The key, as the keys page shows it."""

    id: ThingId = Field(alias="_id")
    name: str
    prefix: str
    scopes: list[str]
    expiresAt: Moment | None  # noqa: N815 - the contract's names


class ActorName(BaseModel):
    """Who acts."""

    id: str = Field(alias="_id")
    type: str


class WhoAmI(BaseModel):
    """Whose key this is, and what it may do."""

    organisation: OrganisationName
    group: GroupName
    key: KeyName
    actor: ActorName


class Limits(BaseModel):
    """Allowances of the plan; -1 means without limit."""

    requestsPerMinute: int  # noqa: N815 - the contract's names
    requestsPerDay: int  # noqa: N815
    maxGroupsPerOrg: int  # noqa: N815
    maxEntitiesPerGroup: int  # noqa: N815


class Usage(BaseModel):
    """What is used: requests by the organisation, groups in it, entities in the key's reach."""

    requestsThisMinute: int  # noqa: N815
    requestsToday: int  # noqa: N815
    groups: int
    entities: int


class Quota(BaseModel):
    """The plan, its limits and what is used of them."""

    plan: str
    limits: Limits
    usage: Usage


class Vocabulary(BaseModel):
    """Every type, whether it is enabled, and how many of each kind are."""

    counts: dict[str, int]
    featureSets: list[dict[str, Any]]  # noqa: N815
    thingTypes: list[dict[str, Any]]  # noqa: N815
    connectionTypes: list[dict[str, Any]]  # noqa: N815
    eventTypes: list[dict[str, Any]]  # noqa: N815


async def _whoami_fast(call: FastCall[NoBody, NoQuery]) -> FastAnswer:
    shown = call.credential.shown
    if "whoami" not in shown:
        shown["whoami"] = encode_answer(_describe_caller(call.credential))
    return FastAnswer(shown["whoami"])


@operation(
    "GET",
    "/v1/whoami",
    id="whoami",
    tag=_TAG,
    scope=None,
    answer=WhoAmI,
    answer_example=examples.WHOAMI,
    fast=_whoami_fast,
)
async def whoami(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Say whose key this is.

    The organisation, the group the key reaches from, its scopes, and the service account it acts as.
    """
    return _describe_caller(call.credential)


def _describe_caller(credential: Credential) -> dict[str, Any]:
    """From the credential alone: whatever changes it raises the organisation's epoch, so it is never an old one."""
    actor, expires = credential.actor, credential.expires_at
    return {
        "organisation": {
            "_id": encode_id("group", actor.org_id),
            "name": credential.organisation_name,
            "handle": credential.organisation_handle,
            "plan": actor.plan,
        },
        "group": {"_id": encode_id("group", actor.group_id), "name": credential.group_name},
        "key": {
            "_id": encode_id("thing", actor.key_id) if actor.key_id else None,
            "name": credential.key_name,
            "prefix": credential.prefix,
            "scopes": sorted(actor.scopes),
            "expiresAt": to_epoch_ms(expires) if expires else None,
        },
        "actor": {"_id": actor.id, "type": "service_account" if actor.id.startswith("thing_") else "person"},
    }


@operation(
    "GET",
    "/v1/quota",
    id="getQuota",
    tag=_TAG,
    scope=Scope.QUOTA_VIEW,
    answer=Quota,
    answer_example=examples.QUOTA,
)
async def get_quota(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Get limits and usage.

    Requests are the organisation's over all its keys; -1 means without limit.
    """
    limits = PLAN_LIMITS[call.actor.plan]
    minute, day = await call.services.authenticator.limiter.count_recent(call.credential)
    return {
        "plan": call.actor.plan,
        "limits": {
            "requestsPerMinute": call.credential.org_requests_per_minute,
            "requestsPerDay": call.credential.org_requests_per_day,
            "maxGroupsPerOrg": _or_unlimited(limits.sub_groups_max),
            "maxEntitiesPerGroup": _or_unlimited(limits.things_per_group_max),
        },
        "usage": {
            "requestsThisMinute": minute,
            "requestsToday": day,
            "groups": await count_sub_groups(call.session, call.actor),
            "entities": await count_things(call.session, call.actor),
        },
    }


@operation(
    "GET",
    "/v1/ontology",
    id="getOntology",
    tag=_TAG,
    scope=None,
    answer=Vocabulary,
    has_tag=True,
    answer_example={"counts": {}, "featureSets": [], "thingTypes": [], "connectionTypes": [], "eventTypes": []},
)
async def get_ontology(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Get the vocabulary.

    Every thing type with its properties, every connection type with its ends, every event type, and how many of each
    are enabled. Those of a feature set that is switched off are listed too, with `enabled: false`.
    """
    return _describe_vocabulary(call.actor.feature_sets)


def _or_unlimited(maximum: int | None) -> int:
    return _UNLIMITED if maximum is None else maximum


@lru_cache(maxsize=64)
def _describe_vocabulary(on: frozenset[str]) -> dict[str, Any]:
    """As an organisation sees it that has these feature sets on."""
    things = [
        _describe_type(kind, on) | {"properties": [p for p in kind.properties if not p.get("sensitive")]}
        for kind in THING_TYPES.values()
    ]
    connections = [
        _describe_type(kind, on)
        | {"repeatable": kind.repeatable, "from": sorted(kind.sources), "to": sorted(kind.targets)}
        for kind in CONNECTION_TYPES.values()
    ]
    events = [
        _describe_type(kind, on) | {"required": list(kind.required), "optional": list(kind.optional)}
        for kind in EVENT_TYPES.values()
    ]
    types: dict[str, list[dict[str, Any]]] = {
        "thingTypes": things,
        "connectionTypes": connections,
        "eventTypes": events,
    }
    return {
        "counts": {name: sum(kind["enabled"] for kind in kinds) for name, kinds in types.items()},
        "featureSets": [
            {"name": name, "summary": summary, "enabled": name in on}
            | {of: [kind["name"] for kind in kinds if kind["feature"] == name] for of, kinds in types.items()}
            for name, summary in FEATURE_SETS.items()
        ],
        **types,
    }


def _describe_type(kind: ThingType | ConnectionType | EventType, on: frozenset[str]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "category": kind.category,
        "summary": kind.summary,
        "policy": kind.policy,
        "feature": kind.feature,
        "enabled": is_enabled(kind.feature, on),
    }


handlers = [whoami, get_quota, get_ontology]
