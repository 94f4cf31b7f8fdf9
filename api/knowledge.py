"""`/v1/knowledge/search`: search by meaning."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api import examples
from api.operations import Call, NoQuery, operation
from knowledge.search import LIMIT_DEFAULT, LIMIT_MAX, Hit, search
from ontology.documents import Label
from ontology.errors import NotFound, SearchUnavailable
from ontology.groups import get_group
from ontology.ids import GroupId
from ontology.records import WHOLE, Input
from ontology.scopes import Scope
from ontology.search_log import Source

_TAG = "Knowledge"
LABELS_MAX = 20
Kind = Literal["page", "error", "endpoint", "pattern"]


class SearchRequest(Input):
    """A question in one's own words, an error as it was pasted, or the name of an endpoint."""

    query: Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\S", examples=["my key stopped working"])]
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), WHOLE] = LIMIT_DEFAULT
    kinds: Annotated[list[Kind], Field(max_length=4)] = Field(default_factory=list[Kind])
    group_id: GroupId | None = None
    labels: Annotated[list[Label], Field(max_length=LABELS_MAX)] = Field(default_factory=list[Label])
    group_by: Literal["document", "passage"] = "document"


@operation(
    "POST",
    "/v1/knowledge/search",
    id="searchKnowledge",
    tag=_TAG,
    scope=Scope.KNOWLEDGE_READ,
    body=SearchRequest,
    answer=Hit,
    shape="list",
    errors=(NotFound, SearchUnavailable),
    body_example=examples.SEARCH,
    answer_example=examples.HIT,
)
async def search_knowledge(call: Call[SearchRequest, NoQuery]) -> dict[str, Any]:
    """Search by meaning.

    Documentation, error codes, endpoints and usage patterns, the platform's and those the key may read; best first.
    Each document is one hit, with its best passage, or with `groupBy: passage` each passage is.
    """
    body = call.body
    if body.group_id is not None:
        await get_group(call.session, call.actor, body.group_id)
    hits = await search(
        call.session,
        call.actor,
        call.services.knowledge,
        body.query,
        limit=body.limit,
        kinds=body.kinds,
        group_id=body.group_id,
        labels=body.labels,
        by_passage=body.group_by == "passage",
    )
    call.services.searches.note_search(
        call.actor, Source.API, body.query, hits, kinds=body.kinds, group_id=body.group_id, labels=body.labels
    )
    return {"data": [hit.as_json() for hit in hits]}


handlers = [search_knowledge]
