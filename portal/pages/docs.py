"""`/docs`: the documentation."""

from typing import Any

from litestar import Request, Response, get

from ontology.errors import NotFound
from portal.docs_site import find_page
from portal.rendering import render
from portal.sessions import read_visitor


@get(["/docs", "/docs/{slug:path}"], opt={"public": True})
async def docs(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    page = find_page(str(request.path_params.get("slug", "")).strip("/"), visitor.services.settings.public_url)
    if page is None:
        raise NotFound("There is no such page in the documentation. The search may know where it went.")
    return render("docs.html", visitor.site, page)


handlers = [docs]
