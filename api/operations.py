"""What every operation of the API has in common, once, in the order the contract promises.

Key and limits; scope; parameters and body; one transaction, committed before the answer is sent; an answer kept for
its idempotency key in that same transaction. A handler is left with one call of one rule.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ParamSpec, cast

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from sqlmodel.ext.asyncio.session import AsyncSession

from api.answers import FastAnswer, encode_answer, make_answer
from api.authentication import RateLimitRefused
from api.calls import Call, FastCall, Handler, NoBody, Operation, Unfinished
from api.headers import Headers
from api.inputs import Given, read_given
from api.negotiation import EVENT_STREAM
from api.parameters import NoQuery
from api.preconditions import check_preconditions, make_tag
from api.services import Services
from api.streams import StreamedAnswer
from ontology.actors import Actor
from ontology.addresses import Source
from ontology.credentials import Credential
from ontology.database import open_transaction
from ontology.errors import QuotaExceeded
from ontology.events import record_full
from ontology.fast_database import Unserved
from ontology.idempotency import find_answer, keep_answer
from ontology.records import utc_now

__all__ = [
    "Call",
    "FastAnswer",
    "FastCall",
    "NoBody",
    "NoQuery",
    "Operation",
    "Unfinished",
    "find_operations",
    "operation",
]

# Proxies are asked to pass pieces on as they come.
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Said = ParamSpec("Said")


def _declaring(describe: Callable[Said, Operation]) -> Callable[Said, Callable[[Handler], HTTPRouteHandler]]:
    """A decorator that takes what describes an operation."""

    def operation(*values: Said.args, **named: Said.kwargs) -> Callable[[Handler], HTTPRouteHandler]:
        about = describe(*values, **named)
        return lambda handler: _route(about, handler)

    return operation


# Makes a handler an operation of the API: `@operation("GET", "/v1/things", id=…, …)`, with the fields of `Operation`.
operation = _declaring(Operation)


def _route(said: Operation, handler: Handler) -> HTTPRouteHandler:
    """The handler's docstring is public: its first line is the operation's summary, the rest its description."""
    summary, _, description = (handler.__doc__ or "").strip().partition("\n")
    about = replace(said, summary=summary.rstrip("."), description=" ".join(description.split()))

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        return await _perform(request, about, handler)

    return HTTPRouteHandler(
        litestar_path(about.path),
        http_method=about.method,
        status_code=about.status,
        name=about.id,
        opt={"operation": about},
    )(handle)


def litestar_path(path: str) -> str:
    """`/x/{xId}` in Litestar's spelling."""
    return path.replace("}", ":str}")


def find_operations(handlers: Sequence[HTTPRouteHandler]) -> list[Operation]:
    """The operations behind handlers, in order."""
    return [handler.opt["operation"] for handler in handlers]


async def _perform(request: Request[Any, Any, Any], about: Operation, handler: Handler) -> ASGIApp:
    services: Services = request.app.state.services
    state: dict[str, Any] = request.scope["state"]  # pyright: ignore[reportAssignmentType]
    state["endpoint"], state["deprecated"] = about.path, about.deprecated
    headers: Headers = state["headers"]
    source = Source(state["client_ip"], headers.single("origin"))
    actor, credential = await _admit(services, state, source)
    if about.scope is not None:
        actor.require(about.scope)
    given = await read_given(request, services, about)
    if about.fast is not None and given.is_plain:
        with suppress(Unserved):
            short = await about.fast(FastCall(services, actor, credential, given.body, given.query, given.ids))
            return make_answer(short.content, about.status, tag=short.tag)

    def describe_call(session: AsyncSession) -> Call[Any, Any]:
        return Call(services, actor, credential, given.body, given.query, given.ids, session, source, headers.single)

    try:
        answer = await _perform_in_session(services, actor, about, given, handler, describe_call)
    except QuotaExceeded as refusal:
        if not given.dry_run:
            async with open_transaction(services.engine, actor) as session:
                record_full(session, actor, refusal.counted)
        raise
    if isinstance(answer, Unfinished):
        return make_answer(encode_answer(await answer.finish()), about.status)
    return answer


async def _admit(services: Services, state: dict[str, Any], source: Source) -> tuple[Actor, Credential]:
    """Who asks; counted against the limits.

    Raises:
        RateLimitRefused, and what `Authenticator.authenticate` raises.
    """
    headers: Headers = state["headers"]
    actor, credential, decision = await services.authenticator.authenticate(
        headers.single("authorization"), utc_now(), state["request_id"], source
    )
    state["actor"], state["decision"] = actor, decision
    if credential.allowed_origins:
        state["shared_with"] = source.origin
    if not decision.admitted:
        raise RateLimitRefused(decision)
    return actor, credential


async def _perform_in_session(
    services: Services,
    actor: Actor,
    about: Operation,
    given: Given,
    handler: Handler,
    describe_call: Callable[[AsyncSession], Call[Any, Any]],
) -> ASGIApp | Unfinished:
    """The whole of an operation in one transaction, and what follows its commit."""
    secret, intent = services.settings.secret_key, given.intent
    async with open_transaction(services.engine, actor) as session:
        if intent is not None:
            kept = await find_answer(session, actor, intent, secret=secret, now=utc_now())
            if kept is not None:
                if about.after_commit is not None:  # the first time may have failed at just this
                    await about.after_commit(services, actor)
                return make_answer(kept.body, kept.status, tag=kept.etag, replayed=True)
        if about.conditional and about.method != "GET":
            (kind,), (identity,) = about.path_ids.values(), given.ids.values()
            await check_preconditions(session, actor, given.asked, kind, identity)
        result = await handler(describe_call(session))
        later = isinstance(result, (AsyncGenerator, Unfinished))
        content = b"" if later else encode_answer(result)
        tag = make_tag(result, content) if about.tagged else None
        if given.dry_run:
            await session.rollback()
        elif intent is not None and not later:
            keep_answer(
                session,
                actor,
                intent,
                secret=secret,
                status=about.status,
                media_type="application/json",
                body=content,
                now=utc_now(),
                etag=tag,
            )
    if given.dry_run:
        return make_answer(content, 200, dry_run=True)
    if about.after_commit is not None:
        await about.after_commit(services, actor)
    if isinstance(result, Unfinished):
        return result
    if isinstance(result, AsyncGenerator):
        media_type = about.media_type if about.shape == "stream" else EVENT_STREAM
        pieces = cast("AsyncGenerator[bytes]", result)
        return StreamedAnswer(pieces, media_type=media_type, headers=STREAM_HEADERS).to_asgi_response()
    if tag is not None and about.method == "GET" and given.asked.check_read(tag):
        return make_answer(b"", 304, tag=tag)
    return make_answer(content, about.status, tag=tag)
