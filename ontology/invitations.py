"""Invitations: how a person comes into a group. An invitation is used once, within seven days, by who has its code.

The code is in the answer that creates the invitation and nowhere else: its digest is stored, its link carries it in the
fragment, which no browser sends to a server. Row-level security shows an invitation to its group, and to a transaction
that states the digest.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field as PydanticField
from pydantic import computed_field
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, Uuid
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.accounts import normalise_email
from ontology.actors import Actor
from ontology.database import lock_for_count, state
from ontology.errors import Conflict, Flaw, NotFound
from ontology.events import record_event
from ontology.groups import ACTIVE, Group, get_active_group, get_group
from ontology.ids import GroupId, InvitationId, encode_id, new_id
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.people import MemberRole, Person, refuse_wider_role
from ontology.records import Input, Moment, TenantRow, Timestamp, to_epoch_ms, utc_now
from ontology.roles import Role

LIFE = timedelta(days=7)
State = Literal["pending", "accepted", "cancelled", "expired"]


class InvitationFields(TenantRow):
    """The public form of an invitation; its code is not among what is stored."""

    id: InvitationId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    email: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    expires_at: Moment = Field(sa_type=Timestamp)
    accepted_at: Moment | None = Field(default=None, sa_type=Timestamp)
    cancelled_at: Moment | None = Field(default=None, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)

    @computed_field
    @property
    def status(self) -> State:
        return self.status_at(utc_now())

    def status_at(self, now: datetime) -> State:
        if self.accepted_at is not None:
            return "accepted"
        if self.cancelled_at is not None:
            return "cancelled"
        return "pending" if now < self.expires_at else "expired"


class Invitation(InvitationFields, table=True):
    """An invitation as it is stored."""

    __tablename__ = "invitations"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("digest"),
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("role IN ('org_owner', 'org_user', 'customer')", name="role"),
        Index("ix_invitations_org_id_id", "org_id", "id"),
        Index("ix_invitations_org_id_group_id_id", "org_id", "group_id", "id"),
    )
    digest: bytes = Field(sa_type=LargeBinary, exclude=True)


class NewInvitation(InvitationFields):
    """An invitation just made: the only time its link is shown."""

    link: str = PydanticField(description="Give it to the person; it holds the code that lets them in.")


class InvitationCreate(Input):
    """Somebody to invite, into the key's group unless `groupId` names one below it."""

    email: Annotated[
        str,
        PydanticField(
            max_length=254,
            pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,63}$",
            description="Who is invited; they join with an account of this address.",
            examples=["grace@example.com"],
        ),
    ]
    role: Annotated[MemberRole, PydanticField(description="What they may do; never more than the one who invites may.")]
    group_id: GroupId | None = PydanticField(default=None, description="A group within reach; else the key's own.")


def digest_code(code: str) -> bytes:
    """Codes are random, so a plain hash cannot be guessed."""
    return hashlib.sha256(code.encode()).digest()


async def create_invitation(
    session: AsyncSession, actor: Actor, new: InvitationCreate, *, public_url: str, now: datetime
) -> NewInvitation:
    """Invite somebody; an earlier invitation of the same address into the same group ends, also when both come at once.

    Raises:
        NotFound, GroupArchived: the group. PrivilegeEscalation: the role, or that of the earlier invitation.
        Conflict: they are a member already.
    """
    group = await get_active_group(session, actor, new.group_id)
    refuse_wider_role(actor, new.role)
    email = normalise_email(new.email)
    await lock_for_count(session, group.id)
    await _refuse_member(session, actor, group, email)
    await _cancel_pending(session, actor, now, group.id, email=email)
    code = secrets.token_urlsafe(32)
    invitation = Invitation(
        org_id=actor.org_id,
        group_id=group.id,
        email=email,
        role=new.role,
        digest=digest_code(code),
        created_at=now,
        expires_at=now + LIFE,
        created_by=actor.id,
    )
    session.add(invitation)
    await session.flush()
    record_event(
        session,
        actor,
        "user_invited_to_group",
        group_id=group.id,
        target_id=encode_id("invitation", invitation.id),
        metadata={"invitedEmail": email, "role": new.role.value, "expiresAt": to_epoch_ms(invitation.expires_at)},
    )
    shown = {name: getattr(invitation, name) for name in InvitationFields.model_fields}
    return NewInvitation.model_construct(**shown, link=f"{public_url}/join#{code}")


async def list_invitations(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    now: datetime,
    *,
    group_id: UUID | None = None,
    status: State | None = None,
) -> Page[Invitation]:
    """Invitations within reach, newest first.

    Raises:
        NotFound: the group is out of reach.
    """
    query = Invitation.visible_to(actor)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(Invitation.group_id) == group.id)
    if status == "accepted":
        query = query.where(col(Invitation.accepted_at).is_not(None))
    elif status == "cancelled":
        query = query.where(col(Invitation.cancelled_at).is_not(None))
    elif status is not None:
        query = query.where(col(Invitation.accepted_at).is_(None), col(Invitation.cancelled_at).is_(None))
        lives = col(Invitation.expires_at) > now
        query = query.where(lives if status == "pending" else ~lives)
    purpose = describe_list("invitations", group=group_id, status=status)
    return await fetch_page(session, actor, query, Invitation.id, page, purpose)


async def cancel_invitation(session: AsyncSession, actor: Actor, invitation_id: UUID, now: datetime) -> Invitation:
    """Make an invitation worthless; its code is refused from here on. Cancelling twice is harmless.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach. Conflict: it has been accepted.
        PrivilegeEscalation: it invites to more than the actor may do.
    """
    query = Invitation.visible_to(actor).where(col(Invitation.id) == invitation_id).with_for_update()
    invitation = (await session.exec(query)).first()
    if invitation is None:
        raise NotFound
    if invitation.accepted_at is not None:
        raise Conflict("The invitation has been accepted; remove the person instead.", leads_to=("removePerson",))
    if invitation.cancelled_at is None:
        refuse_wider_role(actor, Role(invitation.role), "path.invitationId")
        _cancel(session, actor, invitation, now)
    return invitation


async def cancel_invitations_of(session: AsyncSession, actor: Actor, person: Person, now: datetime) -> None:
    """Nobody comes in any more through who has left or may do less."""
    await _cancel_pending(session, actor, now, created_by=encode_id("person", person.id))


async def find_invitation(session: AsyncSession, code: str) -> tuple[Invitation, Group, Group]:
    """The invitation that a code belongs to, with its organisation and group; from here on as its group sees it.

    The session comes from `open_lookup(invitation_digest=…)`. The row is locked until commit, so that a code used twice
    at once lets in one.

    Raises:
        NotFound: no invitation has this code. Conflict: it is used, cancelled or expired, or its group is archived.
    """
    query = select(Invitation).where(Invitation.digest == digest_code(code))
    found = (await session.exec(query)).first()
    if found is None:
        raise NotFound("There is no such invitation. Check that the link is complete.")
    await state(session, {"org_id": str(found.org_id), "group_id": str(found.org_id)})
    locked = query.with_for_update().execution_options(populate_existing=True)
    invitation = (await session.exec(locked)).one()
    refusal = _REFUSALS.get(invitation.status)
    groups = select(Group).where(col(Group.id).in_((found.org_id, found.group_id)), col(Group.status) == ACTIVE)
    active = {group.id: group for group in (await session.exec(groups)).all()}
    if refusal is None and not {found.org_id, found.group_id} <= set(active):
        refusal = "The group of this invitation is archived."
    if refusal is not None:
        raise Conflict(refusal)
    return invitation, active[found.org_id], active[found.group_id]


_REFUSALS = {
    "accepted": "This invitation has been used already.",
    "cancelled": "This invitation has been withdrawn. Ask for another.",
    "expired": "This invitation has expired. Ask for another.",
}


async def _refuse_member(session: AsyncSession, actor: Actor, group: Group, email: str) -> None:
    query = Person.visible_to(actor).where(
        col(Person.group_id) == group.id, col(Person.email) == email, col(Person.status) == ACTIVE
    )
    if (await session.exec(query)).first() is not None:
        flaw = Flaw("body.email", "belongs to a member of the group", "change that person's role instead")
        told = "This person is a member of the group already."
        raise Conflict(told, flaws=[flaw], leads_to=("listPeople", "updatePerson"))


async def _cancel_pending(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    group_id: UUID | None = None,
    *,
    email: str | None = None,
    created_by: str | None = None,
) -> None:
    query = Invitation.visible_to(actor).where(
        col(Invitation.accepted_at).is_(None), col(Invitation.cancelled_at).is_(None)
    )
    if group_id is not None:
        query = query.where(col(Invitation.group_id) == group_id, col(Invitation.email) == email)
    if created_by is not None:
        query = query.where(col(Invitation.created_by) == created_by)
    for invitation in (await session.exec(query.with_for_update())).all():
        if email is not None:  # those of somebody who leaves end whatever they invite to
            refuse_wider_role(actor, Role(invitation.role), "body.email")
        _cancel(session, actor, invitation, now)


def _cancel(session: AsyncSession, actor: Actor, invitation: Invitation, now: datetime) -> None:
    invitation.cancelled_at = now
    target = encode_id("invitation", invitation.id)
    metadata = {"thingType": "invitation", "action": "cancelled", "deletionType": "soft"}
    record_event(session, actor, "thing_deleted", group_id=invitation.group_id, target_id=target, metadata=metadata)
