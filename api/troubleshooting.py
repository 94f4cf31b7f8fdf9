"""`/v1/knowledge/troubleshoot`: what was wrong with a call, and the request that would have worked."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from api import examples
from api.operations import Call, NoQuery, operation
from knowledge.request_repairs import SentRequest
from knowledge.search import Hit
from knowledge.troubleshooting import LIMIT_DEFAULT, Symptom, troubleshoot
from ontology.errors import NotFound, SearchUnavailable
from ontology.records import WHOLE, Input
from ontology.scopes import Scope

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class RequestSent(Input):
    """The request that failed, as it was sent; without its key."""

    method: Method
    path: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^/[^?#]*$", examples=["/v1/entities"])]
    query: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)
    body: Any = None


class TroubleshootRequest(Input):
    """What there is of a failure: at least one of the first three."""

    message: Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"\S")] | None = Field(
        default=None, description="What was shown or logged: a sentence, a stack trace, a whole answer."
    )
    problem: Annotated[dict[str, Any], Field(max_length=50)] | None = Field(
        default=None, description="The problem document that was answered."
    )
    request_id: Annotated[str, Field(pattern=r"^req_[0-9a-z]{24}$")] | None = Field(
        default=None, description="The call's `X-Request-Id`."
    )
    request: RequestSent | None = Field(default=None, description="With it, the answer has the request that fits.")
    limit: Annotated[int, Field(ge=1, le=50), WHOLE] = LIMIT_DEFAULT

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.message is None and self.problem is None and self.request_id is None:
            raise PydanticCustomError("symptom", "must have `message`, `problem` or `requestId`")
        return self


class LoggedCall(BaseModel):
    """What the log has of a call: no bodies, ever."""

    request_id: str | None = Field(serialization_alias="requestId")
    timestamp: int
    method: str | None
    endpoint: str | None
    path: str | None
    status: int | None
    error_code: str | None = Field(serialization_alias="errorCode")
    error_places: list[str] = Field(serialization_alias="errorPlaces")
    key_id: str | None = Field(serialization_alias="keyId")


class Difference(BaseModel):
    """In what the failed call differs from the one that succeeded."""

    field: str
    failed: Any
    succeeded: Any


class Place(BaseModel):
    """A place the problem names."""

    location: str
    message: str
    fix: str
    did_you_mean: list[str] = Field(default=[], description="The nearest valid names, the likeliest first.")


class DiagnosisAnswer(BaseModel):
    """What is known of the failure; pages about it in `data`, the error's own first."""

    code: str | None
    cause: str | None
    errors: list[Place]
    call: LoggedCall | None
    nearest_success: LoggedCall | None = Field(
        serialization_alias="nearestSuccess", description="The nearest call of the same operation that succeeded."
    )
    differences: list[Difference]
    operation_id: str | None = Field(serialization_alias="operationId")
    basis: Literal["request", "example"] | None = Field(
        description="What the next three begin with: the request that was sent along, or, where the log has the call, "
        "the operation's example."
    )
    patch: list[dict[str, Any]] | None = Field(
        description="A JSON Patch (RFC 6902) for the request that failed; places begin with `/method`, `/path`, "
        "`/query` or `/body`."
    )
    request: dict[str, Any] | None = Field(
        description="The request that fits: with the patch applied, or the example, sent to where the call went."
    )
    curl: str | None = Field(description="That request as a command; the key comes from `$ONE_API_KEY`.")
    data: list[Hit]
    note: str | None = Field(description="What was not looked at, and the scope that takes.")


@operation(
    "POST",
    "/v1/knowledge/troubleshoot",
    id="troubleshoot",
    tag="Knowledge",
    scope=Scope.KNOWLEDGE_READ,
    body=TroubleshootRequest,
    answer=DiagnosisAnswer,
    errors=(NotFound, SearchUnavailable),
    body_example=examples.TROUBLESHOOT,
    answer_example=examples.DIAGNOSIS,
)
async def troubleshoot_call(call: Call[TroubleshootRequest, NoQuery]) -> dict[str, Any]:
    """Find out why a call failed.

    From a message, a problem document or the id of the request: the page of its error, how it differs from the nearest
    call that succeeded, a JSON Patch that makes it fit and the curl command to send instead. The log keeps no bodies:
    send the request along, and the patch begins with your own values. Calls of other keys are told to keys with
    `events:read` only; the rest of the diagnosis needs no more than `knowledge:read`.
    """
    body = call.body
    sent = body.request
    symptom = Symptom(
        message=body.message or "",
        problem=body.problem,
        request_id=body.request_id,
        request=SentRequest(sent.method, sent.path, sent.query, sent.body) if sent else None,
    )
    found = await troubleshoot(
        call.session, call.actor, call.services.knowledge, call.services.openapi(), symptom, limit=body.limit
    )
    return found.as_json()


handlers = [troubleshoot_call]
