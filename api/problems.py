"""Refusals as RFC 9457 problem documents, all of one shape."""

import json
from typing import Any
from urllib.parse import urlencode

import psycopg
from litestar import Request, Response
from litestar.exceptions import HTTPException
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.head_requests import list_methods
from api.signposts import read_signposts
from ontology.errors import (
    Flaw,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PortalError,
    ServiceUnavailable,
)
from ontology.log_lines import get_logger
from ontology.nearest_names import ask_back
from ontology.redis_client import RedisError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
NO_OPERATION = "No operation is at this address; the API reference lists every one."
_log = get_logger(__name__)


def describe_problem(error: PortalError, *, public_url: str, request_id: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    problem: dict[str, Any] = {
        "type": f"{public_url}/docs/errors/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "requestId": request_id,
        "errors": [flaw.as_json() for flaw in error.flaws],
        "troubleshoot": f"{public_url}/troubleshoot?{urlencode({'code': error.code, 'requestId': request_id})}",
    }
    if error.leads_to:
        problem["next"] = [
            {"operationId": name, "reference": f"{public_url}/reference/{name}"} for name in error.leads_to
        ]
    return problem


def problem_headers(error: PortalError) -> dict[str, str]:
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="ONE"'
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    elif error.status == 503:
        headers["retry-after"] = str(RETRY_SECONDS)
    return headers


def encode_problem(error: PortalError, *, public_url: str, request_id: str) -> bytes:
    return json.dumps(describe_problem(error, public_url=public_url, request_id=request_id)).encode()


def translate(error: Exception) -> PortalError:
    """The refusal behind any exception; what is not expected is a bug, logged with its trace and told without it."""
    if isinstance(error, PortalError):
        return error
    if isinstance(error, DBAPIError):
        return _translate_database(error)
    if isinstance(error, HTTPException):
        return _translate_routing(error)
    if isinstance(error, (PoolTimeout, RedisError, OSError, TimeoutError)):
        _log.warning("unavailable", exc_info=error)
        return ServiceUnavailable()
    if isinstance(error, SQLAlchemyError):
        _log.error("database", exc_info=error)
        return ServiceUnavailable() if isinstance(error, (InterfaceError, OperationalError)) else InternalError()
    _log.error("bug", exc_info=error)
    return InternalError()


def _translate_database(error: DBAPIError) -> PortalError:
    """SQLSTATE classes: 22 and 23 and 54 are the caller's values, 08, 53, 55 and 57 a server in trouble."""
    state: str = getattr(error.orig, "sqlstate", None) or ""
    if state[:2] in ("22", "23", "54") or isinstance(error.orig, psycopg.DataError):
        _log.warning("a value reached the database unchecked", exc_info=error)
        return InvalidRequest(flaws=[Flaw("body", "holds a value that cannot be stored", "send smaller, plain values")])
    if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
        _log.warning("database unavailable", exc_info=error)
        return ServiceUnavailable()
    _log.error("database", exc_info=error)
    return InternalError()


def _translate_routing(error: HTTPException) -> PortalError:
    known: dict[int, type[PortalError]] = {405: MethodNotAllowed, 413: PayloadTooLarge}
    if error.status_code == 404:
        return NotFound(NO_OPERATION)
    if error.status_code in known:
        return known[error.status_code]()
    return InvalidRequest() if error.status_code < 500 else InternalError()


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for the API."""
    refusal, allowed = translate(error), _find_allowed(error)
    if isinstance(error, HTTPException):
        refusal = _point_further(request, refusal, allowed)
    settings = request.app.state.services.settings
    request.scope["state"]["refusal"] = refusal
    state: dict[str, Any] = dict(request.scope["state"])
    request_id: str = state.get("request_id", "")
    headers = problem_headers(refusal)
    if allowed:
        headers["allow"] = allowed
    body = encode_problem(refusal, public_url=settings.public_url, request_id=request_id)
    media_type = headers.pop("content-type")
    return Response(body, status_code=refusal.status, headers=headers, media_type=media_type)


def _point_further(request: Request[Any, Any, Any], refusal: PortalError, allowed: str) -> PortalError:
    """What no operation answers, with those that are at this address or near to it."""
    signposts = read_signposts(request.app)
    if isinstance(refusal, MethodNotAllowed) and allowed:
        here = [about.id for about in signposts.find_at(request.scope["path"])]
        return MethodNotAllowed(f"Use one of {allowed}.", leads_to=here)
    if isinstance(refusal, NotFound) and (near := signposts.find_near(request.method, request.scope["path"])):
        addresses = [f"{about.method} {about.path}" for about in near]
        flaw = Flaw("path", "leads to no operation", ask_back(addresses), tuple(addresses))
        return NotFound(refusal.detail, flaws=[flaw], leads_to=[about.id for about in near])
    return refusal


def _find_allowed(error: Exception) -> str:
    """The methods of an address, where the framework says them."""
    headers = error.headers if isinstance(error, HTTPException) and error.headers else {}
    found = next((value for name, value in headers.items() if name.lower() == "allow"), "")
    return list_methods(found.split(", ")) if found else ""
