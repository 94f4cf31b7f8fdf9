"""What every operation of the API has in common, once, in the order the contract promises.

Key and limits; scope; parameters and body; one transaction, committed before the answer is sent; an answer kept for
its idempotency key in that same transaction. A handler is left with one call of one rule.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, cast
from uuid import UUID

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Method, Receive, Send
from pydantic import BaseModel, ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.authentication import RateLimitRefused
from api.leaked_keys import describe_place, refuse_keys_in_body
from api.negotiation import accepts
from api.parameters import DryRunQuery, NoQuery, describe_flaws, parse_path_id, parse_query
from api.preconditions import (
    CONDITIONAL_KINDS,
    Preconditions,
    check_preconditions,
    make_tag,
    parse_tags,
    version_of,
)
from api.services import Services
from api.streams import StreamedAnswer
from api.strict_json import parse_json
from api.versions import Deprecation, read_version
from ontology.actors import Actor
from ontology.addresses import Source
from ontology.credentials import Credential
from ontology.database import open_transaction
from ontology.errors import Flaw, InvalidRequest, NotAcceptable, PayloadTooLarge, PortalError, UnsupportedMediaType
from ontology.fast_database import Unserved
from ontology.idempotency import KEY_LENGTH_MAX, Intent, describe_intent, find_answer, keep_answer
from ontology.pagination import Page, PageRequest
from ontology.records import Input, Record, utc_now
from ontology.scopes import Scope

BODY_BYTES_MAX = 1_000_000
BODY_SECONDS = 10
EVENT_STREAM = "text/event-stream"
JSON_TYPES = ("application/json", "application/merge-patch+json")
# Proxies are asked to pass pieces on as they come.
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
# What is not there has neither a type nor a length.
_WITHOUT_CONTENT = (204, 304)
_VISIBLE = re.compile(r"[!-~]+")

_NO_QUERY = NoQuery()
_NO_PRECONDITIONS = Preconditions()

# A row, a page of rows with its cursor, a short list without one, or rows sent one by one as they are made.
Shape = Literal["row", "page", "list", "stream"]

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
    source: Source
    header: Callable[[str], str | None]
    body: BodyT
    query: QueryT
    ids: Mapping[str, UUID]

    def page(self, query: Any) -> PageRequest:
        """The page asked for by a query with `limit` and `cursor`."""
        return PageRequest(self.services.settings.secret_key, query.limit, query.cursor)


@dataclass(frozen=True, slots=True)
class FastCall(Generic[BodyT, QueryT]):
    """One call, all of it checked, for a handler that needs no session and answers in bytes."""

    services: Services
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
    media_type: str = "application/json"
    deprecated: Deprecation | None = None
    body_example: Any = None
    answer_example: Any = None
    tagged: bool = False
    takes_keys: bool = False
    streams: bool = False

    @property
    def conditional(self) -> bool:
        """Whether it is about one present state: reads that have a tag, and writes on the one row their path names."""
        if self.method == "GET":
            return self.tagged
        if len(self.path_ids) != 1 or not CONDITIONAL_KINDS.issuperset(self.path_ids.values()):
            return False
        return self.path.endswith("}") and self.method in ("PATCH", "PUT", "DELETE")

    @property
    def can_run_dry(self) -> bool:
        return self.query is not None and issubclass(self.query, DryRunQuery)


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, as an ASGI application."""

    content: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = list(self.headers)
        if self.status not in _WITHOUT_CONTENT:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.content))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


@dataclass(frozen=True, slots=True)
class FastAnswer:
    """What a short way answers; `changed` is when the row last did, where the answer is one row."""

    content: bytes
    changed: datetime | None = None

    @property
    def tag(self) -> str | None:
        """The tag that `make_tag` gives the row."""
        return None if self.changed is None else f'"{version_of(self.changed)}"'


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A result that is finished after its transaction, because it waits for somebody else.

    Such an answer is kept for no idempotency key: asking for it again is harmless.
    """

    finish: Callable[[], Awaitable[Any]]


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
FastHandler = Callable[[FastCall[Any, Any]], Awaitable[FastAnswer]]
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
    media_type: str = "application/json",
    deprecated: Deprecation | None = None,
    body_example: Any = None,
    answer_example: Any = None,
    tagged: bool | None = None,
    after_commit: AfterCommit | None = None,
    takes_keys: bool = False,
    streams: bool = False,
    fast: FastHandler | None = None,
) -> Callable[[Handler], HTTPRouteHandler]:
    """Make a handler an operation of the API.

    `scope=None` means any valid key, and has to be written. Answers that are one row which may change have an `ETag`;
    `tagged` says so of others. With a `DryRunQuery` the operation can be tried: all of it happens and is rolled back.
    `after_commit` runs when the transaction has committed and before the answer is sent. A handler of the shape
    `stream` returns an asynchronous generator of bytes, which runs after its transaction and opens its own. A body that
    holds an API key is refused and the key treated as leaked, unless the operation `takes_keys`. One that `streams` can
    also answer in server-sent events, to who accepts them, with such a generator. `fast` gives the same
    answer, to the byte, by a shorter way, or raises Unserved; calls with an idempotency key, with conditions or on
    trial never take it.
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
            media_type=media_type,
            deprecated=deprecated,
            body_example=body_example,
            answer_example=answer_example,
            tagged=shape == "row" and _has_states(answer) if tagged is None else tagged,
            takes_keys=takes_keys,
            streams=streams,
        )

        async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
            return await _perform(request, about, handler, after_commit, fast)

        return HTTPRouteHandler(
            litestar_path(path), http_method=method, status_code=status, name=id, opt={"operation": about}
        )(handle)

    return decorate


def _has_states(answer: type[BaseModel] | None) -> bool:
    """Whether it is a row that changes; an event or a count does not."""
    return answer is not None and "updated_at" in answer.model_fields


def litestar_path(path: str) -> str:
    """`/x/{xId}` in Litestar's spelling."""
    return path.replace("}", ":str}")


async def _perform(
    request: Request[Any, Any, Any],
    about: Operation,
    handler: Handler,
    after_commit: AfterCommit | None,
    fast: FastHandler | None,
) -> ASGIApp:
    services: Services = request.app.state.services
    state = request.scope["state"]
    request_id: str = state["request_id"]
    state["endpoint"], state["deprecated"] = about.path, about.deprecated
    authenticator = services.authenticator
    source = Source(state["client_ip"], _single_header(request, "origin"))
    actor, credential, decision = await authenticator.authenticate(
        _single_header(request, "authorization"), utc_now(), request_id, source
    )
    state["actor"], state["decision"] = actor, decision
    if not decision.admitted:
        raise RateLimitRefused(decision)
    if about.scope is not None:
        actor.require(about.scope)
    _require_accepted(request, about)
    state["version"] = read_version(_single_header(request, "api-version"))
    raw = await _read_body(request, about)
    if not about.takes_keys:
        await refuse_keys_in_body(services, raw, describe_place(request.scope))
    text = request.scope["query_string"]
    if about.query is None and not text:
        call_query = _NO_QUERY
    else:
        call_query = _parse(about.query or NoQuery, parse_query(text), "query")
    ids = {name: parse_path_id(name, kind, request.path_params[name]) for name, kind in about.path_ids.items()}
    body = _parse(about.body, parse_json(raw), "body") if about.body is not None else None
    intent = _read_intent(request, about, raw)
    asked = _read_preconditions(request, about)
    dry_run: bool = getattr(call_query, "dry_run", False)
    if fast is not None and intent is None and not dry_run and asked == _NO_PRECONDITIONS:
        with suppress(Unserved):
            short = await fast(FastCall(services, actor, credential, body, call_query, ids))
            return _answer(short.content, about.status, tag=short.tag)

    def header(name: str) -> str | None:
        return _single_header(request, name)

    async with open_transaction(services.engine, actor) as session:
        if intent is not None:
            kept = await find_answer(session, actor, intent, secret=services.settings.secret_key, now=utc_now())
            if kept is not None:
                return _answer(kept.body, kept.status, tag=kept.etag, replayed=True)
        if about.conditional and about.method != "GET":
            (kind,), (identity,) = about.path_ids.values(), ids.values()
            await check_preconditions(session, actor, asked, kind, identity)
        result = await handler(Call(services, session, actor, credential, source, header, body, call_query, ids))
        later = isinstance(result, (AsyncGenerator, Unfinished))
        content = b"" if later else encode_answer(result)
        tag = make_tag(result, content) if about.tagged else None
        if dry_run:
            await session.rollback()
        elif intent is not None and content:
            keep_answer(
                session,
                actor,
                intent,
                secret=services.settings.secret_key,
                status=about.status,
                media_type="application/json",
                body=content,
                now=utc_now(),
                etag=tag,
            )
    if dry_run:
        return _answer(content, 200, dry_run=True)
    if after_commit is not None:
        await after_commit(services, actor)
    if isinstance(result, AsyncGenerator):
        media_type = about.media_type if about.shape == "stream" else EVENT_STREAM
        pieces = cast("AsyncGenerator[bytes]", result)
        return StreamedAnswer(pieces, media_type=media_type, headers=STREAM_HEADERS).to_asgi_response()
    if isinstance(result, Unfinished):
        content = encode_answer(await result.finish())
    if tag is not None and about.method == "GET" and asked.check_read(tag):
        return _answer(b"", 304, tag=tag)
    return _answer(content, about.status, tag=tag)


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


_HEADERS = ((b"cache-control", b"no-store"),)


def _answer(
    content: bytes, status: int, *, tag: str | None = None, replayed: bool = False, dry_run: bool = False
) -> Answer:
    headers = _HEADERS
    if tag is not None:
        headers += ((b"etag", tag.encode()),)
    if replayed:
        headers += ((b"idempotent-replayed", b"true"),)
    if dry_run:
        headers += ((b"dry-run", b"true"),)
    return Answer(content, status, headers)


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


def _require_accepted(request: Request[Any, Any, Any], about: Operation) -> None:
    """Refuse a caller that does not take the form of the answer; several headers are one list (RFC 9110, 5.3).

    Raises:
        NotAcceptable.
    """
    given = [value.decode("latin-1") for key, value in request.scope["headers"] if key == b"accept"]
    forms = (about.media_type, EVENT_STREAM) if about.streams else (about.media_type,)
    if given and not any(accepts(", ".join(given), form) for form in forms):
        flaw = Flaw("header.Accept", "allows nothing this operation can answer", f"send `Accept: {about.media_type}`")
        raise NotAcceptable(flaws=[flaw])


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


def _read_preconditions(request: Request[Any, Any, Any], about: Operation) -> Preconditions:
    if not about.conditional:
        return _NO_PRECONDITIONS
    return Preconditions(
        parse_tags("If-Match", _single_header(request, "if-match"), strong=True),
        parse_tags("If-None-Match", _single_header(request, "if-none-match"), strong=False),
    )


def find_operations(handlers: Sequence[HTTPRouteHandler]) -> list[Operation]:
    """The operations behind handlers, in order."""
    return [handler.opt["operation"] for handler in handlers]
