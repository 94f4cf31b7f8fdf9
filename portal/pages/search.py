"""`/search` and what the search box shows while one types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.response import Redirect
from markupsafe import Markup, escape

from api.problems import RETRY_SECONDS
from knowledge.errors import IndexBuilding
from knowledge.highlights import mark_words
from knowledge.search import Hit, search
from ontology.actors import Actor, anonymous_actor
from ontology.database import open_transaction
from ontology.errors import SearchUnavailable
from ontology.ids import decode_id, encode_id, new_id
from ontology.key_secrets import REDACTED, redact_keys
from ontology.scopes import Scope
from ontology.search_log import HITS_MAX, Source
from portal.pages.asking import AnswerView, answer_visitor, read_question
from portal.pages.document import document_address
from portal.rendering import render
from portal.search_limits import TOO_MANY, Asking, ask_to_wait, may_ask
from portal.sessions import Visitor, read_form, read_visitor

QUERY_LENGTH_MAX = 2000
PAGE_HITS, SUGGESTED_HITS = 20, 8
# Of a fused list, whose weights add up to little more than 1.
SCORE_MAX = 10.0
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
    document_id: str
    rank: int = 0
    """Its place among all hits, the first being 1."""


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
    problem: str = ""
    """Why it was not looked for."""
    answer: AnswerView | None = None
    """There when it was asked for."""
    noted: str | None = None
    """What a member's browser tells about this search with the hit that is opened, as JSON."""

    @property
    def available(self) -> bool:
        return self.retry_seconds is None and not self.problem

    @property
    def hides_key(self) -> bool:
        """A key was taken out of the query."""
        return REDACTED in self.query


async def find_results(visitor: Visitor, query: str, limit: int, *, note: bool) -> SearchPage:
    """What the visitor may see, grouped by kind. A member's search is noted, or only once a hit of it is opened."""
    if not query:
        return SearchPage("")
    member = visitor.find_member_who_may(Scope.KNOWLEDGE_READ)
    actor = member.actor if member else anonymous_actor()
    try:
        async with open_transaction(visitor.services.engine, actor) as session:
            hits = await search(session, actor, visitor.services.knowledge, query, limit=limit)
    except SearchUnavailable as refusal:
        retry_seconds = refusal.retry_after_seconds or RETRY_SECONDS
        return SearchPage(query, retry_seconds=retry_seconds, building=isinstance(refusal, IndexBuilding))
    noted = _note(visitor, actor, query, hits, now=note) if member else None
    return SearchPage(query, _group(hits, query), len(hits), noted=noted)


def _note(visitor: Visitor, actor: Actor, query: str, hits: Sequence[Hit], *, now: bool) -> str:
    log = visitor.services.searches
    search_id = log.note_search(actor, Source.PORTAL, query, hits) if now else new_id()
    score = hits[0].score if hits else None
    return json.dumps({"search": encode_id("search", search_id), "query": query, "hits": len(hits), "score": score})


@get("/search", opt={"public": True})
async def search_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    query, asks = _read_query(request), request.query_params.get("ask") == "1"
    if query and not await may_ask(request, visitor, Asking.SEARCH):
        return ask_to_wait(render("search.html", visitor.site, SearchPage(query, problem=TOO_MANY)))
    page = await find_results(visitor, query, PAGE_HITS, note=not asks)
    if query and page.available and asks:
        if not await may_ask(request, visitor, Asking.ANSWER):
            page = replace(page, answer=AnswerView(False, "extracted", problem=TOO_MANY))
            return ask_to_wait(render("search.html", visitor.site, page))
        page = replace(page, answer=await answer_visitor(visitor, read_question(request)))
    answer = render("search.html", visitor.site, page, status=200 if page.available else 503)
    if page.retry_seconds is not None:
        answer.headers["retry-after"] = str(page.retry_seconds)
    return answer


@post("/search", opt={"public": True})
async def search_form(request: Request[Any, Any, Any]) -> Redirect:
    """From a form: a pasted key is taken out before the text becomes an address, where it would be a leaked one."""
    query = redact_keys(_clean((await request.form()).get("q")))
    return Redirect(f"/search?q={quote(query)}" if query else "/search", status_code=303)


@get("/search/suggest", opt={"public": True})
async def suggest(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    query = _read_query(request)
    if query and not await may_ask(request, visitor, Asking.SEARCH):
        return ask_to_wait(render("_results.html", visitor.site, SearchPage(query, problem=TOO_MANY)))
    page = await find_results(visitor, query, SUGGESTED_HITS, note=False)
    return render("_results.html", visitor.site, page)


@post("/search/opened", opt={"public": True}, status_code=204)
async def note_opened(request: Request[Any, Any, Any]) -> Response[None]:
    """Told by a member's browser which hit of which search it is about to open; it waits for no answer.

    The link itself leads straight to the document, so there is no address here that leads elsewhere.
    """
    visitor = await read_visitor(request)
    form = await read_form(request, visitor)
    opened = _read_opened(form)
    member = visitor.find_member_who_may(Scope.KNOWLEDGE_READ)
    if member and opened is not None:
        visitor.services.searches.note_opened(member.actor, *opened)
    return Response(None, status_code=204)


def _read_opened(form: Mapping[str, Sequence[str]]) -> tuple[UUID, str, int, float | None, str, int] | None:
    """None unless every field is what a page of ours had sent."""
    given = {name: (form.get(name) or [""])[0] for name in ("search", "query", "hits", "score", "document", "rank")}
    try:
        search_id = decode_id(given["search"], "search")[1]
        decode_id(given["document"], "knowledge")
        hits, rank = int(given["hits"]), int(given["rank"])
        score = float(given["score"]) if given["score"] else None
    except ValueError:
        return None
    query = given["query"].strip()[:QUERY_LENGTH_MAX]
    if not (query and 0 < rank <= hits <= HITS_MAX and (score is None or 0 <= score <= SCORE_MAX)):
        return None
    return search_id, query, hits, score, given["document"], rank


def _read_query(request: Request[Any, Any, Any]) -> str:
    return _clean(request.query_params.get("q"))


def _clean(given: object) -> str:
    return given.replace("\x00", "").strip()[:QUERY_LENGTH_MAX] if isinstance(given, str) else ""


def _group(hits: Sequence[Hit], query: str) -> tuple[ResultGroup, ...]:
    kinds = list(dict.fromkeys(hit.kind for hit in hits))
    views = [(hit.kind, view_hit(hit, query, rank)) for rank, hit in enumerate(hits, 1)]
    return tuple(
        ResultGroup(kind, GROUPS.get(kind, kind), tuple(view for other, view in views if other == kind))
        for kind in kinds
    )


def view_hit(hit: Hit, query: str, rank: int = 0) -> ResultHit:
    text = " ".join(hit.text.split())
    shown = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS].rsplit(" ", 1)[0] + " …"
    parts = (Markup("<mark>{}</mark>").format(part) if hit else escape(part) for part, hit in mark_words(shown, query))
    return ResultHit(
        title=hit.title,
        url=hit.url or document_address(hit.document_id, hit.heading_path),
        trail=" › ".join(hit.heading_path),
        excerpt_html=Markup("").join(parts),
        method=hit.method,
        path=hit.path,
        document_id=encode_id("knowledge", hit.document_id),
        rank=rank,
    )


handlers = [search_page, search_form, suggest, note_opened]
