"""Leads each call of an operation straight to it: the framework's routing, injection and responses cost more than some
operations do. Whatever is no operation (pages, OPTIONS, unknown paths and methods) is the framework's. To both, HEAD is
a GET.
"""

from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Send

from api.head_requests import read_for_head
from api.problems import answer_problem


class Dispatch:
    """Between the frame and the framework's application."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._paths: set[str] = set()
        self._exact: dict[tuple[str, str], HTTPRouteHandler] = {}
        self._by_last: dict[tuple[str, str], tuple[HTTPRouteHandler, str]] = {}
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                for method, (handler, _) in route.route_handler_map.items():
                    if "operation" in handler.opt:
                        self._add(method, handler.opt["operation"].path, handler)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope, receive, send = read_for_head(scope, send)
        if scope["type"] != "http" or (handler := self._find(scope)) is None:
            await self._app(scope, receive, send)
            return
        scope["litestar_app"], scope["route_handler"] = self._app, handler
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        try:
            answer: ASGIApp = await handler.fn(request)
        except Exception as error:  # as the framework does: whatever is raised becomes a problem document
            problem = answer_problem(request, error)
            answer = problem.to_asgi_response(app=None, request=request)  # pyright: ignore[reportUnknownMemberType]
        await answer(scope, receive, send)

    def _add(self, method: str, path: str, handler: HTTPRouteHandler) -> None:
        """Paths without a parameter, and those whose last part is their only one."""
        before, _, last = path.rpartition("/")
        if "{" not in path:
            self._paths.add(path)
            self._exact[method, path] = handler
        elif "{" not in before and last.startswith("{"):
            self._by_last[method, before] = (handler, last[1:-1])

    def _find(self, scope: Any) -> HTTPRouteHandler | None:
        method: str = scope["method"]
        path: str = scope["path"]
        if (handler := self._exact.get((method, path))) is not None:
            scope["path_params"] = {}
            return handler
        before, _, last = path.rpartition("/")
        found = self._by_last.get((method, before))
        if found is None or not last or path in self._paths:
            return None
        scope["path_params"] = {found[1]: last}
        return found[0]
