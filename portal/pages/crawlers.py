"""What browsers and search engines ask for at fixed addresses."""

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import CacheControlHeader
from markupsafe import escape

from api.services import Services
from portal.docs_site import list_urls
from portal.reference_site import list_groups
from portal.rendering import STATIC_DIR

_DAY = CacheControlHeader(public=True, max_age=86_400)
# Pages of one person, and pages made of what was asked for.
_PRIVATE = ("/search", "/sign-in", "/start", "/keys", "/patterns", "/v1/", "/health/")


@get("/favicon.ico", opt={"public": True}, cache_control=_DAY, sync_to_thread=False)
def favicon() -> Response[bytes]:
    return Response((STATIC_DIR / "img" / "favicon.ico").read_bytes(), media_type="image/x-icon")


@get("/robots.txt", opt={"public": True}, cache_control=_DAY, sync_to_thread=False)
def robots(request: Request[Any, Any, Any]) -> Response[str]:
    lines = [
        "User-agent: *",
        *(f"Disallow: {path}" for path in _PRIVATE),
        f"Sitemap: {_public_url(request)}/sitemap.xml",
    ]
    return Response("\n".join(lines) + "\n", media_type="text/plain")


@get("/sitemap.xml", opt={"public": True}, cache_control=_DAY, sync_to_thread=False)
def sitemap(request: Request[Any, Any, Any]) -> Response[str]:
    public_url = _public_url(request)
    operations = [link.url for group in list_groups(public_url, "") for link in group.operations]
    paths = ["/", "/sign-up", "/reference", *operations, *list_urls()]
    places = "".join(f"<url><loc>{escape(public_url + path)}</loc></url>" for path in paths)
    namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="{namespace}">{places}</urlset>'
    return Response(text, media_type="application/xml")


def _public_url(request: Request[Any, Any, Any]) -> str:
    services: Services = request.app.state.services
    return services.settings.public_url


handlers = [favicon, robots, sitemap]
