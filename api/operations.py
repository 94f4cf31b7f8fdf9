"""What every operation of the API has in common, once, in the order the contract promises.

Key and limits; scope; parameters and body; one transaction, committed before the answer is sent; an answer kept for
its idempotency key in that same transaction. A handler is left with one call of one rule.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from litestar import Request, Response
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method
from pydantic import BaseModel, ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.leaked_keys import describe_place, refuse_keys_in_body
from api.parameters import NoQuery, describe_flaws, parse_path_id, parse_query
from api.services import Services
from api.strict_json import parse_json
from ontology.actors import Actor
from ontology.addresses import Source
from ontology.database import open_transaction
from ontology.errors import Flaw, InvalidRequest, PayloadTooLarge, PortalError, UnsupportedMediaType
from ontology.idempotency import KEY_LENGTH_MAX, Intent, describe_intent, find_answer, keep_answer
from ontology.keys import Credential
from ontology.pagination import Page, PageRequest
from ontology.records import Input, Record, utc_now
from ontology.scopes import Scope

BODY_BYTES_MAX = 1_000_000
BODY_SECONDS = 10
JSON_TYPES = ("application/json", "application/merge-patch+json")
_VISIBLE = re.compile(r"[!-~]+")

# A row, a page of rows with its cursor, or a short list without one.
Shape = Literal["row", "page", "list"]

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


class NoBody(Input):
    """An operation without a body."""


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One call of an operation, all of it checked."""

    services: Services
    session: AsyncSession
    actor: Actor
    credential: Credential
    body: BodyT
    query: QueryT
    ids: Mapping[str, UUID]

    def page(self, query: Any) -> PageRequest:
        """The page asked for by a query with `limit` and `cursor`."""
        return PageRequest(self.services.settings.secret_key, query.limit, query.cursor)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation says of itself; the OpenAPI document is made of these."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    scope: Scope | None
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    path_ids: Mapping[str, str]
    answer: type[BaseModel] | None
    shape: Shape
    status: int
    errors: tuple[type[PortalError], ...]
    body_example: Any = None
    answer_example: Any = None
    takes_keys: bool = False


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
AfterCommit = Callable[[Services, Actor], Awaitable[None]]


def operation(
    method: Method,
    path: str,
    *,
    id: str,
    tag: str,
    scope: Scope | None,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    path_ids: Mapping[str, str] | None = None,
    answer: type[BaseModel] | None = None,
    shape: Shape = "row",
    status: int = 200,
    errors: Sequence[type[PortalError]] = (),
    body_example: Any = None,
    answer_example: Any = None,
    after_commit: AfterCommit | None = None,
    takes_keys: bool = False,
) -> Callable[[Handler], HTTPRouteHandler]:
    """Make a handler an operation of the API.

    `scope=None` means any valid key, and has to be written. `after_commit` runs when the transaction has committed and
    before the answer is sent. A body that holds an API key is refused and the key treated as leaked, unless the
    operation `takes_keys`.
    """

    def decorate(handler: Handler) -> HTTPRouteHandler:
        summary, _, description = (handler.__doc__ or "").strip().partition("\n")
        about = Operation(
            id=id,
            method=method,
            path=path,
            tag=tag,
            summary=summary.rstrip("."),
            description=" ".join(description.split()),
            scope=scope,
            body=body,
            query=query,
            path_ids=path_ids or {},
            answer=answer,
            shape=shape,
            status=status,
            errors=tuple(errors),
            body_example=body_example,
            answer_example=answer_example,
            takes_keys=takes_keys,
        )

        async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
            return await _perform(request, about, handler, after_commit)

        return HTTPRouteHandler(
            litestar_path(path), http_method=method, status_code=status, name=id, opt={"operation": about}
        )(handle)

    return decorate


def litestar_path(path: str) -> str:
    """`/x/{xId}` in Litestar's spelling."""
    return path.replace("}", ":str}")


async def _perform(
    request: Request[Any, Any, Any], about: Operation, handler: Handler, after_commit: AfterCommit | None
) -> Response[bytes]:
    services: Services = request.app.state.services
    state = request.scope["state"]
    request_id: str = state["request_id"]
    authenticator = services.authenticator
    source = Source(state["client_ip"], _single_header(request, "origin"))
    actor, credential, decision = await authenticator.authenticate(
        _single_header(request, "authorization"), utc_now(), request_id, source
    )
    state["actor"], state["decision"] = actor, decision
    if about.scope is not None:
        actor.require(about.scope)
    raw = await _read_body(request, about)
    if not about.takes_keys:
        await refuse_keys_in_body(services, raw, describe_place(request.scope))
    given = parse_query(request.scope["query_string"])
    call_query = _parse(about.query or NoQuery, given, "query")
    ids = {name: parse_path_id(name, kind, request.path_params[name]) for name, kind in about.path_ids.items()}
    body = _parse(about.body, parse_json(raw), "body") if about.body is not None else None
    intent = _read_intent(request, about, raw)
    async with open_transaction(services.engine, actor) as session:
        if intent is not None and (kept := await find_answer(session, actor, intent, utc_now())) is not None:
            return _answer(kept.body, kept.status, replayed=True)
        result = await handler(Call(services, session, actor, credential, body, call_query, ids))
        content = encode_answer(result)
        if intent is not None:
            keep_answer(
                session,
                actor,
                intent,
                status=about.status,
                media_type="application/json",
                body=content,
                now=utc_now(),
            )
    if after_commit is not None:
        await after_commit(services, actor)
    return _answer(content, about.status)


def encode_answer(result: Any) -> bytes:
    """A row, a page of rows, or plain data, as JSON."""
    if isinstance(result, Record):
        value: Any = result.as_json()
    elif isinstance(result, Page):
        rows: Sequence[Record] = result.rows  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        cursor: str | None = result.next_cursor
        value = {
            "data": [row.as_json() for row in rows],
            "pagination": {"nextCursor": cursor, "hasMore": cursor is not None},
        }
    else:
        value = result
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _answer(content: bytes, status: int, *, replayed: bool = False) -> Response[bytes]:
    headers = {"cache-control": "no-store"}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def _single_header(request: Request[Any, Any, Any], name: str) -> str | None:
    """A header that may stand once.

    Raises:
        InvalidRequest: it stands twice, or is not plain text.
    """
    values = [value for key, value in request.scope["headers"] if key == name.encode()]
    if len(values) > 1:
        raise InvalidRequest(flaws=[Flaw(f"header.{name.title()}", "stands twice", "send it once")])
    if not values:
        return None
    return values[0].decode("latin-1")


async def _read_body(request: Request[Any, Any, Any], about: Operation) -> bytes:
    """The body of an operation that takes one; of others it is not read.

    Raises:
        UnsupportedMediaType, PayloadTooLarge.
    """
    if about.body is None:
        return b""
    media_type = (_single_header(request, "content-type") or "").partition(";")[0].strip().lower()
    encoding = _single_header(request, "content-encoding")
    if media_type not in JSON_TYPES or encoding not in (None, "identity"):
        place = "header.Content-Encoding" if media_type in JSON_TYPES else "header.Content-Type"
        flaw = Flaw(place, "is not supported here", "send uncompressed `application/json`")
        raise UnsupportedMediaType(flaws=[flaw])
    body = await _receive_body(request)
    if len(body) > BODY_BYTES_MAX:
        raise PayloadTooLarge
    return body


async def _receive_body(request: Request[Any, Any, Any]) -> bytes:
    """Nothing is held while waiting, no connection of a pool above all, so a slow sender costs a socket and no more.

    Raises:
        InvalidRequest: it ends early, is cut into chunks that are none, or does not arrive in time.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        message = f"did not arrive within {BODY_SECONDS} seconds"
    except InternalServerException:  # the framework's word for a client that broke off
        message = "ended early"
    raise InvalidRequest(flaws=[Flaw("body", message, "send all of it")])


def _parse(model: type[BaseModel], value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(flaws=describe_flaws(error, where)) from None


def _read_intent(request: Request[Any, Any, Any], about: Operation, raw: bytes) -> Intent | None:
    if about.method != "POST" or (key := _single_header(request, "idempotency-key")) is None:
        return None
    if not (len(key) <= KEY_LENGTH_MAX and _VISIBLE.fullmatch(key)):
        message = f"must be 1 to {KEY_LENGTH_MAX} visible ASCII characters"
        flaw = Flaw("header.Idempotency-Key", message, "send a UUID")
        raise InvalidRequest(flaws=[flaw])
    return describe_intent(key, about.method, request.scope["path"], request.scope["query_string"], raw)


def find_operations(handlers: Sequence[HTTPRouteHandler]) -> list[Operation]:
    """The operations behind handlers, in order."""
    return [handler.opt["operation"] for handler in handlers]
