"""`/docs`: the documentation."""

from typing import Any

from litestar import Request, Response, get

from ontology.errors import NotFound
from portal.docs_site import find_page
from portal.rendering import render
from portal.sessions import read_visitor


@get(["/docs", "/docs/{slug:path}"], opt={"public": True})
async def docs(request: Request[Any, Any, Any]) -> Response[str]:
    slug = str(request.path_params.get("slug", "")).strip("/")
    page = find_page(slug)
    if page is None:
        raise NotFound("There is no such page in the documentation. The search may know where it went.")
    visitor = await read_visitor(request)
    return render("docs.html", visitor.site, page)


handlers = [docs]
