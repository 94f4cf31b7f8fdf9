"""Actors: who performs a request, and how far they reach.

Every rule takes an actor and every query begins at it, so that a function cannot be called without saying for whom.
"""

from dataclasses import dataclass, field
from uuid import UUID

from ontology.errors import Flaw, InsufficientScope
from ontology.ids import encode_id
from ontology.plans import Plan
from ontology.scopes import ALL_SCOPES, Scope

PLATFORM_ORG_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a service account, acting in one group with a set of scopes.

    Its reach is `group_id` and every group below it. `ancestor_ids` are the groups above, nearest first: they are not
    within reach, but their documents marked `subtree` may be read. `edits_own_only`: others' rows may be read only.
    `feature_sets` are those its organisation has switched on.
    """

    id: str
    org_id: UUID
    group_id: UUID
    scopes: frozenset[Scope]
    plan: Plan = Plan.STARTER
    key_id: UUID | None = None
    request_id: str | None = None
    ancestor_ids: tuple[UUID, ...] = field(default=())
    edits_own_only: bool = False
    feature_sets: frozenset[str] = frozenset()

    def require(self, scope: Scope, what: str = "This operation") -> None:
        """Refuse unless the actor holds the scope; `what` needs it.

        Raises:
            InsufficientScope: naming the scope that is missing.
        """
        if scope not in self.scopes:
            flaw = Flaw(
                "header.Authorization",
                f"the key lacks `{scope}`",
                f"use a key with `{scope}`, made on the keys page or with `POST /v1/api-keys`",
            )
            raise InsufficientScope(f"{what} needs the scope `{scope}`.", flaws=[flaw])

    def require_own(self, created_by: str) -> None:
        """Refuse to change a row that another made, to whom may change only their own.

        Raises:
            InsufficientScope.
        """
        if self.edits_own_only and created_by != self.id:
            raise InsufficientScope("Your role changes only what you created yourself; ask an owner of the group.")

    def for_request(self, request_id: str) -> "Actor":
        """The same actor; written out, since `replace` takes ten times as long and this is done for every call."""
        return Actor(
            self.id,
            self.org_id,
            self.group_id,
            self.scopes,
            self.plan,
            self.key_id,
            request_id,
            self.ancestor_ids,
            self.edits_own_only,
            self.feature_sets,
        )


def platform_actor() -> Actor:
    """The program itself, writing the platform's own knowledge."""
    return Actor(
        id=encode_id("group", PLATFORM_ORG_ID),
        org_id=PLATFORM_ORG_ID,
        group_id=PLATFORM_ORG_ID,
        scopes=ALL_SCOPES,
    )


def operator_actor(org_id: UUID) -> Actor:
    """The program, doing in an organisation what nobody in it can do; its events name the platform."""
    return Actor(id=encode_id("group", PLATFORM_ORG_ID), org_id=org_id, group_id=org_id, scopes=ALL_SCOPES)


def anonymous_actor() -> Actor:
    """A visitor who is not signed in: sees what is public, may change nothing."""
    nobody = UUID(int=1)
    return Actor(
        id=encode_id("person", nobody),
        org_id=nobody,
        group_id=nobody,
        scopes=frozenset({Scope.KNOWLEDGE_READ}),
    )


def owner_actor(org_id: UUID, person_id: UUID, plan: Plan = Plan.STARTER) -> Actor:
    """An organisation's owner, who reaches the whole tree with every scope."""
    return Actor(id=encode_id("person", person_id), org_id=org_id, group_id=org_id, scopes=ALL_SCOPES, plan=plan)
