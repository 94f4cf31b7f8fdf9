"""Scopes: the operations a key allows. Writing or deleting implies reading the same resource."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One resource and one verb; the value is what the API shows."""

    ENTITIES_READ = "entities:read"
    ENTITIES_WRITE = "entities:write"
    ENTITIES_DELETE = "entities:delete"
    CONNECTIONS_READ = "connections:read"
    CONNECTIONS_WRITE = "connections:write"
    CONNECTIONS_DELETE = "connections:delete"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_WRITE = "knowledge:write"
    KNOWLEDGE_DELETE = "knowledge:delete"
    GROUPS_READ = "groups:read"
    GROUPS_WRITE = "groups:write"
    GROUPS_DELETE = "groups:delete"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    API_KEYS_MANAGE = "api_keys:manage"
    QUOTA_VIEW = "quota:view"
    WEBHOOKS_MANAGE = "webhooks:manage"


class Preset(StrEnum):
    """Named sets of scopes, for people who do not want to pick one by one."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
_READING = frozenset(s for s in Scope if s.value.endswith(":read")) | {Scope.QUOTA_VIEW}
_WRITING = frozenset(s for s in Scope if s.value.endswith((":write", ":delete")))
PRESETS: dict[Preset, frozenset[Scope]] = {
    Preset.READ_ONLY: _READING,
    Preset.READ_WRITE: _READING | _WRITING,
    Preset.ADMIN: ALL_SCOPES,
}


def expand_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Add what the given scopes imply: `x:write` and `x:delete` bring `x:read`."""
    granted = set(scopes)
    for scope in tuple(granted):
        resource, verb = scope.value.split(":")
        if verb in ("write", "delete"):
            granted.add(Scope(f"{resource}:read"))
    return frozenset(granted)
