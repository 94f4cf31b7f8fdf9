"""What a person sees when a page cannot be given; programs get a problem document instead."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Redirect
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from api.headers import Headers
from api.problems import NO_OPERATION, answer_problem, problem_headers, translate
from ontology.errors import MissingApiKey, NotFound, PortalError
from ontology.settings import Settings
from portal.rendering import Site, environment, render
from portal.sessions import ForgedForm, NotSignedIn, read_visitor

PROGRAM_PATHS = ("/v1", "/health", "/openapi.json", "/explorer-key")
FORM_PAGES = ("/keys", "/members", "/documents", "/troubleshoot")
UNAVAILABLE = "A part of it is starting or does not answer. Nothing is lost; try again in a few seconds."
UNSURE = (
    "A part of it is starting or does not answer. What you sent may still be done; go back and look before you "
    "send it again."
)
BROKEN = "It is not you. Try again; if it stays, tell whoever runs this portal the id of the request below."
NO_PAGE = "A form is sent to this address; there is nothing to read at it. Go back to the page of the form."
FORGED = "The form is too old or was not sent from this site. Go back, load the page again and send it once more."


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """`again` is the address to try once more, where waiting may help."""

    status: int
    title: str
    detail: str
    request_id: str
    again: str = ""


def answer_refusal(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's exception handler for everything that is not an operation."""
    path = request.url.path
    request_id: str = request.scope["state"].get("request_id", "")
    if isinstance(error, ForgedForm):
        return _RefusalPage(ProblemPage(403, "The form could not be accepted", FORGED, request_id), {})
    if isinstance(error, NotSignedIn):
        # A page's script cannot follow to a form; its page says what to do.
        return answer_problem(request, MissingApiKey()) if path.startswith(PROGRAM_PATHS) else _lead_to_sign_in(request)
    if path.startswith(PROGRAM_PATHS):
        return answer_problem(request, error)
    refusal = translate(error)
    page = _describe(refusal, request_id, _address(request) if request.method == "GET" else "")
    headers = {name: value for name, value in problem_headers(refusal).items() if name == "retry-after"}
    return _RefusalPage(page, headers)


def render_refusal(settings: Settings, scope: Any, refusal: PortalError) -> bytes | None:
    """The page of what is refused before, or instead of, any handler; None for a program.

    It knows nobody: finding out who asks may be what was waited for.
    """
    headers: Headers = scope["state"]["headers"]
    path: str = scope["path"]
    if path.startswith(PROGRAM_PATHS) or "text/html" not in headers.first(b"accept"):
        return None
    query: str = scope["query_string"].decode("latin-1")
    again = f"{path}?{query}" if query else path
    page = _describe(refusal, scope["state"]["request_id"], again if scope["method"] == "GET" else "")
    site = Site(None, "", path, settings.environment == "development", settings.public_url)
    return environment().get_template("problem.html").render(site=site, page=page).encode()


def _describe(refusal: PortalError, request_id: str, address: str) -> ProblemPage:
    """`address` is where to try again, if that is harmless."""
    title, detail = refusal.title, refusal.detail
    if refusal.status == 404:
        title = "Page not found"
        if detail in (NotFound.advice, NO_OPERATION):
            detail = "Nothing is at this address. The search may know what you were looking for."
    if refusal.status == 405:
        title, detail = "This is not a page", NO_PAGE
    if refusal.status < 500:
        told = [f"The address {flaw.message}: {flaw.fix}." for flaw in refusal.flaws if flaw.location == "path"]
        return ProblemPage(refusal.status, title, " ".join(told) or detail, request_id)
    detail = (UNAVAILABLE if address else UNSURE) if refusal.status == 503 else BROKEN
    # Of this site, whatever an address begins with.
    again = "/" + address.lstrip("/\\") if address else ""
    return ProblemPage(refusal.status, title, detail, request_id, again)


def _address(request: Request[Any, Any, Any]) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _lead_to_sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """To the form, and from there back to the page one wanted, or to that of the form one sent."""
    path = request.url.path
    if request.method != "GET":
        path = next((page for page in FORM_PAGES if path.startswith(page)), "/start")
    else:
        path = _address(request)
    return Redirect(f"/sign-in?next={quote(path, safe='/')}", status_code=303)


class _RefusalPage(Response[None]):
    """Rendered when it is sent: its frame shows who is signed in, which an exception handler cannot wait for."""

    def __init__(self, page: ProblemPage, headers: dict[str, str]) -> None:
        super().__init__(None, status_code=page.status, headers=headers, media_type="text/html")
        self._page = page
        self._more = headers

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _LateAnswer(request, self._page, self._more)


class _LateAnswer(ASGIResponse):
    def __init__(self, request: Request[Any, Any, Any], page: ProblemPage, headers: dict[str, str]) -> None:
        super().__init__(status_code=page.status)
        self._request = request
        self._page = page
        self._more = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = await read_visitor(self._request)
        answer = render("problem.html", visitor.site, self._page, status=self._page.status)
        answer.headers.update(self._more)
        await answer.to_asgi_response(None, self._request)(scope, receive, send)  # pyright: ignore[reportUnknownMemberType]
