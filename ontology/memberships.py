"""Memberships: a person's place in a group, its role, and its end.

The managed connection `member_of` tells of each; authority is read from the person's row and never from it. Whoever
changes or ends a membership raises the organisation's authorisation epoch after commit: a key that acts as the person
is judged by the new role on its next request.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.accounts import close_sessions_of
from ontology.actors import Actor
from ontology.connection_rows import Connection
from ontology.connections import add_connection
from ontology.database import lock_for_count
from ontology.errors import Conflict, Flaw
from ontology.events import record_event
from ontology.groups import ACTIVE, ARCHIVED
from ontology.ids import GroupId, PersonId, encode_id
from ontology.invitations import cancel_invitations_of
from ontology.key_issuing import EXPLORER_NAME
from ontology.keys import REVOKED
from ontology.people import Person, PersonUpdate, get_person, refuse_wider_role
from ontology.records import Moment, Record, refuse_nulls, to_epoch_ms, utc_now
from ontology.roles import ROLES, Role
from ontology.thing_rows import Status, Thing


class Membership(Record):
    """A group that somebody belongs to, and what they may do there."""

    person_id: PersonId
    group_id: GroupId
    role: str
    permissions: list[str]
    joined_at: Moment | None
    invited_by: str | None


async def connect_member(
    session: AsyncSession, actor: Actor, person: Person, now: datetime, *, invited_by: str | None = None
) -> None:
    """Tell of a person's membership, in the transaction that begins it."""
    metadata = _describe_role(Role(person.role)) | {"joinedAt": to_epoch_ms(now)}
    if invited_by is not None:
        metadata["invitedBy"] = invited_by
    connection = Connection(
        org_id=person.org_id,
        group_id=person.group_id,
        relationship_type="member_of",
        from_person_id=person.id,
        to_group_id=person.group_id,
        metadata_=metadata,
        valid_from=now,
        created_by=actor.id,
    )
    await add_connection(session, actor, connection)


async def list_memberships(session: AsyncSession, actor: Actor, person_id: UUID) -> list[Membership]:
    """Every group within reach that whoever has this person's e-mail address belongs to, oldest first.

    Raises:
        NotFound: the person is out of reach.
    """
    person = await get_person(session, actor, person_id)
    query = Person.visible_to(actor).where(col(Person.email) == person.email, col(Person.status) == ACTIVE)
    people = (await session.exec(query.order_by(col(Person.id)))).all()
    told = Connection.visible_to(actor).where(
        col(Connection.from_person_id).in_([found.id for found in people]),
        col(Connection.relationship_type) == "member_of",
        col(Connection.to_group_id).is_not(None),
        col(Connection.deleted_at).is_(None),
    )
    joins = {found.from_person_id: found for found in (await session.exec(told)).all()}
    return [_describe_membership(found, joins.get(found.id)) for found in people]


async def update_person(
    session: AsyncSession, actor: Actor, person_id: UUID, change: PersonUpdate, now: datetime
) -> Person:
    """Change what a person is called or may do. A new role holds from their next request on.

    Raises:
        NotFound. Conflict: they have been removed, or are the last owner. PrivilegeEscalation: a role above the
        actor's.
    """
    refuse_nulls(change, "name", "role")
    person = await get_person(session, actor, person_id, lock=True)
    if person.status != ACTIVE:
        raise Conflict("This person has been removed; invite them again.", leads_to=("createInvitation",))
    refuse_wider_role(actor, Role(person.role), "path.personId")
    before = {"name": person.name, "role": person.role}
    if change.role is not None and change.role != person.role:
        refuse_wider_role(actor, change.role)
        await _refuse_last_owner(session, actor, person)
        person.role = change.role
        await cancel_invitations_of(session, actor, person, now)
        told = _describe_role(change.role) | {"roleChangedAt": to_epoch_ms(now)}
        await _change_member_of(session, actor, person, told)
    person.name = change.name or person.name
    after = {"name": person.name, "role": str(person.role)}
    changed = {name: value for name, value in after.items() if value != before[name]}
    if changed:
        person.updated_at = now
        previous = {name: before[name] for name in changed}
        _record(session, actor, "profile_updated", person, changes=changed, previousValues=previous)
    return person


async def remove_person(session: AsyncSession, actor: Actor, person_id: UUID, now: datetime) -> Person:
    """End a membership: the person is archived and signed out everywhere, their explorer keys and invitations end.

    What they made stays, keys made for programs included: those belong to the organisation. Twice is harmless.

    Raises:
        NotFound. Conflict: they are the last owner. PrivilegeEscalation: their role is above the actor's.
    """
    person = await get_person(session, actor, person_id, lock=True)
    if person.status != ACTIVE:
        return person
    refuse_wider_role(actor, Role(person.role), "path.personId")
    await _refuse_last_owner(session, actor, person)
    person.status, person.updated_at = ARCHIVED, now
    for connection in await _find_member_of(session, actor, person):
        connection.valid_to = connection.deleted_at = connection.updated_at = now
    await close_sessions_of(session, person)
    await cancel_invitations_of(session, actor, person, now)
    await _revoke_explorer_keys(session, actor, person, now)
    _record(session, actor, "user_removed_from_group", person, removedBy=actor.id, role=person.role)
    return person


async def _refuse_last_owner(session: AsyncSession, actor: Actor, person: Person) -> None:
    """An organisation always has somebody who may do everything; exact when two owners leave at once."""
    if person.role != Role.ORG_OWNER or person.group_id != person.org_id:
        return
    await lock_for_count(session, person.org_id)
    others = Person.visible_to(actor).where(
        col(Person.group_id) == person.org_id,
        col(Person.role) == Role.ORG_OWNER,
        col(Person.status) == ACTIVE,
        col(Person.id) != person.id,
    )
    if (await session.exec(others.limit(1))).first() is None:
        flaw = Flaw("path.personId", "is the organisation's last owner", "make somebody else an owner first")
        raise Conflict("An organisation keeps at least one owner.", flaws=[flaw], leads_to=("updatePerson",))


async def _find_member_of(session: AsyncSession, actor: Actor, person: Person) -> list[Connection]:
    query = Connection.visible_to(actor).where(
        col(Connection.from_person_id) == person.id,
        col(Connection.relationship_type) == "member_of",
        col(Connection.to_group_id) == person.group_id,
        col(Connection.deleted_at).is_(None),
    )
    return list((await session.exec(query)).all())


async def _change_member_of(session: AsyncSession, actor: Actor, person: Person, change: dict[str, Any]) -> None:
    for connection in await _find_member_of(session, actor, person):
        connection.metadata_ = connection.metadata_ | change
        connection.updated_at = utc_now()


async def _revoke_explorer_keys(session: AsyncSession, actor: Actor, person: Person, now: datetime) -> None:
    """The keys the portal minted for them; refused already, since who acts is asked at every change of epoch."""
    query = Thing.visible_to(actor).where(
        col(Thing.type) == "api_key",
        col(Thing.name) == EXPLORER_NAME,
        col(Thing.created_by) == encode_id("person", person.id),
        col(Thing.status) == Status.ACTIVE,
    )
    for key in (await session.exec(query)).all():
        key.status, key.updated_at = REVOKED, now
        key.properties = key.properties | {"revokedAt": to_epoch_ms(now)}
        target = encode_id("thing", key.id)
        metadata = {"keyId": target, "prefix": key.properties["prefix"], "reason": "person removed"}
        record_event(session, actor, "api_key_revoked", group_id=key.group_id, target_id=target, metadata=metadata)


def _describe_role(role: Role) -> dict[str, Any]:
    return {"role": role.value, "permissions": list(ROLES[role].permissions)}


def _describe_membership(person: Person, told: Connection | None) -> Membership:
    metadata: dict[str, Any] = told.metadata_ if told else {}
    return Membership(
        person_id=person.id,
        group_id=person.group_id,
        role=person.role,
        permissions=list(ROLES[Role(person.role)].permissions),
        joined_at=told.valid_from if told else None,
        invited_by=metadata.get("invitedBy"),
    )


def _record(session: AsyncSession, actor: Actor, type: str, person: Person, **more: Any) -> None:
    target = encode_id("person", person.id)
    record_event(session, actor, type, group_id=person.group_id, target_id=target, metadata={"userId": target} | more)
