"""`/v1/api-keys`: keys that are shown once and dead when revoked."""

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery
from api.services import Services
from ontology import keys, rotations
from ontology.actors import Actor
from ontology.errors import Conflict, GroupArchived, NotFound, PrivilegeEscalation, ServiceUnavailable
from ontology.key_issuing import create_key
from ontology.key_shapes import ApiKey, ApiKeyCreate, ApiKeyUpdate, NewApiKey
from ontology.pagination import Page
from ontology.records import utc_now
from ontology.redis_client import RedisError
from ontology.rotations import RotatedKey, Rotation, RotationCreate
from ontology.scopes import Scope

_TAG = "API keys"
_PATH_ID = {"keyId": "thing"}
_NEW_KEY = examples.API_KEY | {"key": "org_k7m2x9q4ra_key_" + "…"}


async def raise_epoch(services: Services, actor: Actor) -> None:
    """Make every process look again before it trusts a key of this organisation.

    After whatever changes what a key may do, reach or show (`whoami`): it revoked or renamed, its group archived, moved
    or renamed, its person's role.

    Raises:
        ServiceUnavailable: the change is stored but could not be announced; repeat the request.
    """
    try:
        await services.authenticator.limiter.raise_epoch(actor.org_id)
    except RedisError:
        raise ServiceUnavailable(
            "The change is stored, but not every process could be told; repeat the request."
        ) from None


@operation(
    "POST",
    "/v1/api-keys",
    id="createApiKey",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    body=ApiKeyCreate,
    answer=NewApiKey,
    status=201,
    errors=(NotFound, GroupArchived, PrivilegeEscalation, Conflict),
    body_example=examples.API_KEY_CREATE,
    answer_example=_NEW_KEY,
)
async def create_api_key(call: Call[ApiKeyCreate, NoQuery]) -> NewApiKey:
    """Create an API key.

    The answer holds its text in `key`: the only time it is shown. A key is never wider than the one that creates it.
    """
    pepper = call.services.settings.key_pepper
    return await create_key(call.session, call.actor, call.body, pepper=pepper, now=utc_now())


@operation(
    "GET",
    "/v1/api-keys",
    id="listApiKeys",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    query=PageQuery,
    answer=ApiKey,
    shape="page",
    answer_example=examples.API_KEY,
)
async def list_api_keys(call: Call[NoBody, PageQuery]) -> Page[ApiKey]:
    """List API keys.

    Those of the key's group and every group below it, newest first, with their last use.
    """
    return await keys.list_keys(call.session, call.actor, call.page(call.query), utc_now())


@operation(
    "GET",
    "/v1/api-keys/{keyId}",
    id="getApiKey",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids=_PATH_ID,
    answer=ApiKey,
    errors=(NotFound,),
    answer_example=examples.API_KEY,
)
async def get_api_key(call: Call[NoBody, NoQuery]) -> ApiKey:
    """Get an API key.

    Its text is not among what is returned: it is not stored.
    """
    return await keys.get_key(call.session, call.actor, call.ids["keyId"], utc_now())


@operation(
    "PATCH",
    "/v1/api-keys/{keyId}",
    id="updateApiKey",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    body=ApiKeyUpdate,
    path_ids=_PATH_ID,
    answer=ApiKey,
    errors=(NotFound, PrivilegeEscalation, Conflict),
    body_example=examples.API_KEY_UPDATE,
    answer_example=examples.API_KEY | examples.API_KEY_UPDATE,
    after_commit=raise_epoch,
)
async def update_api_key(call: Call[ApiKeyUpdate, NoQuery]) -> ApiKey:
    """Change an API key.

    Its name, its own limits, where it may be used from, and fewer scopes; it holds from the next request on, on every
    process. A key is never made wider than the one that changes it, and its life cannot be extended.
    """
    return await keys.update_key(call.session, call.actor, call.ids["keyId"], call.body, utc_now())


@operation(
    "DELETE",
    "/v1/api-keys/{keyId}",
    id="revokeApiKey",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids=_PATH_ID,
    answer=ApiKey,
    errors=(NotFound, PrivilegeEscalation),
    answer_example=examples.API_KEY | {"status": "revoked", "revokedAt": 1_795_500_060_000},
    after_commit=raise_epoch,
)
async def revoke_api_key(call: Call[NoBody, NoQuery]) -> ApiKey:
    """Revoke an API key.

    Every request sent after the answer is refused, on every process. Revoking twice is harmless.
    """
    return await keys.revoke_key(call.session, call.actor, call.ids["keyId"], utc_now())


@operation(
    "POST",
    "/v1/api-keys/{keyId}/rotation",
    id="rotateApiKey",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    body=RotationCreate,
    path_ids=_PATH_ID,
    answer=RotatedKey,
    status=201,
    errors=(NotFound, GroupArchived, PrivilegeEscalation, Conflict),
    body_example=examples.ROTATION_CREATE,
    answer_example=_NEW_KEY | examples.ROTATED_KEY,
    after_commit=raise_epoch,
)
async def rotate_api_key(call: Call[RotationCreate, NoQuery]) -> RotatedKey:
    """Rotate an API key.

    The answer holds the new key's text in `key`: the only time it is shown. The old key goes on working for the grace
    period, is marked `rotating`, and is dead on the first request after it; revoke it to end the period earlier.
    """
    pepper = call.services.settings.key_pepper
    key_id = call.ids["keyId"]
    return await rotations.rotate_key(call.session, call.actor, key_id, call.body, pepper=pepper, now=utc_now())


@operation(
    "GET",
    "/v1/api-keys/{keyId}/rotation",
    id="getApiKeyRotation",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids=_PATH_ID,
    answer=Rotation,
    errors=(NotFound,),
    answer_example=examples.ROTATION,
)
async def get_api_key_rotation(call: Call[NoBody, NoQuery]) -> Rotation:
    """Get the rotation of an API key.

    Whether anything still uses the old key: when it was last used, from which address, and by which program.
    """
    return await rotations.get_rotation(call.session, call.actor, call.ids["keyId"], utc_now())


handlers = [
    create_api_key,
    list_api_keys,
    get_api_key,
    update_api_key,
    revoke_api_key,
    rotate_api_key,
    get_api_key_rotation,
]
