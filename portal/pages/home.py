"""`/`: what this is, and the way in."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from markupsafe import Markup

from api.operations import find_operations
from api.routes import operation_handlers
from ontology.errors import list_error_classes
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES
from portal.docs_site import count_pages, first_sample
from portal.rendering import render
from portal.sessions import read_visitor

SAMPLE_PAGE = "getting-started/quickstart"


@dataclass(frozen=True, slots=True)
class Proof:
    """A promise, and where to read how it is kept."""

    title: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class HomePage:
    thing_types: int
    connection_types: int
    event_types: int
    operations: int
    error_codes: int
    guides: int
    sample_html: Markup
    proof: tuple[Proof, ...]


_PROOF = (
    Proof(
        "A revoked key is dead at once",
        "On the very next request, on every process: no minute of grace for whoever has it.",
        "/docs/guides/revoked-and-expired-keys",
    ),
    Proof(
        "Limits are exact",
        "Never one request over, never one falsely refused, and every answer says what is left.",
        "/docs/guides/rate-limits",
    ),
    Proof(
        "Isolation, enforced twice",
        "In every query and again by the database, at every level of your tree of groups.",
        "/docs/concepts/isolation",
    ),
    Proof(
        "Every request is an event",
        "Read who called what, when and with which answer, by page or by API, on every plan.",
        "/docs/concepts/events",
    ),
    Proof(
        "Search that understands",
        "Paste an error or ask in your own words: pages, errors, endpoints and patterns answer.",
        "/docs/guides/search",
    ),
    Proof(
        "Docs that cannot lie",
        "The reference comes from the running handlers, and the samples are executed by our tests.",
        "/reference",
    ),
)


@get("/", opt={"public": True})
async def home(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    page = HomePage(
        thing_types=len(THING_TYPES),
        connection_types=len(CONNECTION_TYPES),
        event_types=len(EVENT_TYPES),
        operations=len(find_operations(operation_handlers)),
        error_codes=len(list_error_classes()),
        guides=count_pages("guides"),
        sample_html=first_sample(SAMPLE_PAGE),
        proof=_PROOF,
    )
    return render("home.html", visitor.site, page)


handlers = [home]
