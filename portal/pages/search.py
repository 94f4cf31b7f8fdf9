"""`/search` and what the search box shows while one types."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from litestar import Request, Response, get
from markupsafe import Markup, escape

from api.problems import RETRY_SECONDS
from knowledge.errors import IndexBuilding
from knowledge.highlights import mark_words
from knowledge.search import Hit, search
from ontology.actors import anonymous_actor
from ontology.database import open_transaction
from ontology.errors import SearchUnavailable
from ontology.ids import encode_id
from portal.pages.asking import AnswerView, answer_visitor, read_question
from portal.rendering import render
from portal.sessions import Visitor, read_visitor

QUERY_LENGTH_MAX = 2000
PAGE_HITS, SUGGESTED_HITS = 20, 8
EXCERPT_CHARACTERS = 220
GROUPS = {"page": "Documentation", "endpoint": "Endpoints", "error": "Errors", "pattern": "Patterns"}


@dataclass(frozen=True, slots=True)
class ResultHit:
    title: str
    url: str
    trail: str
    excerpt_html: Markup
    method: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class ResultGroup:
    kind: str
    title: str
    hits: tuple[ResultHit, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The groups stand in the order of their best hit. Without an answer `retry_seconds` says when to ask again, and
    `building` that the index is not whole yet."""

    query: str
    groups: tuple[ResultGroup, ...] = ()
    total: int = 0
    retry_seconds: int | None = None
    building: bool = False
    answer: AnswerView | None = None
    """There when it was asked for."""

    @property
    def available(self) -> bool:
        return self.retry_seconds is None


async def find_results(visitor: Visitor, query: str, limit: int) -> SearchPage:
    """What the visitor may see, grouped by kind."""
    if not query:
        return SearchPage("")
    actor = visitor.signed_in.actor if visitor.signed_in else anonymous_actor()
    try:
        async with open_transaction(visitor.services.engine, actor) as session:
            hits = await search(session, actor, visitor.services.knowledge, query, limit=limit)
    except SearchUnavailable as refusal:
        retry_seconds = refusal.retry_after_seconds or RETRY_SECONDS
        return SearchPage(query, retry_seconds=retry_seconds, building=isinstance(refusal, IndexBuilding))
    return SearchPage(query, _group(hits, query), len(hits))


@get("/search", opt={"public": True})
async def search_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    page = await find_results(visitor, _read_query(request), PAGE_HITS)
    if page.query and page.available and request.query_params.get("ask") == "1":
        page = replace(page, answer=await answer_visitor(visitor, read_question(request)))
    answer = render("search.html", visitor.site, page, status=200 if page.available else 503)
    if page.retry_seconds is not None:
        answer.headers["retry-after"] = str(page.retry_seconds)
    return answer


@get("/search/suggest", opt={"public": True})
async def suggest(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    page = await find_results(visitor, _read_query(request), SUGGESTED_HITS)
    return render("_results.html", visitor.site, page)


def _read_query(request: Request[Any, Any, Any]) -> str:
    given: str = request.query_params.get("q", "")
    return given.replace("\x00", "").strip()[:QUERY_LENGTH_MAX]


def _group(hits: Sequence[Hit], query: str) -> tuple[ResultGroup, ...]:
    kinds = list(dict.fromkeys(hit.kind for hit in hits))
    return tuple(
        ResultGroup(kind, GROUPS.get(kind, kind), tuple(view_hit(hit, query) for hit in hits if hit.kind == kind))
        for kind in kinds
    )


def view_hit(hit: Hit, query: str) -> ResultHit:
    text = " ".join(hit.text.split())
    shown = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS].rsplit(" ", 1)[0] + " …"
    parts = (Markup("<mark>{}</mark>").format(part) if hit else escape(part) for part, hit in mark_words(shown, query))
    return ResultHit(
        title=hit.title,
        # A document without an address of its own is read where it can be: through its operation.
        url=hit.url or f"/reference/getDocument?documentId={encode_id('knowledge', hit.document_id)}",
        trail=" › ".join(hit.heading_path),
        excerpt_html=Markup("").join(parts),
        method=hit.method,
        path=hit.path,
    )


handlers = [search_page, suggest]
