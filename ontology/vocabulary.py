"""The vocabulary: every thing, connection and event type, with its properties and who may write it.

The facts are data (`vocabulary.json`); counts are computed from it, never typed. Presence of properties is not
checked, their types and closed enumerations are; a type takes properties the vocabulary does not name. A type of a
feature set is known to everybody, and written by organisations that have the set switched on.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ontology.errors import Flaw, InvalidProperties, UnknownType
from ontology.nearest_names import ask_back, find_nearest_names

Properties = tuple[dict[str, Any], ...]
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "id": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class ThingType:
    name: str
    category: str
    tier: str
    summary: str
    policy: str
    properties: Properties
    feature: str | None

    @property
    def is_managed(self) -> bool:
        return self.policy == "managed"

    @property
    def sensitive_names(self) -> frozenset[str]:
        return frozenset(p["name"] for p in self.properties if p.get("sensitive"))


@dataclass(frozen=True, slots=True)
class ConnectionType:
    """`sources` and `targets` name thing types, `group`, or `*` for any thing."""

    name: str
    category: str
    tier: str
    summary: str
    policy: str
    repeatable: bool
    sources: frozenset[str]
    targets: frozenset[str]
    properties: Properties
    feature: str | None

    @property
    def is_managed(self) -> bool:
        return self.policy == "managed"

    def is_managed_towards(self, target_kind: str) -> bool:
        """Whether one to a target of this kind of id is the platform's: a membership in a group carries authority."""
        return self.is_managed or (target_kind == "group" and self.policy == "managed when the target is a group")


@dataclass(frozen=True, slots=True)
class EventType:
    name: str
    category: str
    tier: str
    summary: str
    policy: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    feature: str | None


@dataclass(frozen=True, slots=True)
class GroupType:
    name: str
    summary: str
    defaults: dict[str, str]


# A person is any of them, and where a connection takes one of them it takes each: who buys, learns or follows may be
# somebody who signs in here, whom `user` stands for, or a thing of the organisation's own.
HUMAN_TYPES = frozenset({"creator", "audience_member", "user"})
# Everyday words for types that their own names do not resemble.
_SERVED = "customer client buyer learner student subscriber follower fan reader member"
_MAKERS = "author teacher instructor seller writer"
_TYPES_BY_WORD: dict[str, str] = {
    **dict.fromkeys(_SERVED.split(), "audience_member"),
    **dict.fromkeys(_MAKERS.split(), "creator"),
}

_FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "vocabulary.json").read_text(encoding="utf-8"))


def _read_ends(names: list[str]) -> frozenset[str]:
    """The types at an end of a connection."""
    found = frozenset(names)
    return found | HUMAN_TYPES if found & HUMAN_TYPES else found


THING_TYPES = {
    t["name"]: ThingType(
        t["name"],
        t["category"],
        t["tier"],
        t["summary"],
        t["policy"],
        tuple(t["properties"]),
        t.get("feature"),
    )
    for t in _FACTS["thingTypes"]
}
CONNECTION_TYPES = {
    t["name"]: ConnectionType(
        t["name"],
        t["category"],
        t["tier"],
        t["summary"],
        t["policy"],
        t["repeatable"],
        _read_ends(t["from"]),
        _read_ends(t["to"]),
        tuple(t["properties"]),
        t.get("feature"),
    )
    for t in _FACTS["connectionTypes"]
}
EVENT_TYPES = {
    t["name"]: EventType(
        t["name"],
        t["category"],
        t["tier"],
        t["summary"],
        t["policy"],
        tuple(t["required"]),
        tuple(t["optional"]),
        t.get("feature"),
    )
    for t in _FACTS["eventTypes"]
}
# Sets of types that an organisation switches on when it wants them; what belongs to none is always there.
FEATURE_SETS: dict[str, str] = {t["name"]: t["summary"] for t in _FACTS["featureSets"]}
GROUP_TYPES = {t["name"]: GroupType(t["name"], t["summary"], t["defaults"]) for t in _FACTS["groupTypes"]}
GROUP_SETTINGS: Properties = tuple(_FACTS["groupSettings"])
ROLE_FACTS: list[dict[str, Any]] = _FACTS["roles"]
EVENT_ALIASES: dict[str, str] = _FACTS["eventAliases"]


# So many types are few enough to be named in a refusal.
NAMED_MAX = 10


def unknown_type(location: str, name: str, known: dict[str, Any]) -> UnknownType:
    """The refusal of a type that does not exist, with the nearest ones that do."""
    meant = _TYPES_BY_WORD.get(name.strip().lower(), "")
    near = (meant,) if meant in known else find_nearest_names(name, tuple(known))
    few = f"send one of {', '.join(f'`{type_name}`' for type_name in known)}" if len(known) <= NAMED_MAX else ""
    fix = ask_back(near) if near else few or "GET /v1/ontology lists all types"
    return UnknownType(f"`{name[:80]}` is not a known type.", flaws=[Flaw(location, "unknown type", fix, near)])


def get_thing_type(name: str, location: str = "body.type") -> ThingType:
    """Raises: UnknownType with the nearest names."""
    if name not in THING_TYPES:
        raise unknown_type(location, name, THING_TYPES)
    return THING_TYPES[name]


def get_connection_type(name: str, location: str = "body.relationshipType") -> ConnectionType:
    """Raises: UnknownType with the nearest names."""
    if name not in CONNECTION_TYPES:
        raise unknown_type(location, name, CONNECTION_TYPES)
    return CONNECTION_TYPES[name]


def get_event_type(name: str, location: str = "query.type") -> EventType:
    """Accepts the older names too. Raises: UnknownType with the nearest names."""
    canonical = EVENT_ALIASES.get(name, name)
    if canonical not in EVENT_TYPES:
        raise unknown_type(location, name, EVENT_TYPES)
    return EVENT_TYPES[canonical]


def check_properties(declared: Properties, given: dict[str, Any], location: str) -> None:
    """Check the types and closed enumerations of the properties the vocabulary names.

    Raises:
        InvalidProperties: with every flaw at once.
    """
    if flaws := list(_find_flaws(declared, given, location)):
        raise InvalidProperties(flaws=flaws)


def _find_flaws(declared: Properties, given: dict[str, Any], location: str) -> list[Flaw]:
    flaws: list[Flaw] = []
    for rule in declared:
        value = given.get(rule["name"])
        if value is None:
            continue
        place = f"{location}.{rule['name']}"
        expected = _JSON_TYPES.get(rule["type"])
        if expected is not None and (not isinstance(value, expected) or _is_boolean_number(value, rule["type"])):
            flaws.append(Flaw(place, f"must be of type {rule['type']}", f"send a JSON {rule['type']}"))
        elif "enum" in rule and value not in rule["enum"]:
            near = find_nearest_names(value, rule["enum"]) if isinstance(value, str) else ()
            fix = f"use one of {', '.join(rule['enum'])}"
            flaws.append(Flaw(place, "is not one of the allowed values", fix, near))
        elif isinstance(value, list):
            flaws.extend(_find_item_flaws(rule, cast("list[Any]", value), place))
        elif isinstance(value, dict) and "fields" in rule:
            flaws.extend(_find_flaws(tuple(rule["fields"]), cast("dict[str, Any]", value), place))
    return flaws


def _find_item_flaws(rule: dict[str, Any], values: list[Any], place: str) -> list[Flaw]:
    """Items are of a type named, or described like a property of their own."""
    items: str | dict[str, Any] = rule.get("items", "any")
    item = {"type": items} if isinstance(items, str) else items
    flaws: list[Flaw] = []
    for index, value in enumerate(values):
        if value is None and isinstance(items, str) and items in _JSON_TYPES:
            flaws.append(Flaw(f"{place}[{index}]", f"must be of type {items}", f"send a JSON {items}"))
        else:
            flaws.extend(_find_flaws((item | {"name": str(index)},), {str(index): value}, place))
    return [replace(flaw, location=_as_index(flaw.location, place)) for flaw in flaws]


def _as_index(location: str, place: str) -> str:
    """`tags.0` as `tags[0]`."""
    rest = location.removeprefix(f"{place}.")
    if rest == location:
        return location
    index, dot, more = rest.partition(".")
    return f"{place}[{index}]{dot}{more}"


def _is_boolean_number(value: Any, kind: str) -> bool:
    """In Python a bool is an int; in JSON `true` is not a number."""
    return kind == "number" and isinstance(value, bool)
