"""`/v1/knowledge/searches`: what people looked for, and what they did not find."""

from typing import Annotated, Any

from pydantic import Field

from api import examples
from api.operations import Call, NoBody, operation
from api.parameters import PageQuery, Query, QueryBoolean, QueryInteger, QueryText
from ontology import search_log
from ontology.errors import NotFound
from ontology.ids import GroupId
from ontology.pagination import Page
from ontology.records import Moment
from ontology.scopes import Scope
from ontology.search_log import TERMS_MAX, LoggedSearch, Purpose, SearchFilter, SearchTerms, Source

_TAG = "Knowledge"


class SearchFilters(Query):
    """Which searches."""

    found: (
        Annotated[
            QueryBoolean, Field(description="Only searches that something answers; with `false`, that nothing does.")
        ]
        | None
    ) = None
    purpose: Annotated[Purpose | None, Field(description="Only searches, or only questions.")] = None
    source: Annotated[Source | None, Field(description="Only through the API, or only in the portal.")] = None
    group_id: Annotated[GroupId | None, Field(description="Only searches of this very group.")] = None
    q: Annotated[QueryText, Field(description="Only queries that hold this text.")] | None = None
    since: Annotated[Moment, Field(description="From this time on; epoch milliseconds or ISO 8601.")] | None = None
    until: Annotated[Moment, Field(description="Before this time; epoch milliseconds or ISO 8601.")] | None = None

    def wanted(self) -> SearchFilter:
        return SearchFilter(**{name: getattr(self, name) for name in SearchFilter.__slots__})


class SearchesQuery(SearchFilters, PageQuery):
    """Filters and page of the list of searches."""


class TermsQuery(SearchFilters):
    """Filters of searches by their words."""

    limit: Annotated[QueryInteger, Field(ge=1, le=TERMS_MAX, description="So many at most.")] = 50


@operation(
    "GET",
    "/v1/knowledge/searches",
    id="listSearches",
    tag=_TAG,
    scope=Scope.EVENTS_READ,
    query=SearchesQuery,
    answer=LoggedSearch,
    shape="page",
    errors=(NotFound,),
    answer_example=examples.LOGGED_SEARCH,
)
async def list_searches(call: Call[NoBody, SearchesQuery]) -> Page[LoggedSearch]:
    """List searches.

    Searches and questions of the key's group and the groups below it, newest first, with their hits, whether something
    answers them and which hit was opened. Secrets are taken out. A search appears within a second of its answer and is
    kept as long as your plan keeps calls.
    """
    return await search_log.list_searches(call.session, call.actor, call.query.wanted(), call.page(call.query))


@operation(
    "GET",
    "/v1/knowledge/searches/terms",
    id="listSearchTerms",
    tag=_TAG,
    scope=Scope.EVENTS_READ,
    query=TermsQuery,
    answer=SearchTerms,
    shape="list",
    errors=(NotFound,),
    answer_example=examples.SEARCH_TERMS,
)
async def list_search_terms(call: Call[NoBody, TermsQuery]) -> dict[str, Any]:
    """List what people searched for.

    Searches in the same words counted together: what was not found most often first. With `found=false` it is what
    people looked for and did not find.
    """
    query = call.query
    terms = await search_log.list_search_terms(call.session, call.actor, query.wanted(), limit=query.limit)
    return {"data": [term.as_json() for term in terms]}


handlers = [list_searches, list_search_terms]
