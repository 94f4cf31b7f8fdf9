"""Every refusal the program can give: one class per code, one page per code in `content/docs/errors/`.

400  InvalidJson, InvalidRequest, InvalidCursor, InvalidId
401  MissingApiKey, InvalidApiKey, ExpiredApiKey, InvalidSignature
403  InsufficientScope, QuotaExceeded, GroupArchived, PrivilegeEscalation, ManagedType, AddressNotAllowed,
     OriginNotAllowed, SystemEvent, FeatureDisabled
404  NotFound            405  MethodNotAllowed            406  NotAcceptable
409  Conflict, SlugTaken, DuplicateConnection, IdempotencyInFlight
412  PreconditionFailed
413  PayloadTooLarge     414  UriTooLong                  415  UnsupportedMediaType
422  UnknownType, InvalidProperties, InvalidConnection, InvalidDocument, IdempotencyKeyReused
429  RateLimitExceeded   500  InternalError
503  ServiceUnavailable, and below it SearchUnavailable
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with a request: where (`body.name`, `query.limit`), what, and how to mend it.

    `did_you_mean`: the valid names or values nearest to the one that was sent, the likeliest first; shown where there
    are any.
    """

    location: str
    message: str
    fix: str = ""
    did_you_mean: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"location": self.location, "message": self.message, "fix": self.fix}
        return shown | ({"did_you_mean": list(self.did_you_mean)} if self.did_you_mean else {})


class PortalError(Exception):
    """A refusal with a code, a status and a sentence that tells the caller what to do next.

    `leads_to` are the ids of the operations that help further, where that is known.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    advice: ClassVar[str]
    leads_to: Sequence[str] = ()

    def __init__(
        self,
        detail: str | None = None,
        *,
        flaws: Sequence[Flaw] = (),
        retry_after_seconds: int | None = None,
        leads_to: Sequence[str] | None = None,
    ) -> None:
        self.detail = detail or self.advice
        self.flaws = tuple(flaws)
        self.retry_after_seconds = retry_after_seconds
        if leads_to is not None:
            self.leads_to = leads_to
        super().__init__(self.detail)


class InvalidJson(PortalError):
    code = "invalid_json"
    status = 400
    title = "The body is not valid JSON"
    advice = "Send a JSON document in UTF-8 without duplicate names, NUL characters or lone surrogates."


class InvalidRequest(PortalError):
    code = "invalid_request"
    status = 400
    title = "The request has invalid fields or parameters"
    advice = "Correct each place named in `errors` and send the request again."


class InvalidCursor(PortalError):
    code = "invalid_cursor"
    status = 400
    title = "The cursor cannot be used here"
    advice = "Use a cursor only with the key, filters and sort of the list that gave it, or start again without one."


class InvalidId(PortalError):
    code = "invalid_id"
    status = 400
    title = "The id is malformed or of another kind"
    advice = "Use an id exactly as the API returned it, such as `thing_` followed by 26 characters."


class MissingApiKey(PortalError):
    code = "missing_api_key"
    status = 401
    title = "No API key was sent"
    advice = "Send `Authorization: Bearer <your key>`."


class InvalidApiKey(PortalError):
    code = "invalid_api_key"
    status = 401
    title = "The API key is not valid"
    advice = "The key is mistyped, unknown or revoked. Copy it again, or create a new key on the keys page."


class ExpiredApiKey(PortalError):
    code = "expired_api_key"
    status = 401
    title = "The API key has expired"
    advice = "Create a new key; an expired key cannot be extended."
    leads_to = ("createApiKey",)


class InvalidSignature(PortalError):
    code = "invalid_signature"
    status = 401
    title = "The signature does not fit the body"
    advice = "Sign the raw body with a key whose public part is known here, and name that key."


class InsufficientScope(PortalError):
    code = "insufficient_scope"
    status = 403
    title = "The key lacks a scope"
    advice = "Use a key that has the scope named in `errors`."
    leads_to = ("whoami", "createApiKey")


class QuotaExceeded(PortalError):
    code = "quota_exceeded"
    status = 403
    title = "The plan's quota is used up"
    advice = "Delete what is no longer needed or move to a larger plan; waiting does not help."
    leads_to = ("getQuota",)

    def __init__(self, detail: str | None = None, *, counted: str = "entities", flaws: Sequence[Flaw] = ()) -> None:
        super().__init__(detail, flaws=flaws)
        self.counted = counted


class GroupArchived(PortalError):
    code = "group_archived"
    status = 403
    title = "The group is archived"
    advice = "Restore the group, or use a key and group that are active."
    leads_to = ("restoreGroup",)


class PrivilegeEscalation(PortalError):
    code = "privilege_escalation"
    status = 403
    title = "A key cannot create more than it has"
    advice = "Ask only for scopes, groups, limits and a lifetime within those of the key you are using."
    leads_to = ("whoami",)


class ManagedType(PortalError):
    code = "managed_type"
    status = 403
    title = "This type is managed by its own endpoint"
    advice = "Use the endpoint named in `errors` to change it."


class AddressNotAllowed(PortalError):
    code = "address_not_allowed"
    status = 403
    title = "The key may not be used from this address"
    advice = "Call from one of the key's allowed addresses, or change `allowedAddresses` of the key."
    leads_to = ("updateApiKey",)


class OriginNotAllowed(PortalError):
    code = "origin_not_allowed"
    status = 403
    title = "The key may not be used from this web origin"
    advice = "Send the `Origin` of one of the key's allowed origins, or change `allowedOrigins` of the key."
    leads_to = ("updateApiKey",)


class SystemEvent(PortalError):
    code = "system_event"
    status = 403
    title = "Only the platform records this type of event"
    advice = "Record an event of a type whose `policy` is `custom_allowed` in `GET /v1/ontology`."
    leads_to = ("listTypes",)


class FeatureDisabled(PortalError):
    code = "feature_disabled"
    status = 403
    title = "The type's feature set is switched off"
    advice = "Have an administrator switch on the feature set named in `errors`, or use a type that everybody has."
    leads_to = ("updateFeatures",)


class NotFound(PortalError):
    code = "not_found"
    status = 404
    title = "Nothing here"
    advice = "There is no such resource within the reach of this key."


class MethodNotAllowed(PortalError):
    code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"
    advice = "Use one of the methods in the `Allow` header."


class NotAcceptable(PortalError):
    code = "not_acceptable"
    status = 406
    title = "The answer cannot be given in that form"
    advice = "Accept `application/json`."


class Conflict(PortalError):
    code = "conflict"
    status = 409
    title = "The request conflicts with what is stored"
    advice = "Read the resource again and repeat the request on its present state."


class SlugTaken(PortalError):
    code = "slug_taken"
    status = 409
    title = "The slug is in use"
    advice = "Choose another slug; slugs are unique within an organisation."
    leads_to = ("listGroups",)


class DuplicateConnection(PortalError):
    code = "duplicate_connection"
    status = 409
    title = "The connection exists already"
    advice = "Use the existing connection, or delete it first; this type joins the same pair only once."


class IdempotencyInFlight(PortalError):
    code = "idempotency_in_flight"
    status = 409
    title = "A request with this idempotency key is still running"
    advice = "Wait a moment and send the same request again to receive its answer."


class PreconditionFailed(PortalError):
    code = "precondition_failed"
    status = 412
    title = "The resource is not in the state you named"
    advice = "Somebody changed it meanwhile. Read it again and repeat the change with its new `ETag`."


class PayloadTooLarge(PortalError):
    code = "payload_too_large"
    status = 413
    title = "The body is too large"
    advice = "Send at most 1 MB, or a zip of at most 10 MB; split larger work into several requests."


class UriTooLong(PortalError):
    code = "uri_too_long"
    status = 414
    title = "The address is too long"
    advice = "Keep path and query under 8 000 characters."


class UnsupportedMediaType(PortalError):
    code = "unsupported_media_type"
    status = 415
    title = "The body's media type is not supported"
    advice = "Send `Content-Type: application/json`, uncompressed, in UTF-8; an upload is `application/zip`."


class UnknownType(PortalError):
    code = "unknown_type"
    status = 422
    title = "The type is not in the vocabulary"
    advice = "Use a type listed by `GET /v1/ontology`."
    leads_to = ("listTypes",)


class InvalidProperties(PortalError):
    code = "invalid_properties"
    status = 422
    title = "The properties do not fit the type"
    advice = "Correct each property named in `errors`; `GET /v1/ontology` lists the properties of every type."
    leads_to = ("listTypes",)


class InvalidConnection(PortalError):
    code = "invalid_connection"
    status = 422
    title = "These two ends cannot be joined this way"
    advice = "Correct the ends named in `errors`; `GET /v1/ontology` lists what each type joins."
    leads_to = ("listTypes",)


class InvalidDocument(PortalError):
    code = "invalid_document"
    status = 422
    title = "The document cannot be read"
    advice = "Correct the place named in `errors`, or name the `format` the text really has."


class IdempotencyKeyReused(PortalError):
    code = "idempotency_key_reused"
    status = 422
    title = "The idempotency key was used for another request"
    advice = "Use a new idempotency key for every new request."


class RateLimitExceeded(PortalError):
    code = "rate_limit_exceeded"
    status = 429
    title = "Too many requests"
    advice = "Wait the seconds given in `Retry-After` and send the request again."
    leads_to = ("getQuota",)


class InternalError(PortalError):
    code = "internal_error"
    status = 500
    title = "Something broke on our side"
    advice = "Try again; if it persists, contact support and quote the request id."


class ServiceUnavailable(PortalError):
    code = "service_unavailable"
    status = 503
    title = "The service cannot answer right now"
    advice = "Try again after the seconds in `Retry-After`; repeat writes with the same `Idempotency-Key`."


class SearchUnavailable(ServiceUnavailable):
    code = "search_unavailable"
    title = "Search cannot answer right now"
    advice = "Everything else works; try the search again after the seconds in `Retry-After`."


def list_error_classes() -> list[type[PortalError]]:
    """Every class with a code of its own, in the order of the tree above."""
    found: list[type[PortalError]] = []
    waiting = list(PortalError.__subclasses__())
    while waiting:
        error = waiting.pop(0)
        if "code" in vars(error):
            found.append(error)
        waiting.extend(error.__subclasses__())
    return sorted(found, key=lambda error: (error.status, error.code))
