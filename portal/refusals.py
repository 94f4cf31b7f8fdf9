"""What a person sees when a page cannot be given; programs get a problem document instead."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Redirect

from api.problems import answer_problem, problem_headers, translate
from api.services import Services
from portal.rendering import Site, render
from portal.sessions import ForgedForm, NotSignedIn

PROGRAM_PATHS = ("/v1", "/health", "/openapi.json", "/explorer-key")


@dataclass(frozen=True, slots=True)
class ProblemPage:
    status: int
    title: str
    detail: str
    request_id: str


def answer_refusal(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's exception handler for everything that is not an operation."""
    path = request.url.path
    if path.startswith(PROGRAM_PATHS) and not isinstance(error, (NotSignedIn, ForgedForm)):
        return answer_problem(request, error)
    if isinstance(error, NotSignedIn):
        after = quote(path if request.method == "GET" else "/start", safe="/")
        return Redirect(f"/sign-in?next={after}", status_code=303)
    services: Services = request.app.state.services
    settings = services.settings
    site = Site(None, "", path, settings.environment == "development", settings.public_url)
    request_id: str = request.scope["state"].get("request_id", "")
    if isinstance(error, ForgedForm):
        detail = (
            "The form is too old or was not sent from this site. Go back, load the page again and send it once more."
        )
        page = ProblemPage(403, "The form could not be accepted", detail, request_id)
        return render("problem.html", site, page, status=403)
    refusal = translate(error)
    title = "Page not found" if refusal.status == 404 else refusal.title
    page = ProblemPage(refusal.status, title, refusal.detail, request_id)
    answer = render("problem.html", site, page, status=refusal.status)
    answer.headers.update({k: v for k, v in problem_headers(refusal).items() if k == "retry-after"})
    return answer
