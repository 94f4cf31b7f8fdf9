"""`/patterns`: every component in every state, for who works on the looks; in development only."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get

from ontology.errors import NotFound
from portal.rendering import render
from portal.sessions import read_visitor


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """Nothing: the gallery is its template."""


@get("/patterns", opt={"public": True})
async def gallery(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    if not visitor.site.development:
        raise NotFound
    return render("gallery.html", visitor.site, GalleryPage())


handlers = [gallery]
