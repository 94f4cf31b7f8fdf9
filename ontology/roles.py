"""Roles: what a person may do in a group and below it. The matrix is data of the vocabulary, read here into scopes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ontology.scopes import ALL_SCOPES, Scope, expand_scopes
from ontology.vocabulary import ROLE_FACTS


class Role(StrEnum):
    """From widest to narrowest."""

    PLATFORM_OWNER = "platform_owner"
    ORG_OWNER = "org_owner"
    ORG_USER = "org_user"
    CUSTOMER = "customer"


# The words of the matrix, and what each lets a person do with a resource.
_VERBS: dict[str, tuple[str, ...]] = {
    "all": ("read", "write", "delete"),
    "own": ("read", "write", "delete"),
    "own group": ("read", "write", "delete"),
    "create": ("read", "write"),
    "create, edit own": ("read", "write"),
    "read": ("read",),
    "self": (),
    "none": (),
}
_RESOURCES = {"things": "entities"}


@dataclass(frozen=True, slots=True)
class RoleRights:
    """A role's place and what it allows; `edits_own_only`: others' rows may be read, not changed."""

    role: Role
    level: int
    summary: str
    permissions: tuple[str, ...]
    scopes: frozenset[Scope]
    edits_own_only: bool


def read_rights(facts: dict[str, Any]) -> RoleRights:
    """A role of the vocabulary. Who administers has every scope, those the matrix does not name included."""
    permissions: tuple[str, ...] = tuple(facts["permissions"])
    matrix: dict[str, str] = facts["matrix"]
    known = set(Scope)
    granted = {
        Scope(name)
        for resource, word in matrix.items()
        if resource != "api_keys"
        for verb in _VERBS[word]
        if (name := f"{_RESOURCES.get(resource, resource)}:{verb}") in known
    }
    if matrix["api_keys"] != "none":
        granted.add(Scope.API_KEYS_MANAGE)
    if "read" in permissions:
        granted.add(Scope.QUOTA_VIEW)
    scopes = ALL_SCOPES if {"*", "admin"} & set(permissions) else expand_scopes(granted)
    return RoleRights(
        role=Role(facts["name"]),
        level=facts["level"],
        summary=facts["summary"],
        permissions=permissions,
        scopes=scopes,
        edits_own_only=matrix["things"] == "create, edit own",
    )


ROLES: dict[Role, RoleRights] = {Role(facts["name"]): read_rights(facts) for facts in ROLE_FACTS}
# What people are told; programs send and get the names.
ROLE_TITLES = {
    Role.PLATFORM_OWNER: "Platform owner",
    Role.ORG_OWNER: "Owner",
    Role.ORG_USER: "Member",
    Role.CUSTOMER: "Customer",
}
# What can be given to a person of an organisation; who runs the installation is not one.
MEMBER_ROLES = (Role.ORG_OWNER, Role.ORG_USER, Role.CUSTOMER)
