"""`/v1/ontology/features`: which feature sets of the vocabulary the organisation has switched on."""

from typing import Any

from pydantic import BaseModel, Field

from api import examples
from api.api_keys import raise_epoch
from api.operations import Call, NoBody, NoQuery, operation
from ontology.errors import NotFound
from ontology.features import FeaturesUpdate, describe_features, update_features
from ontology.scopes import Scope

_TAG = "Organisation"


class Features(BaseModel):
    """Every feature set, and whether it is on."""

    features: dict[str, bool] = Field(description="Feature sets by name: on (true) or off (false).")


@operation(
    "GET",
    "/v1/ontology/features",
    id="getFeatures",
    tag=_TAG,
    scope=None,
    answer=Features,
    answer_example=examples.FEATURES,
)
async def get_features(call: Call[NoBody, NoQuery]) -> dict[str, Any]:
    """Get feature sets.

    Which sets of further types, such as a shop's carts and orders, the organisation has switched on. `GET /v1/ontology`
    says what each holds.
    """
    return {"features": describe_features(call.actor.feature_sets)}


@operation(
    "PATCH",
    "/v1/ontology/features",
    id="updateFeatures",
    tag=_TAG,
    scope=Scope.GROUPS_WRITE,
    body=FeaturesUpdate,
    answer=Features,
    errors=(NotFound,),
    body_example={"features": {"shop": True}},
    answer_example=examples.FEATURES,
    after_commit=raise_epoch,
)
async def change_features(call: Call[FeaturesUpdate, NoQuery]) -> dict[str, Any]:
    """Switch feature sets.

    For the whole organisation, from the next call of every key on; those not named stay as they are. What there is of
    a set that is switched off can be read, changed and deleted as before; nothing new of its types can be created.
    """
    return {"features": await update_features(call.session, call.actor, call.body)}


handlers = [get_features, change_features]
