"""Making API keys: shown once, never wider than the key that makes them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection, end_columns
from ontology.connections import add_connection
from ontology.database import state, state_actor
from ontology.errors import Conflict, Flaw, InvalidRequest, NotFound
from ontology.groups import Group, find_ancestor_ids, get_active_group
from ontology.ids import decode_id, encode_id
from ontology.key_bounds import KeyBounds
from ontology.key_secrets import KeySecret, digest_key, make_secret
from ontology.key_shapes import ApiKeyCreate, NewApiKey, describe_key
from ontology.keys import find_key, record_key_event, refuse_wider
from ontology.records import to_epoch_ms, utc_now
from ontology.scopes import PRESETS, Preset, Scope, expand_scopes
from ontology.thing_rows import Status, Thing
from ontology.things import add_thing

EXPLORER_NAME = "Explorer"
_EXPLORER_LIFE = timedelta(hours=1)
_TWIN_RIGHTS = ("scopes", "rateLimit", "expiresAt", "allowedAddresses", "allowedOrigins", "applicationId", "actorId")


async def create_key(
    session: AsyncSession, actor: Actor, new: ApiKeyCreate, *, pepper: str, now: datetime
) -> NewApiKey:
    """Create a key; its text is in the answer and nowhere else.

    Raises:
        PrivilegeEscalation: wider than the creating key. NotFound, GroupArchived: the group. InvalidRequest.
    """
    if (new.scopes is None) == (new.preset is None):
        flaw = Flaw("body.scopes", "give either `scopes` or `preset`", "for example `preset: read-only`")
        raise InvalidRequest(flaws=[flaw])
    if new.scopes is not None:
        scopes = expand_scopes(new.scopes)
    else:
        scopes = PRESETS[new.preset or Preset.READ_ONLY] & actor.scopes
    if new.expires_at is not None and new.expires_at <= now:
        raise InvalidRequest(flaws=[Flaw("body.expiresAt", "lies in the past", "choose a time to come")])
    application = await _find_live_application(session, actor, new.application_id) if new.application_id else None
    group = await get_active_group(session, actor, new.group_id or (application.group_id if application else None))
    await refuse_wider(session, actor, KeyBounds.of_properties(_describe_rights(new, scopes)))
    return await issue_key(session, actor, new, group=group, scopes=scopes, pepper=pepper, application=application)


async def mint_explorer_key(session: AsyncSession, actor: Actor, *, pepper: str, now: datetime) -> NewApiKey:
    """A key of one hour for the explorer of a signed-in person, as whom it acts."""
    new = ApiKeyCreate.model_construct(
        name=EXPLORER_NAME,
        scopes=None,
        preset=None,
        group_id=None,
        expires_at=now + _EXPLORER_LIFE,
        rate_limit=None,
    )
    group = await get_active_group(session, actor, None)
    return await issue_key(session, actor, new, group=group, scopes=actor.scopes, pepper=pepper, acts_as=actor.id)


async def issue_key(
    session: AsyncSession,
    actor: Actor,
    new: ApiKeyCreate,
    *,
    group: Group,
    scopes: frozenset[Scope],
    pepper: str,
    application: Thing | None = None,
    acts_as: str | None = None,
) -> NewApiKey:
    """Store a key whose rights have been checked, with its secret and event.

    It acts as the service account of its application unless `acts_as` names a person.
    """
    rights = _describe_rights(new, scopes)
    if acts_as is not None:
        rights["actorId"] = acts_as
    if application is not None:
        rights |= await _choose_account(session, actor, application, group)
    return await _store_key(session, actor, new.name, rights, group=group, pepper=pepper)


async def issue_twin(
    session: AsyncSession, actor: Actor, old: Thing, rights: Mapping[str, Any], *, group: Group, pepper: str
) -> NewApiKey:
    """A key that replaces another, with rights, as properties of a key, that its caller has checked."""
    kept = {name: rights.get(name) for name in _TWIN_RIGHTS} | {"replaces": encode_id("thing", old.id)}
    return await _store_key(session, actor, old.name, kept, group=group, pepper=pepper)


async def _store_key(
    session: AsyncSession, actor: Actor, name: str, rights: dict[str, Any], *, group: Group, pepper: str
) -> NewApiKey:
    organisation, application, account = await _find_application(session, actor)
    secret = make_secret(organisation.handle or "")
    key = Thing(
        org_id=actor.org_id,
        group_id=group.id,
        type="api_key",
        name=name,
        status=Status.ACTIVE,
        properties={
            "prefix": secret.prefix,
            "organizationId": encode_id("group", actor.org_id),
            "applicationId": encode_id("thing", application) if application else None,
            "actorId": encode_id("thing", account) if account else actor.id,
            **rights,
        },
        created_by=actor.id,
    )
    await add_thing(session, actor, key)
    digest = digest_key(secret.text, pepper)
    session.add(KeySecret(digest=digest, org_id=actor.org_id, group_id=group.id, key_id=key.id))
    await _connect_key(session, actor, key)
    told = {"scopes": rights["scopes"], "prefix": secret.prefix}
    if "replaces" in rights:
        told["replaces"] = rights["replaces"]
    record_key_event(session, actor, "api_key_generated", key, **told)
    public = describe_key(key, None, utc_now())
    return NewApiKey.model_construct(**dict(public), key=secret.text)


def _describe_rights(new: ApiKeyCreate, scopes: frozenset[Scope]) -> dict[str, Any]:
    """What a key may do and until when, as its properties."""
    return {
        "scopes": sorted(scopes),
        "rateLimit": new.rate_limit.model_dump(by_alias=True) if new.rate_limit else None,
        "expiresAt": to_epoch_ms(new.expires_at) if new.expires_at else None,
        "allowedAddresses": new.allowed_addresses,
        "allowedOrigins": new.allowed_origins,
    }


async def _connect_key(session: AsyncSession, actor: Actor, key: Thing) -> None:
    """Join a key to its application, and to the person who made it; the explorer's, which come and go, to nobody."""
    if key.name == EXPLORER_NAME:
        return
    ends = [("authenticated_by", key.properties["applicationId"])]
    if actor.id.startswith("person_"):
        ends.append(("owns_api_key", actor.id))
    for type, from_id in ends:
        if from_id is None:
            continue
        connection = Connection(
            org_id=actor.org_id,
            group_id=key.group_id,
            relationship_type=type,
            created_by=actor.id,
            **end_columns(from_id, encode_id("thing", key.id)),
        )
        await add_connection(session, actor, connection)


async def _find_application(session: AsyncSession, actor: Actor) -> tuple[Group, UUID | None, UUID | None]:
    """The organisation, the application of the acting key or else the oldest live one, and its service account."""
    own = (await find_key(session, actor, actor.key_id)).properties if actor.key_id else {}
    await state(session, {"group_id": str(actor.org_id)})
    organisation = (await session.exec(select(Group).where(Group.id == actor.org_id))).one()
    query = select(Thing).where(Thing.org_id == actor.org_id, Thing.type == "api_application")
    live = query.where(Thing.status == Status.ACTIVE).order_by(col(Thing.id)).limit(1)
    application = own.get("applicationId") or _encode((await session.exec(live)).first())
    accounts = select(Thing).where(Thing.org_id == actor.org_id, Thing.type == "service_account")
    of_application = accounts.where(col(Thing.properties)["applicationId"].as_string() == application)
    account = (await session.exec(of_application.order_by(col(Thing.id)).limit(1))).first()
    await state_actor(session, actor)
    return organisation, decode_id(application)[1] if application else None, account.id if account else None


def _encode(thing: Thing | None) -> str | None:
    return encode_id("thing", thing.id) if thing else None


async def _find_live_application(session: AsyncSession, actor: Actor, application_id: UUID) -> Thing:
    """The application to make a key for; it stays live until the key is committed.

    Raises:
        NotFound: no such application within reach. Conflict: it is archived.
    """
    query = Thing.visible_to(actor).where(col(Thing.id) == application_id, col(Thing.type) == "api_application")
    if (application := (await session.exec(query.with_for_update(read=True))).first()) is None:
        raise NotFound
    if application.status != Status.ACTIVE:
        raise Conflict("The application is archived and takes no keys.", leads_to=("createApplication",))
    return application


async def _choose_account(session: AsyncSession, actor: Actor, application: Thing, group: Group) -> dict[str, Any]:
    """An application and its service account, as properties of a key.

    Raises:
        Conflict: the key's group lies outside the application's, where archiving the application would not reach it.
    """
    if application.group_id not in (group.id, *await find_ancestor_ids(session, actor.org_id, group.id)):
        flaw = Flaw("body.groupId", "lies outside the application's group", "name that group or one below it")
        raise Conflict("A key of an application lies in the application's group or below.", flaws=[flaw])
    reference = encode_id("thing", application.id)
    accounts = Thing.visible_to(actor).where(
        col(Thing.type) == "service_account", col(Thing.properties)["applicationId"].as_string() == reference
    )
    account = (await session.exec(accounts.order_by(col(Thing.id)).limit(1))).first()
    return {"applicationId": reference, "actorId": _encode(account) or actor.id}
