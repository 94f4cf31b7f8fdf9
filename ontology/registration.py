"""Registration: an organisation with all it needs for its first call, in one transaction."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.accounts import create_account, normalise_email
from ontology.actors import Actor, owner_actor
from ontology.connection_rows import Connection, end_columns
from ontology.connections import add_connection
from ontology.database import state_actor
from ontology.errors import Conflict, Flaw
from ontology.events import record_event
from ontology.groups import Group, insert_closure, make_handle, make_slug
from ontology.ids import encode_id, new_id
from ontology.key_issuing import issue_key
from ontology.key_shapes import ApiKeyCreate, NewApiKey
from ontology.memberships import connect_member
from ontology.people import Person
from ontology.plans import Plan, describe_allowance
from ontology.records import utc_now
from ontology.roles import Role
from ontology.scopes import ALL_SCOPES
from ontology.thing_rows import Status, Thing
from ontology.things import add_thing


@dataclass(frozen=True, slots=True)
class Registration:
    """A new organisation, its owner, and its first key with the text of it."""

    organisation: Group
    owner: Person
    actor: Actor
    key: NewApiKey

    @property
    def handle(self) -> str:
        return self.organisation.handle or ""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who registers; without a password hash no portal account is made."""

    organisation_name: str
    person_name: str
    email: str
    plan: Plan = Plan.STARTER
    password_hash: str | None = None


async def register_organisation(session: AsyncSession, applicant: Applicant, *, pepper: str) -> Registration:
    """Create the organisation, its owner, application, service account, quota and first key, connected and logged.

    The session comes from `open_lookup()`; from here on it acts as the new owner, so that even registration passes
    row-level security. All of it is committed or none.

    Raises:
        Conflict: the e-mail address has a portal account already.
    """
    org_id = new_id()
    owner_id = new_id()
    actor = owner_actor(org_id, owner_id, applicant.plan)
    await state_actor(session, actor)
    organisation = await _create_root(session, actor, applicant)
    owner = await _create_owner(session, actor, owner_id, applicant)
    application, quota = await _create_application(session, actor, applicant)
    new = ApiKeyCreate.model_construct(
        name="First key", scopes=None, preset=None, group_id=None, expires_at=None, rate_limit=None
    )
    key = await issue_key(session, actor, new, group=organisation, scopes=ALL_SCOPES, pepper=pepper)
    application_id = encode_id("thing", application.id)
    await _connect(session, actor, "belongs_to_org", application_id, encode_id("group", org_id))
    await _connect(session, actor, "has_quota", application_id, encode_id("thing", quota.id))
    return Registration(organisation, owner, actor, key)


async def _create_root(session: AsyncSession, actor: Actor, applicant: Applicant) -> Group:
    group = Group(
        id=actor.org_id,
        org_id=actor.org_id,
        slug=make_slug(applicant.organisation_name),
        name=applicant.organisation_name,
        type="organization",
        settings={"visibility": "private", "joinPolicy": "invite_only"},
        handle=make_handle(),
        plan=applicant.plan,
        created_by=actor.id,
    )
    await insert_closure(session, group)
    session.add(group)
    await session.flush()
    target = encode_id("group", group.id)
    record_event(session, actor, "thing_created", group_id=group.id, target_id=target, metadata={"thingType": "group"})
    return group


async def _create_owner(session: AsyncSession, actor: Actor, owner_id: UUID, applicant: Applicant) -> Person:
    owner = Person(
        id=owner_id,
        org_id=actor.org_id,
        group_id=actor.org_id,
        name=applicant.person_name,
        email=normalise_email(applicant.email),
        role=Role.ORG_OWNER,
        created_by=actor.id,
    )
    session.add(owner)
    await session.flush()
    record_event(session, actor, "user_registered", group_id=actor.org_id, target_id=actor.id)
    await connect_member(session, actor, owner, utc_now())
    if applicant.password_hash is not None:
        try:
            await create_account(session, owner, applicant.password_hash, utc_now())
        except IntegrityError:
            flaw = Flaw("body.email", "has an account already", "sign in instead")
            raise Conflict("This e-mail address cannot be registered again.", flaws=[flaw]) from None
    return owner


async def _create_application(session: AsyncSession, actor: Actor, applicant: Applicant) -> tuple[Thing, Thing]:
    application = await _add(session, actor, "api_application", "Default application", {})
    reference = encode_id("thing", application.id)
    permissions: dict[str, object] = {"applicationId": reference, "permissions": sorted(ALL_SCOPES)}
    await _add(session, actor, "service_account", "Default service account", permissions)
    quota = await _add(session, actor, "api_quota", "Quota", describe_allowance(applicant.plan))
    metadata = {"applicationId": reference}
    record_event(
        session,
        actor,
        "api_application_registered",
        group_id=actor.org_id,
        target_id=reference,
        metadata=metadata,
    )
    return application, quota


async def _add(session: AsyncSession, actor: Actor, type: str, name: str, properties: dict[str, object]) -> Thing:
    thing = Thing(
        org_id=actor.org_id,
        group_id=actor.org_id,
        type=type,
        name=name,
        properties=properties,
        status=Status.ACTIVE,
        created_by=actor.id,
    )
    await add_thing(session, actor, thing)
    return thing


async def _connect(session: AsyncSession, actor: Actor, type: str, from_id: str, to_id: str) -> None:
    connection = Connection(
        org_id=actor.org_id,
        group_id=actor.org_id,
        relationship_type=type,
        created_by=actor.id,
        **end_columns(from_id, to_id),
    )
    await add_connection(session, actor, connection)
