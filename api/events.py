"""`/v1/events`: what happened, every API call included."""

from typing import Annotated

from pydantic import Field

from api import examples
from api.operations import Call, NoBody, operation
from api.parameters import PageQuery
from ontology import events
from ontology.errors import UnknownType
from ontology.events import EventFields, EventFilter
from ontology.ids import GroupId
from ontology.pagination import Page
from ontology.records import Moment
from ontology.scopes import Scope
from ontology.things import TypeName

AnyId = Annotated[
    str,
    Field(
        pattern=r"^(thing|person|group|connection|event|knowledge)_[0-7][0-9a-hjkmnp-tv-z]{25}$",
        examples=[examples.COURSE],
    ),
]


class EventsQuery(PageQuery):
    """Filters of the list of events."""

    type: TypeName | None = None
    actor_id: Annotated[AnyId, Field(description="Who did it.")] | None = None
    target_id: Annotated[AnyId, Field(description="What it was done to.")] | None = None
    request_id: Annotated[str, Field(pattern=r"^req_[0-9a-z]{24}$", description="The call it came from.")] | None = None
    group_id: Annotated[GroupId, Field(description="Only events of this group.")] | None = None
    since: Annotated[Moment, Field(description="From this time on; epoch milliseconds or ISO 8601.")] | None = None
    until: Annotated[Moment, Field(description="Before this time; epoch milliseconds or ISO 8601.")] | None = None


@operation(
    "GET",
    "/v1/events",
    id="listEvents",
    tag="Events",
    scope=Scope.EVENTS_READ,
    query=EventsQuery,
    answer=EventFields,
    shape="page",
    errors=(UnknownType,),
    answer_example=examples.EVENT,
)
async def list_events(call: Call[NoBody, EventsQuery]) -> Page[EventFields]:
    """List events.

    Changes and API calls (`api_request_made`) of the key's group and every group below it, newest first. A call appears
    within two seconds of its answer.
    """
    query = call.query
    wanted = EventFilter(
        type=query.type,
        actor_id=query.actor_id,
        target_id=query.target_id,
        request_id=query.request_id,
        group_id=query.group_id,
        since=query.since,
        until=query.until,
    )
    return await events.list_events(call.session, call.actor, wanted, call.page(query))


handlers = [list_events]
