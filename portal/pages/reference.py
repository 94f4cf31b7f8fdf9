"""`/reference`: every operation, made from the OpenAPI document, with Try it."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get, post

from api.services import Services
from ontology.database import open_transaction
from ontology.errors import NotFound
from ontology.key_issuing import mint_explorer_key
from ontology.records import to_epoch_ms, utc_now
from portal.reference_site import OperationGroup, OperationView, find_operation, list_groups
from portal.rendering import render
from portal.sessions import check_origin, read_visitor


@dataclass(frozen=True, slots=True)
class ReferencePage:
    groups: tuple[OperationGroup, ...]
    operation: OperationView | None


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


handlers = [reference, reference_operation, explorer_key]
