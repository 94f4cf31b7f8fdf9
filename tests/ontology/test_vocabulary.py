"""The vocabulary: as many types as the ontology states, and properties checked as it says."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.errors import InvalidProperties, UnknownType
from ontology.thing_rows import MANAGED_TYPES
from ontology.vocabulary import (
    CONNECTION_TYPES,
    EVENT_ALIASES,
    EVENT_TYPES,
    FEATURE_SETS,
    GROUP_TYPES,
    THING_TYPES,
    check_properties,
    get_connection_type,
    get_event_type,
    get_thing_type,
)
from tests.program import Caller

COURSE = THING_TYPES["course"].properties


def tiers(types: dict[str, Any]) -> Counter[str]:
    return Counter(kind.tier for kind in types.values())


async def test_there_are_as_many_types_as_the_ontology_states(owner: Caller) -> None:
    """Its sums: 61 canonical, 5 core and 4 service thing types; 31 + 4 connection types; 64 + 6 event types.

    Those of feature sets come beside these, for who switches them on.
    """
    assert tiers(THING_TYPES) == {"canonical": 61, "core": 5, "service": 4, "workflow": 6, "feature": 14}
    assert tiers(CONNECTION_TYPES) == {"canonical": 31, "service": 4, "workflow": 5, "feature": 7}
    assert tiers(EVENT_TYPES) == {"canonical": 64, "service": 6, "workflow": 21, "feature": 19}
    answer = (await owner.get("/v1/ontology")).json()
    assert answer["counts"] == {"thingTypes": 61 + 5 + 4, "connectionTypes": 31 + 4, "eventTypes": 64 + 6}
    for name, count in answer["counts"].items():
        assert len({kind["name"] for kind in answer[name] if kind["enabled"]}) == count


@pytest.mark.parametrize("types", [THING_TYPES, CONNECTION_TYPES, EVENT_TYPES])
def test_just_the_types_of_the_optional_tiers_belong_to_a_feature_set(types: dict[str, Any]) -> None:
    for kind in types.values():
        assert (kind.feature is not None) == (kind.tier in ("workflow", "feature")), kind.name
        assert kind.feature is None or kind.feature in FEATURE_SETS


def test_every_feature_set_brings_types() -> None:
    assert {kind.feature for kind in THING_TYPES.values()} - {None} == set(FEATURE_SETS)


def test_types_of_credentials_and_accounts_are_managed() -> None:
    assert set(MANAGED_TYPES) >= {"api_key", "api_application", "api_quota", "service_account", "session", "user"}
    assert {name for name, kind in CONNECTION_TYPES.items() if kind.is_managed} == {
        *("owns_api_key", "authenticated_by", "belongs_to_org", "has_quota")
    }


def test_ends_of_connections_are_types_that_exist() -> None:
    for kind in CONNECTION_TYPES.values():
        assert kind.sources | kind.targets <= THING_TYPES.keys() | {"group", "*"}
        assert kind.sources and kind.targets


def test_older_event_names_are_read_as_the_present_ones() -> None:
    assert EVENT_ALIASES
    for old, present in EVENT_ALIASES.items():
        assert old not in EVENT_TYPES
        assert get_event_type(old).name == get_event_type(present).name == present


def test_every_group_type_says_who_sees_it_and_who_may_join() -> None:
    for kind in GROUP_TYPES.values():
        assert {"visibility", "joinPolicy"} <= kind.defaults.keys()


@pytest.mark.parametrize(
    ("get", "typed", "meant"),
    [
        (get_thing_type, "cuorse", "course"),
        (get_thing_type, "blogpost", "blog_post"),
        (get_connection_type, "enroled_in", "enrolled_in"),
        (get_event_type, "thing_create", "thing_created"),
    ],
)
def test_an_unknown_type_is_refused_with_the_nearest_names(get: Any, typed: str, meant: str) -> None:
    with pytest.raises(UnknownType) as refusal:
        get(typed)
    assert f"`{meant}`" in refusal.value.flaws[0].fix


def test_a_type_like_no_other_is_refused_with_where_they_stand() -> None:
    with pytest.raises(UnknownType) as refusal:
        get_thing_type("§" * 500)
    assert "/v1/ontology" in refusal.value.flaws[0].fix
    assert len(refusal.value.detail) < 200


@pytest.mark.parametrize(
    ("properties", "places"),
    [
        ({}, []),
        ({"title": "Botany", "price": 49, "ours": {"anything": [1]}}, []),
        ({"title": None, "price": 49.5}, []),
        ({"title": 7}, ["properties.title"]),
        ({"price": "49"}, ["properties.price"]),
        ({"price": True}, ["properties.price"]),
        ({"generatedBy": "human"}, []),
        ({"generatedBy": "aliens"}, ["properties.generatedBy"]),
        ({"title": [], "price": {}}, ["properties.title", "properties.price"]),
    ],
)
def test_types_and_closed_enumerations_are_checked_and_presence_is_not(
    properties: dict[str, Any], places: list[str]
) -> None:
    if not places:
        check_properties(COURSE, properties, "properties")
        return
    with pytest.raises(InvalidProperties) as refusal:
        check_properties(COURSE, properties, "properties")
    assert sorted(flaw.location for flaw in refusal.value.flaws) == sorted(places)
    assert all(flaw.fix for flaw in refusal.value.flaws)


def test_items_and_fields_inside_are_named_with_their_place() -> None:
    declared = (
        {"name": "tags", "type": "array", "items": "string"},
        {"name": "limits", "type": "object", "fields": [{"name": "perDay", "type": "number"}]},
    )
    with pytest.raises(InvalidProperties) as refusal:
        check_properties(declared, {"tags": ["a", 1, "b", None], "limits": {"perDay": "many"}}, "body.properties")
    assert [flaw.location for flaw in refusal.value.flaws] == [
        "body.properties.tags[1]",
        "body.properties.tags[3]",
        "body.properties.limits.perDay",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(THING_TYPES)), st.data())
def test_no_value_of_a_property_breaks_the_check(name: str, data: st.DataObject) -> None:
    properties = THING_TYPES[name].properties
    names = st.sampled_from([rule["name"] for rule in properties]) if properties else st.text()
    values = data.draw(st.dictionaries(names, JSON, max_size=4))
    with suppress(InvalidProperties):
        check_properties(properties, values, "body.properties")
