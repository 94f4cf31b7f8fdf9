"""`/v1/api-keys`: keys that are shown once and dead when revoked."""

from api import examples
from api.operations import Call, NoBody, NoQuery, operation
from api.parameters import PageQuery
from api.services import Services
from ontology import keys
from ontology.actors import Actor
from ontology.errors import GroupArchived, NotFound, PrivilegeEscalation, ServiceUnavailable
from ontology.keys import ApiKey, ApiKeyCreate, NewApiKey
from ontology.pagination import Page
from ontology.records import utc_now
from ontology.redis_client import RedisError
from ontology.scopes import Scope

_TAG = "API keys"
_PATH_ID = {"keyId": "thing"}
_NEW_KEY = examples.API_KEY | {"key": "org_k7m2x9q4ra_key_" + "…"}


async def raise_epoch(services: Services, actor: Actor) -> None:
    """Make every process look again before it trusts a key of this organisation.

    After whatever changes what a key may do or reach: it revoked, its group archived or moved, its person's role.

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
    errors=(NotFound, GroupArchived, PrivilegeEscalation),
    body_example=examples.API_KEY_CREATE,
    answer_example=_NEW_KEY,
)
async def create_api_key(call: Call[ApiKeyCreate, NoQuery]) -> NewApiKey:
    """Create an API key.

    The answer holds its text in `key`: the only time it is shown. A key is never wider than the one that creates it.
    """
    pepper = call.services.settings.key_pepper
    return await keys.create_key(call.session, call.actor, call.body, pepper=pepper, now=utc_now())


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


handlers = [create_api_key, list_api_keys, get_api_key, revoke_api_key]
