"""`/v1/entities`: things of every type through one resource."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from api import examples
from api.operations import Call, FastAnswer, FastCall, NoBody, NoQuery, operation
from api.parameters import DryRunQuery, PageQuery, Query, QueryBoolean, QueryText
from ontology import hot_things, thing_lists, things
from ontology.errors import (
    Conflict,
    FeatureDisabled,
    GroupArchived,
    InvalidProperties,
    ManagedType,
    NotFound,
    QuotaExceeded,
    UnknownType,
)
from ontology.expansion import CONNECTIONS_SHOWN, ExpandedThing, expand_things
from ontology.fast_database import Unserved
from ontology.ids import GroupId
from ontology.pagination import TOTAL_MAX, Page
from ontology.property_filters import (
    FILTERS_MAX,
    NAME_PATTERN,
    OPERATORS,
    PREFIX,
    VALUE_LENGTH_MAX,
    parse_property_filters,
)
from ontology.records import Moment, utc_now
from ontology.scopes import Scope
from ontology.text_filters import WORDS_MAX
from ontology.thing_lists import SortBy, ThingFilter, hidden_names
from ontology.thing_rows import Status, Thing, ThingFields
from ontology.things import ThingCreate, ThingReplace, ThingUpdate, TypeName

# Query parameters by their whole names, which no fixed list could hold.
PropertyParameters = Annotated[
    dict[str, str],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": FILTERS_MAX,
            "patternProperties": {
                rf"^properties\.{NAME_PATTERN}(\[({'|'.join(OPERATORS[:-1])})\])?$": {
                    "type": "string",
                    "maxLength": VALUE_LENGTH_MAX,
                },
                rf"^properties\.{NAME_PATTERN}\[exists\]$": {"enum": ["true", "false"]},
            },
            "additionalProperties": False,
        }
    ),
]
_TAG = "Entities"
_PATH_ID = {"entityId": "thing"}
_FAST_FILTERS = {"limit", "cursor", "type", "include_deleted"}
_CREATE_ERRORS = (NotFound, GroupArchived, QuotaExceeded, UnknownType, ManagedType, FeatureDisabled, InvalidProperties)


class ExpandQuery(Query):
    """What to show beside a row."""

    expand: (
        Annotated[
            Literal["connections"],
            Field(
                description="Show each entity's newest live connections too, "
                f"{CONNECTIONS_SHOWN} at most; needs `connections:read`."
            ),
        ]
        | None
    ) = None


class EntitiesQuery(PageQuery, ExpandQuery):
    """Filters of the list of entities, and its order."""

    type: TypeName | None = None
    status: Status | None = None
    q: (
        Annotated[
            QueryText, Field(description=f"Words that the name or the texts hold or begin with, {WORDS_MAX} at most.")
        ]
        | None
    ) = None
    group_id: Annotated[GroupId, Field(description="Only entities of this group.")] | None = None
    include_deleted: Annotated[QueryBoolean, Field(description="Also deleted entities.")] = False
    created_after: (
        Annotated[Moment, Field(description="Created at this time or later; epoch ms or ISO 8601.")] | None
    ) = None
    created_before: Annotated[Moment, Field(description="Created before this time.")] | None = None
    updated_after: Annotated[Moment, Field(description="Changed last at this time or later.")] | None = None
    updated_before: Annotated[Moment, Field(description="Changed last before this time.")] | None = None
    sort: Annotated[SortBy, Field(description="What to sort by; `createdAt` if absent.")] | None = None
    order: Annotated[Literal["asc", "desc"], Field(description="Upwards, or downwards if absent.")] = "desc"
    total_count: Annotated[
        QueryBoolean, Field(description=f"Count the rows of all pages together too, no further than {TOTAL_MAX}.")
    ] = False
    properties: PropertyParameters = Field(
        default_factory=dict,
        description="What properties hold: `properties.price[gte]=10`, `properties.tags=ferns`. Operators: none for "
        "equal, and `ne`, `gt`, `gte`, `lt`, `lte`, `in` (separated by commas), `exists`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Parameters named `properties.…` under one name."""
        found = {name: value for name, value in given.items() if name.startswith(PREFIX)}
        rest = {name: value for name, value in given.items() if name not in found}
        return rest | ({"properties": found} if found and "properties" not in rest else {})

    def narrow(self) -> ThingFilter:
        filters = parse_property_filters(self.properties, hidden_names(self.type))
        return ThingFilter(
            self.created_after, self.created_before, self.updated_after, self.updated_before, tuple(filters)
        )


async def _create_fast(call: FastCall[ThingCreate, DryRunQuery]) -> FastAnswer:
    now = utc_now()
    return FastAnswer(await hot_things.write_thing(call.services.hot, call.actor, call.body, now), now)


async def _list_fast(call: FastCall[NoBody, EntitiesQuery]) -> FastAnswer:
    query = call.query
    if query.model_fields_set - _FAST_FILTERS:
        raise Unserved
    content = await hot_things.read_things(
        call.services.hot, call.actor, call.page(query), type=query.type, include_deleted=query.include_deleted
    )
    return FastAnswer(content)


async def _get_fast(call: FastCall[NoBody, ExpandQuery]) -> FastAnswer:
    if call.query.expand is not None:
        raise Unserved
    content, changed = await hot_things.read_thing(call.services.hot, call.actor, call.ids["entityId"])
    return FastAnswer(content, changed)


@operation(
    "POST",
    "/v1/entities",
    id="createEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_WRITE,
    query=DryRunQuery,
    body=ThingCreate,
    answer=ThingFields,
    status=201,
    errors=_CREATE_ERRORS,
    body_example=examples.ENTITY_CREATE,
    answer_example=examples.ENTITY,
    fast=_create_fast,
)
async def create_entity(call: Call[ThingCreate, DryRunQuery]) -> Thing:
    """Create an entity.

    In the key's group, or in `groupId` within the key's reach. New entities are drafts unless `status` says otherwise.
    """
    return await things.create_thing(call.session, call.actor, call.body)


@operation(
    "POST",
    "/v1/entities/create",
    id="createEntityAlias",
    tag=_TAG,
    scope=Scope.ENTITIES_WRITE,
    query=DryRunQuery,
    body=ThingCreate,
    answer=ThingFields,
    status=201,
    errors=_CREATE_ERRORS,
    body_example=examples.ENTITY_CREATE,
    answer_example=examples.ENTITY,
    fast=_create_fast,
)
async def create_entity_alias(call: Call[ThingCreate, DryRunQuery]) -> Thing:
    """Create an entity, in the published spelling.

    The same as `POST /v1/entities`.
    """
    return await things.create_thing(call.session, call.actor, call.body)


@operation(
    "GET",
    "/v1/entities",
    id="listEntities",
    tag=_TAG,
    scope=Scope.ENTITIES_READ,
    query=EntitiesQuery,
    answer=ExpandedThing,
    shape="page",
    errors=(NotFound, UnknownType),
    answer_example=examples.ENTITY,
    fast=_list_fast,
)
async def list_entities(call: Call[NoBody, EntitiesQuery]) -> Page[Thing] | Page[ExpandedThing]:
    """List entities.

    Those of the key's group and every group below it, newest first unless `sort` and `order` say otherwise. Managed
    types (keys, accounts) are listed only when `type` names one, to keys with the scope of the operations that manage
    it, such as `api_keys:manage`.
    """
    query = call.query
    found = await thing_lists.list_things(
        call.session,
        call.actor,
        call.page(query),
        type=query.type,
        status=query.status,
        q=query.q,
        group_id=query.group_id,
        include_deleted=query.include_deleted,
        narrow=query.narrow(),
        sort_by=query.sort,
        descending=query.order == "desc",
        with_total=query.total_count,
    )
    if query.expand is None:
        return found
    return Page(await expand_things(call.session, call.actor, found.rows), found.next_cursor, found.total)


@operation(
    "GET",
    "/v1/entities/{entityId}",
    id="getEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_READ,
    path_ids=_PATH_ID,
    query=ExpandQuery,
    answer=ExpandedThing,
    errors=(NotFound,),
    answer_example=examples.ENTITY,
    fast=_get_fast,
)
async def get_entity(call: Call[NoBody, ExpandQuery]) -> Thing | ExpandedThing:
    """Get an entity.

    Deleted ones too, with `deletedAt` set. With `expand=connections` also what it is connected to. One of a managed
    type (keys, accounts) needs the scope of the operations that manage it, too.
    """
    thing = await things.get_thing(call.session, call.actor, call.ids["entityId"])
    if call.query.expand is None:
        return thing
    return (await expand_things(call.session, call.actor, [thing]))[0]


@operation(
    "PATCH",
    "/v1/entities/{entityId}",
    id="updateEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_WRITE,
    path_ids=_PATH_ID,
    query=DryRunQuery,
    body=ThingUpdate,
    answer=ThingFields,
    errors=(NotFound, GroupArchived, ManagedType, Conflict, InvalidProperties),
    body_example=examples.ENTITY_UPDATE,
    answer_example=examples.ENTITY,
)
async def update_entity(call: Call[ThingUpdate, DryRunQuery]) -> Thing:
    """Update an entity.

    A JSON Merge Patch (RFC 7396): what is absent stays, a property set to `null` is removed.
    """
    return await things.update_thing(call.session, call.actor, call.ids["entityId"], call.body)


@operation(
    "PUT",
    "/v1/entities/{entityId}",
    id="replaceEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_WRITE,
    path_ids=_PATH_ID,
    query=DryRunQuery,
    body=ThingReplace,
    answer=ThingFields,
    errors=(NotFound, GroupArchived, ManagedType, Conflict, InvalidProperties),
    body_example=examples.ENTITY_REPLACE,
    answer_example=examples.ENTITY,
)
async def replace_entity(call: Call[ThingReplace, DryRunQuery]) -> Thing:
    """Replace an entity.

    Name, properties and status as a whole: what is absent is as on creation. The type and the group stay.
    """
    return await things.replace_thing(call.session, call.actor, call.ids["entityId"], call.body)


@operation(
    "DELETE",
    "/v1/entities/{entityId}",
    id="deleteEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_DELETE,
    path_ids=_PATH_ID,
    answer=ThingFields,
    errors=(NotFound, GroupArchived, ManagedType),
    answer_example=examples.ENTITY,
)
async def delete_entity(call: Call[NoBody, NoQuery]) -> Thing:
    """Delete an entity.

    It is archived, leaves every list, and can be restored; its connections are deleted with it.
    """
    return await things.delete_thing(call.session, call.actor, call.ids["entityId"])


@operation(
    "POST",
    "/v1/entities/{entityId}/restore",
    id="restoreEntity",
    tag=_TAG,
    scope=Scope.ENTITIES_WRITE,
    path_ids=_PATH_ID,
    answer=ThingFields,
    errors=(NotFound, GroupArchived, ManagedType, Conflict, QuotaExceeded),
    answer_example=examples.ENTITY,
)
async def restore_entity(call: Call[NoBody, NoQuery]) -> Thing:
    """Restore an entity.

    A deleted or archived entity becomes active again; its connections stay deleted.
    """
    return await things.restore_thing(call.session, call.actor, call.ids["entityId"])


handlers = [
    create_entity,
    create_entity_alias,
    list_entities,
    get_entity,
    update_entity,
    replace_entity,
    delete_entity,
    restore_entity,
]
