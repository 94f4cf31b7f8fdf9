"""Applications: the programs of an organisation, each with a service account that its keys act as.

An application, its account and their connections are managed: written here and nowhere else. A key of an application
lies in the application's group or below, so whoever reaches an application reaches its keys.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as PydanticField
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection, end_columns
from ontology.connections import add_connection
from ontology.database import whole_organisation
from ontology.errors import Conflict, NotFound
from ontology.events import record_event
from ontology.groups import get_active_group
from ontology.ids import GroupId, ThingId, encode_id
from ontology.keys import end_key, refuse_narrower
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.records import Input, Moment, Record, refuse_nulls
from ontology.thing_rows import Status, Thing
from ontology.things import add_thing

TYPE, ACCOUNT_TYPE = "api_application", "service_account"
ApplicationName = Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Web shop"])]
Description = Annotated[str, PydanticField(max_length=2_000, examples=["Sells courses to visitors"])]


class ApplicationCreate(Input):
    """An application to register, with a service account of its own."""

    name: ApplicationName = PydanticField(description="What the program is called.")
    description: Description | None = PydanticField(default=None, description="What it does.")
    group_id: GroupId | None = PydanticField(
        default=None, description="The group whose data its keys may reach; else the key's own."
    )


class ApplicationUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays."""

    name: ApplicationName | None = PydanticField(default=None, description="Its new name; it always has one.")
    description: Description | None = PydanticField(default=None, description="What it does; null takes it away.")


class Application(Record):
    """The public form of an application."""

    id: ThingId = PydanticField(serialization_alias="_id")
    group_id: GroupId
    name: str
    description: str | None
    service_account_id: ThingId | None
    status: str
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None
    created_by: str


async def create_application(session: AsyncSession, actor: Actor, new: ApplicationCreate) -> Application:
    """Register an application with its service account, its connections and its events.

    Raises:
        NotFound, GroupArchived: the group.
    """
    group = await get_active_group(session, actor, new.group_id)
    application = _make_thing(actor, group.id, TYPE, new.name, {"description": new.description})
    await add_thing(session, actor, application)
    reference = encode_id("thing", application.id)
    properties = {"applicationId": reference, "permissions": sorted(actor.scopes)}
    account = _make_thing(actor, group.id, ACCOUNT_TYPE, f"Service account of {new.name}", properties)
    await add_thing(session, actor, account)
    await _connect(session, actor, application, "belongs_to_org", encode_id("group", application.group_id))
    if (quota := await _find_quota(session, actor)) is not None:
        await _connect(session, actor, application, "has_quota", encode_id("thing", quota))
    _record(session, actor, "api_application_registered", application, initialScopes=sorted(actor.scopes))
    return _describe(application, account.id)


async def get_application(session: AsyncSession, actor: Actor, application_id: UUID) -> Application:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    application = await find_application(session, actor, application_id)
    accounts = await _find_accounts(session, actor, [application])
    return _describe(application, accounts.get(application.id))


async def list_applications(session: AsyncSession, actor: Actor, page: PageRequest) -> Page[Application]:
    """Applications within reach, newest first, archived ones included."""
    query = Thing.visible_to(actor).where(col(Thing.type) == TYPE)
    found = await fetch_page(session, actor, query, Thing.id, page, describe_list("applications"))
    accounts = await _find_accounts(session, actor, found.rows)
    return Page([_describe(row, accounts.get(row.id)) for row in found.rows], found.next_cursor)


async def update_application(
    session: AsyncSession, actor: Actor, application_id: UUID, change: ApplicationUpdate, now: datetime
) -> Application:
    """Rename or describe an application.

    Raises:
        NotFound. Conflict: it is archived. InvalidRequest: no name.
    """
    refuse_nulls(change, "name")
    given = change.model_fields_set
    application = await find_application(session, actor, application_id, lock=True)
    _refuse_archived(application)
    application.name, application.updated_at = change.name or application.name, now
    if "description" in given:
        application.properties = application.properties | {"description": change.description}
    told = {"thingType": TYPE, "action": "changed", "fields": sorted(given)}
    _record(session, actor, "thing_updated", application, **told)
    return _describe(application, (await _find_accounts(session, actor, [application])).get(application.id))


async def archive_application(session: AsyncSession, actor: Actor, application_id: UUID, now: datetime) -> Application:
    """Archive an application and revoke all of its keys, in one transaction; archiving twice is harmless.

    The caller raises the authorisation epoch after commit, so every one of the keys is dead on its next request.

    Raises:
        NotFound. PrivilegeEscalation: one of the keys has scopes the actor lacks.
    """
    application = await find_application(session, actor, application_id, lock=True)
    if application.status != Status.ARCHIVED:
        application.status, application.updated_at = Status.ARCHIVED, now
        application.deleted_at = now
        ended = await _end_keys(session, actor, application, now)
        told = {"thingType": TYPE, "action": "archived", "deletionType": "soft", "keysRevoked": ended}
        _record(session, actor, "thing_deleted", application, **told)
    return _describe(application, (await _find_accounts(session, actor, [application])).get(application.id))


async def find_application(session: AsyncSession, actor: Actor, application_id: UUID, *, lock: bool = False) -> Thing:
    """Raises: NotFound, the same whether it does not exist or lies out of reach."""
    query = Thing.visible_to(actor).where(col(Thing.id) == application_id, col(Thing.type) == TYPE)
    if (found := (await session.exec(query.with_for_update() if lock else query)).first()) is None:
        raise NotFound
    return found


async def _end_keys(session: AsyncSession, actor: Actor, application: Thing, now: datetime) -> int:
    reference = {"applicationId": encode_id("thing", application.id)}
    query = Thing.visible_to(actor).where(
        col(Thing.type) == "api_key", col(Thing.status) == Status.ACTIVE, col(Thing.properties).contains(reference)
    )
    keys = (await session.exec(query.with_for_update())).all()
    for key in keys:
        refuse_narrower(actor, key)
        end_key(session, actor, key, now, "application_archived")
    return len(keys)


async def _find_accounts(session: AsyncSession, actor: Actor, applications: Sequence[Thing]) -> dict[UUID, UUID]:
    """The service account of each application, in one query."""
    references = {encode_id("thing", application.id): application.id for application in applications}
    query = Thing.visible_to(actor).where(
        col(Thing.type) == ACCOUNT_TYPE, col(Thing.properties)["applicationId"].as_string().in_(references)
    )
    found = (await session.exec(query)).all()
    return {references[account.properties["applicationId"]]: account.id for account in found}


async def _find_quota(session: AsyncSession, actor: Actor) -> UUID | None:
    """The organisation's allowance, to connect to; it may lie above the actor's reach, and is not shown."""
    root = Actor(id=actor.id, org_id=actor.org_id, group_id=actor.org_id, scopes=actor.scopes)
    own = (col(Thing.org_id) == actor.org_id) & (col(Thing.type) == "api_quota")
    query = Thing.visible_to(root).where(own).order_by(col(Thing.id)).limit(1)
    async with whole_organisation(session, actor):
        quota = (await session.exec(query)).first()
    return quota.id if quota else None


def _refuse_archived(application: Thing) -> None:
    if application.status == Status.ARCHIVED:
        raise Conflict("The application is archived; register a new one.", leads_to=("createApplication",))


def _make_thing(actor: Actor, group_id: UUID, type: str, name: str, properties: dict[str, Any]) -> Thing:
    return Thing(
        org_id=actor.org_id,
        group_id=group_id,
        type=type,
        name=name,
        properties=properties,
        status=Status.ACTIVE,
        created_by=actor.id,
    )


async def _connect(session: AsyncSession, actor: Actor, application: Thing, type: str, to_id: str) -> None:
    connection = Connection(
        org_id=actor.org_id,
        group_id=application.group_id,
        relationship_type=type,
        created_by=actor.id,
        **end_columns(encode_id("thing", application.id), to_id),
    )
    await add_connection(session, actor, connection)


def _describe(application: Thing, account_id: UUID | None) -> Application:
    return Application.model_construct(
        id=application.id,
        group_id=application.group_id,
        name=application.name,
        description=application.properties.get("description"),
        service_account_id=account_id,
        status="archived" if application.status == Status.ARCHIVED else "active",
        created_at=application.created_at,
        updated_at=application.updated_at,
        archived_at=application.deleted_at,
        created_by=application.created_by,
    )


def _record(session: AsyncSession, actor: Actor, type: str, application: Thing, **more: Any) -> None:
    target = encode_id("thing", application.id)
    metadata = {"applicationId": target} | more
    record_event(session, actor, type, group_id=application.group_id, target_id=target, metadata=metadata)
