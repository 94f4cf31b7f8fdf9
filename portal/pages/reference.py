"""`/reference`: every operation, made from the OpenAPI document, with Try it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from litestar import Request, Response, get, post

from api.services import Services
from knowledge.completion import Completer, Parameter
from knowledge.suggestions import Suggestion, Wanted, suggest
from ontology.actors import anonymous_actor
from ontology.database import open_transaction
from ontology.errors import InvalidRequest, NotFound, SearchUnavailable
from ontology.key_issuing import mint_explorer_key
from ontology.records import to_epoch_ms, utc_now
from ontology.scopes import ALL_SCOPES, Scope
from ontology.usage_patterns import BEFORE_MAX
from portal.reference_site import OperationGroup, OperationView, find_operation, list_groups
from portal.rendering import render
from portal.search_limits import Asking, may_ask
from portal.sessions import check_origin, read_visitor

NEXT_MAX = 3


@dataclass(frozen=True, slots=True)
class ReferencePage:
    groups: tuple[OperationGroup, ...]
    operation: OperationView | None


@dataclass(frozen=True, slots=True)
class NextPage:
    suggestions: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class ValuesPage:
    parameters: tuple[Parameter, ...]


@get("/reference", opt={"public": True})
async def reference(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    groups = list_groups(visitor.services.settings.public_url, "")
    return render("reference.html", visitor.site, ReferencePage(groups, None))


@get("/reference/{operation_id:str}", opt={"public": True})
async def reference_operation(request: Request[Any, Any, Any]) -> Response[str]:
    operation_id: str = request.path_params["operation_id"]
    visitor = await read_visitor(request)
    public_url = visitor.services.settings.public_url
    view = find_operation(public_url, operation_id)
    if view is None:
        raise NotFound("There is no such operation. The reference lists all of them.")
    page = ReferencePage(list_groups(public_url, operation_id), view)
    return render("reference.html", visitor.site, page)


@get("/reference/{operation_id:str}/next", opt={"public": True})
async def next_operations(request: Request[Any, Any, Any]) -> Response[str]:
    """What was usually called after the calls of this visitor's tab, this operation the last; a part of the page."""
    visitor = await read_visitor(request)
    services = visitor.services
    context = [*request.query_params.getall("after", []), request.path_params["operation_id"]][-BEFORE_MAX:]
    member = visitor.find_member_who_may(Scope.KNOWLEDGE_READ)
    scopes = visitor.signed_in.actor.scopes if visitor.signed_in else ALL_SCOPES
    actor = member.actor if member else replace(anonymous_actor(), scopes=scopes)
    wanted = Wanted(context=context, limit=NEXT_MAX, completed=False)
    found: list[Suggestion] = []
    if not await may_ask(request, visitor, Asking.SEARCH):
        return render("_next.html", visitor.site, NextPage(()))
    with suppress(InvalidRequest, SearchUnavailable):
        async with open_transaction(services.engine, actor) as session:
            answer = await suggest(session, actor, services.knowledge, services.openapi(), wanted, utc_now())
            found = answer.data
    return render("_next.html", visitor.site, NextPage(tuple(found)))


@get("/reference/{operation_id:str}/values", opt={"public": True})
async def parameter_values(request: Request[Any, Any, Any]) -> Response[str]:
    """Ids that the signed-in person may see, for the fields of an operation; a part of the page."""
    visitor = await read_visitor(request)
    actor = visitor.member().actor
    services = visitor.services
    view = find_operation(services.settings.public_url, request.path_params["operation_id"])
    if view is None:
        raise NotFound("There is no such operation. The reference lists all of them.")
    async with open_transaction(services.engine, actor) as session:
        completer = Completer(session, actor, services.openapi(), utc_now())
        found = await completer.list_parameters(view.method, view.path)
    return render("_values.html", visitor.site, ValuesPage(tuple(each for each in found if each.recent)))


@post("/explorer-key", opt={"public": True}, status_code=201)
async def explorer_key(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """A short-lived key for who is signed in; the page keeps it in memory only."""
    visitor = await read_visitor(request)
    actor = visitor.member().actor
    check_origin(request, visitor)
    services: Services = visitor.services
    now = utc_now()
    async with open_transaction(services.engine, actor) as session:
        key = await mint_explorer_key(session, actor, pepper=services.settings.key_pepper, now=now)
    expires = to_epoch_ms(key.expires_at) if key.expires_at else None
    return Response({"key": key.key, "expiresAt": expires}, headers={"cache-control": "no-store"})


handlers = [reference, reference_operation, next_operations, parameter_values, explorer_key]
