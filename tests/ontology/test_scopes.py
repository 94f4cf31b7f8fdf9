"""Scopes: writing brings reading, and nothing brings more than that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.actors import Actor, owner_actor
from ontology.errors import InsufficientScope
from ontology.ids import new_id
from ontology.scopes import ALL_SCOPES, PRESETS, Preset, Scope, expand_scopes

# The fourteen of the specification, and the five that this product adds.
SPECIFIED = {
    *(f"{resource}:{verb}" for resource in ("entities", "connections") for verb in ("read", "write", "delete")),
    *(f"{resource}:{verb}" for resource in ("events", "knowledge", "groups") for verb in ("read", "write")),
    *("api_keys:manage", "quota:view"),
}
ADDED = {"people:read", "people:write", "groups:delete", "knowledge:delete", "webhooks:manage"}


def test_the_specifications_scopes_are_there_and_no_others_than_were_added() -> None:
    assert len(SPECIFIED) == 14
    assert {scope.value for scope in Scope} >= SPECIFIED | ADDED


@given(st.frozensets(st.sampled_from(Scope)))
def test_what_is_implied_is_reading_of_the_same_resource_and_nothing_else(scopes: frozenset[Scope]) -> None:
    expanded = expand_scopes(scopes)
    assert expanded >= scopes
    assert expand_scopes(expanded) == expanded
    for scope in expanded - scopes:
        resource, verb = scope.value.split(":")
        assert verb == "read"
        assert any(given.value in (f"{resource}:write", f"{resource}:delete") for given in scopes)
    for scope in scopes:
        resource, verb = scope.value.split(":")
        assert verb not in ("write", "delete") or Scope(f"{resource}:read") in expanded


def test_presets_widen_from_reading_to_everything() -> None:
    reading, writing, everything = (PRESETS[name] for name in (Preset.READ_ONLY, Preset.READ_WRITE, Preset.ADMIN))
    assert reading < writing < everything == ALL_SCOPES
    assert all(scope.value.endswith((":read", ":view")) for scope in reading)
    assert not {scope for scope in writing if scope.value.endswith(":manage")}


@given(st.frozensets(st.sampled_from(Scope)), st.sampled_from(Scope))
def test_an_actor_is_refused_exactly_what_it_lacks(scopes: frozenset[Scope], wanted: Scope) -> None:
    org_id = new_id()
    actor = Actor(id="thing_x", org_id=org_id, group_id=org_id, scopes=scopes)
    if wanted in scopes:
        actor.require(wanted)
        return
    with pytest.raises(InsufficientScope) as refusal:
        actor.require(wanted)
    assert wanted.value in refusal.value.detail
    assert refusal.value.flaws[0].location == "header.Authorization"


def test_an_owner_holds_every_scope() -> None:
    assert owner_actor(new_id(), new_id()).scopes == ALL_SCOPES
