"""Password resets by the operator, who is trusted with every account: for who cannot sign in, or could not yet."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.accounts import create_account, find_account, normalise_email, set_password
from ontology.actors import operator_actor
from ontology.database import state_actor
from ontology.errors import NotFound
from ontology.groups import ACTIVE
from ontology.people import Person


@dataclass(frozen=True, slots=True)
class PasswordReset:
    """`new_account`: there was none, so nobody could sign in."""

    new_account: bool
    sessions_ended: int


async def reset_password(
    session: AsyncSession, email: str, password_hash: str, *, org_id: UUID | None, now: datetime
) -> PasswordReset:
    """Set the password of an e-mail address's account and end all its sessions, with an event in each of its places.

    Where no account is, a person of the organisation `org_id` gets one: the oldest of that address, which is how an
    owner who was registered at the command line comes to sign in. The session comes from `open_lookup(email=…)`.

    Raises:
        NotFound: no account has this address, and no person of the organisation without one either.
    """
    account = await find_account(session, email)
    made = account is None
    if account is None:
        if org_id is None:
            raise NotFound
        actor = operator_actor(org_id)
        await state_actor(session, actor)
        query = Person.visible_to(actor).where(
            col(Person.email) == normalise_email(email),
            col(Person.status) == ACTIVE,
        )
        person = (await session.exec(query.order_by(col(Person.id)).limit(1).with_for_update())).first()
        if person is None:
            raise NotFound
        account = await create_account(session, person, password_hash, now)
    return PasswordReset(made, await set_password(session, account, password_hash, by_operator=True))
