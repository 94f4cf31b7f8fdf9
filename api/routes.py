"""Every operation of the API, and the document that describes them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from litestar import Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler

from api import (
    api_keys,
    applications,
    asking,
    connections,
    documents,
    entities,
    entity_batches,
    events,
    features,
    graph,
    groups,
    health,
    knowledge,
    leaks,
    ontology_types,
    organisation,
    people,
    searches,
    suggesting,
    troubleshooting,
    uploads,
    usage,
)
from api.cross_origin import preflight_headers
from api.head_requests import list_methods
from api.openapi import build_document
from api.operations import find_operations
from api.problems import answer_problem
from api.services import Services
from knowledge.claims import ApiNames, read_api_names
from ontology.scopes import ALL_SCOPES
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES

operation_handlers: list[HTTPRouteHandler] = [
    *organisation.handlers,
    *ontology_types.handlers,
    *features.handlers,
    *groups.handlers,
    *people.handlers,
    *entities.handlers,
    *entity_batches.handlers,
    *connections.handlers,
    *graph.handlers,
    *events.handlers,
    *knowledge.handlers,
    *documents.handlers,
    *uploads.handlers,
    *searches.handlers,
    *asking.handlers,
    *troubleshooting.handlers,
    *suggesting.handlers,
    *api_keys.handlers,
    *applications.handlers,
    *leaks.handlers,
    *usage.handlers,
]


@cache
def openapi_document(public_url: str) -> dict[str, Any]:
    """The OpenAPI document of this program, served from `public_url`."""
    return build_document(find_operations(operation_handlers), public_url=public_url)


@cache
def api_names() -> ApiNames:
    """What that document names, with the words of the vocabulary, which it leaves to `GET /v1/ontology`."""
    words: dict[str, Any] = dict.fromkeys((*THING_TYPES, *CONNECTION_TYPES, *EVENT_TYPES))
    words |= {str(entry["name"]): None for kind in THING_TYPES.values() for entry in kind.properties}
    document = openapi_document("") | {"x-vocabulary": words}
    return read_api_names(document, frozenset(scope.value for scope in ALL_SCOPES))


@get("/openapi.json", opt={"public": True}, sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The OpenAPI 3.1 document."""
    services: Services = request.app.state.services
    return Response(openapi_document(services.settings.public_url), media_type="application/json")


def describe_methods(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """An OPTIONS handler for every path, naming all of its methods.

    The framework's own is made for the first handler of a path and never learns of those that join it later.
    """
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_handler(path, list_methods(names)) for path, names in methods.items()]


def _options_handler(path: str, allow: str) -> HTTPRouteHandler:
    async def describe() -> Response[None]:
        return Response(None, status_code=204, headers={"allow": allow} | preflight_headers(allow))

    return HTTPRouteHandler(path, http_method="OPTIONS", status_code=204, opt={"public": True})(describe)


def api_router() -> Router:
    """All of the programs' door, with problem documents for every refusal."""
    handlers = [*operation_handlers, *health.handlers, *leaks.public_handlers, openapi_json]
    return Router(
        "/",
        route_handlers=[*describe_methods(handlers), *handlers],
        exception_handlers={Exception: answer_problem},
    )
