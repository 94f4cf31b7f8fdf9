"""`/v1/entities/batch`: many changes of entities in one request, with an answer for each."""

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from api import examples
from api.batch_items import EachByItself, UnreadableItem
from api.flaws import describe_flaws
from api.operations import Call, operation
from api.parameters import DryRunQuery
from api.problems import describe_problem
from ontology.errors import (
    Conflict,
    FeatureDisabled,
    GroupArchived,
    InvalidProperties,
    InvalidRequest,
    ManagedType,
    NotFound,
    PortalError,
    QuotaExceeded,
    UnknownType,
)
from ontology.records import Input
from ontology.scopes import Scope
from ontology.thing_batches import ITEMS_MAX, BatchCreate, BatchDelete, BatchUpdate, Change, Outcome, change_things
from ontology.thing_rows import ThingFields

_KINDS = {"create": BatchCreate, "update": BatchUpdate, "delete": BatchDelete}


def _operation_of(item: Any) -> Any:
    return item.get("operation", "create") if isinstance(item, dict) else "create"  # pyright: ignore


BatchItem = Annotated[
    Annotated[BatchCreate, Tag("create")]
    | Annotated[BatchUpdate, Tag("update")]
    | Annotated[BatchDelete, Tag("delete")],
    Discriminator(_operation_of),
    EachByItself,
]


class EntityBatch(Input):
    """Changes in the order in which they are applied."""

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=ITEMS_MAX)] = Field(
        description=f"At most {ITEMS_MAX:,}. Items without `operation` create.".replace(",", " ")
    )
    atomic: bool = Field(default=False, description="All or nothing; otherwise each item succeeds or fails on its own.")


class BatchResult(BaseModel):
    """What became of one item."""

    index: int
    status: int = Field(description="As the single request would have answered: 200, 201, or a refusal's.")
    entity: ThingFields | None = None
    problem: dict[str, Any] | None = Field(default=None, description="A problem document; its places are the item's.")


class BatchSummary(BaseModel):
    """How many items there were, and how they fared."""

    total: int
    success: int
    failed: int


class EntityBatchResult(BaseModel):
    """An answer for every item, in order."""

    data: list[BatchResult]
    summary: BatchSummary


@operation(
    "POST",
    "/v1/entities/batch",
    id="changeEntities",
    tag="Entities",
    scope=Scope.ENTITIES_WRITE,
    query=DryRunQuery,
    body=EntityBatch,
    answer=EntityBatchResult,
    errors=(
        NotFound,
        GroupArchived,
        QuotaExceeded,
        UnknownType,
        ManagedType,
        FeatureDisabled,
        InvalidProperties,
        Conflict,
    ),
    body_example=examples.ENTITY_BATCH,
    answer_example=examples.ENTITY_BATCH_RESULT,
)
async def change_entities(call: Call[EntityBatch, DryRunQuery]) -> dict[str, Any]:
    """Create, update and delete many entities.

    Up to a thousand in one request. Each item is answered with the status its own request would have had, and with the
    entity or a problem. With `atomic` one refused item refuses all, and `errors` names each place. Deleting also needs
    `entities:delete`.
    """
    items = [_read_item(number, item) for number, item in enumerate(call.body.items)]
    outcomes = await change_things(call.session, call.actor, items, atomic=call.body.atomic)
    failed = sum(isinstance(outcome, PortalError) for outcome in outcomes)
    data = [
        _describe(call, index, item, outcome) for index, (item, outcome) in enumerate(zip(items, outcomes, strict=True))
    ]
    return {"data": data, "summary": {"total": len(data), "success": len(data) - failed, "failed": failed}}


def _read_item(number: int, item: Any) -> Change | PortalError:
    if not isinstance(item, UnreadableItem):
        return item
    return InvalidRequest(flaws=describe_flaws(item.error, "body", BatchCreate, _KINDS, number))


def _describe(call: Call[Any, Any], index: int, item: Change | PortalError, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, PortalError):
        public_url, request_id = call.services.settings.public_url, call.actor.request_id or ""
        problem = describe_problem(outcome, public_url=public_url, request_id=request_id)
        return {"index": index, "status": outcome.status, "problem": problem}
    status = 201 if isinstance(item, BatchCreate) else 200
    return {"index": index, "status": status, "entity": outcome.as_json()}


handlers = [change_entities]
