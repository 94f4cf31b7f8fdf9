"""Joining: from a code to a member, with an account that exists or a new one."""

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.accounts import Account, create_account, find_home
from ontology.database import state
from ontology.errors import Conflict, Flaw
from ontology.events import record_event
from ontology.ids import encode_id, new_id
from ontology.invitations import Invitation, find_invitation
from ontology.memberships import connect_member
from ontology.people import Person, act_as
from ontology.plans import Plan


async def join_with_account(session: AsyncSession, code: str, account: Account, now: datetime) -> Person:
    """Let an account in whose password has been checked; it is one more person from now on.

    The session comes from `open_lookup(invitation_digest=…, email=…)`.

    Raises:
        NotFound, Conflict: the code, or the account has another e-mail address than the invitation.
    """
    home = await find_home(session, account)
    invitation, organisation, _ = await find_invitation(session, code)
    if invitation.email != account.email:
        raise Conflict(f"This invitation is for {invitation.email}; join with an account of that address.")
    name = home.name if home else account.email.partition("@")[0]
    person = await _add_person(session, invitation, Plan(organisation.plan), name, now)
    person.account_id = account.id
    await session.flush()
    return person


async def join_with_new_account(
    session: AsyncSession, code: str, *, name: str, password_hash: str, now: datetime
) -> Person:
    """Let somebody in under a new account of the invited e-mail address.

    The session comes from `open_lookup(invitation_digest=…)`.

    Raises:
        NotFound, Conflict: the code, or the address has an account already.
    """
    invitation, organisation, _ = await find_invitation(session, code)
    person = await _add_person(session, invitation, Plan(organisation.plan), name, now)
    try:
        await create_account(session, person, password_hash, now)
    except IntegrityError:
        flaw = Flaw("body.email", "has an account already", "join with its password")
        raise Conflict("This address has an account already. Join with its password.", flaws=[flaw]) from None
    actor = act_as(person, Plan(organisation.plan))
    metadata = {"email": person.email, "displayName": person.name}
    record_event(session, actor, "user_registered", group_id=person.group_id, target_id=actor.id, metadata=metadata)
    return person


async def _add_person(session: AsyncSession, invitation: Invitation, plan: Plan, name: str, now: datetime) -> Person:
    """The invitation is used from here on; the new member is the actor of what happens."""
    identity = new_id()
    person = Person(
        id=identity,
        org_id=invitation.org_id,
        group_id=invitation.group_id,
        name=name,
        email=invitation.email,
        role=invitation.role,
        created_by=encode_id("person", identity),
    )
    await state(session, {"org_id": str(person.org_id), "group_id": str(person.group_id)})
    session.add(person)
    invitation.accepted_at = now
    await session.flush()
    actor = act_as(person, plan)
    await connect_member(session, actor, person, now, invited_by=invitation.created_by)
    metadata = {"role": person.role, "invitedBy": invitation.created_by}
    record_event(session, actor, "user_joined_group", group_id=person.group_id, target_id=actor.id, metadata=metadata)
    return person
