"""`/v1/knowledge/suggest`: what to call next, or for a task, and with what."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api import examples
from api.operations import Call, NoQuery, operation
from knowledge.suggestions import CONTEXT_MAX, LIMIT_DEFAULT, LIMIT_MAX, Suggestions, Wanted, suggest
from ontology.errors import NotFound, SearchUnavailable
from ontology.ids import KnowledgeId
from ontology.records import WHOLE, Input, utc_now
from ontology.scopes import Scope

ContextEntry = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", examples=["createEntity"])]


class SuggestRequest(Input):
    """A task or the last calls, not both; with neither, the last calls of the key itself count."""

    task: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")] | None = Field(
        default=None, description="What is to be done, in one's own words."
    )
    context: Annotated[list[ContextEntry], Field(max_length=CONTEXT_MAX)] | None = Field(
        default=None,
        description="The last calls, the oldest first: `operationId`s, or methods with paths such as `GET /v1/groups`.",
    )
    specification_id: KnowledgeId | None = Field(
        default=None, description="Suggest operations of this OpenAPI document instead of this API's."
    )
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), WHOLE] = LIMIT_DEFAULT

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if self.task is not None and self.context is not None:
            raise PydanticCustomError("question", "give either `task` or `context`")
        return self


@operation(
    "POST",
    "/v1/knowledge/suggest",
    id="suggestOperations",
    tag="Knowledge",
    scope=Scope.KNOWLEDGE_READ,
    body=SuggestRequest,
    answer=Suggestions,
    errors=(NotFound, SearchUnavailable),
    body_example=examples.SUGGEST,
    answer_example=examples.SUGGESTIONS,
)
async def suggest_operations(call: Call[SuggestRequest, NoQuery]) -> dict[str, Any]:
    """Suggest what to call.

    For a task, the operations that do it. After some calls, what came next for your organisation, for at least five
    others, or what is near in meaning. Each with what it takes: names, allowed values, and ids of your newest rows.
    """
    body = call.body
    wanted = Wanted(body.task, body.context, body.specification_id, body.limit)
    found = await suggest(call.session, call.actor, call.services.knowledge, call.services.openapi(), wanted, utc_now())
    return found.as_json()


handlers = [suggest_operations]
