"""`/searches`: what people looked for, and what they did not find."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from litestar import Request, Response, get

from ontology.database import open_transaction
from ontology.plans import PLAN_LIMITS
from ontology.records import utc_now
from ontology.scopes import Scope
from ontology.search_log import SearchFilter, SearchTerms, SearchTotals, count_searches, list_search_terms
from portal.rendering import render
from portal.sessions import read_visitor

ROWS_SHOWN = 100
SPANS = {"7": "7 days", "30": "30 days", "90": "90 days"}
SPAN_DEFAULT = "30"


@dataclass(frozen=True, slots=True)
class TermsView:
    query: str
    searches: int
    not_found: int
    opened: int
    people: int
    last: str
    last_iso: str


@dataclass(frozen=True, slots=True)
class SearchesPage:
    """`everything`: also what was found. `most`: the most often that one row was searched for."""

    totals: SearchTotals
    terms: tuple[TermsView, ...]
    most: int
    everything: bool
    span: str
    may_write: bool
    spans: tuple[tuple[str, str], ...]
    """Those that the plan keeps searches for."""

    @property
    def shown(self) -> str:
        return SPANS[self.span]


@get("/searches", opt={"public": True})
async def searches_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.EVENTS_READ).actor
    everything = request.query_params.get("show") == "all"
    kept_days = PLAN_LIMITS[actor.plan].log_retention_days
    spans = tuple((days, text) for days, text in SPANS.items() if int(days) <= kept_days)
    span = request.query_params.get("days", SPAN_DEFAULT)
    span = span if span in dict(spans) else SPAN_DEFAULT
    since = utc_now() - timedelta(days=int(span))
    async with open_transaction(visitor.services.engine, actor) as session:
        totals = await count_searches(session, actor, SearchFilter(since=since))
        wanted = SearchFilter(since=since, found=None if everything else False)
        terms = await list_search_terms(session, actor, wanted, limit=ROWS_SHOWN)
    page = SearchesPage(
        totals=totals,
        terms=tuple(_view(one) for one in terms),
        most=max((one.searches for one in terms), default=0),
        everything=everything,
        span=span,
        may_write=Scope.KNOWLEDGE_WRITE in actor.scopes,
        spans=spans,
    )
    return render("searches.html", visitor.site, page)


def _view(terms: SearchTerms) -> TermsView:
    at = terms.last_searched_at
    return TermsView(
        query=terms.query,
        searches=terms.searches,
        not_found=terms.not_found,
        opened=terms.opened,
        people=terms.people,
        last=f"{at.day} {at:%b %Y}",
        last_iso=at.isoformat(timespec="seconds"),
    )


handlers = [searches_page]
