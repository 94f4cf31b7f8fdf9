"""Ids that a caller may want to send: the newest rows of each kind, as the list of that kind shows them.

Whoever may not call the list learns nothing here either.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.applications import list_applications
from ontology.connections import list_connections
from ontology.documents import DocumentFilter, list_documents
from ontology.events import EventFilter, list_events
from ontology.groups import list_groups
from ontology.ids import encode_id
from ontology.invitations import list_invitations
from ontology.keys import list_keys
from ontology.pagination import Page, PageRequest
from ontology.people import list_people
from ontology.records import Record
from ontology.scopes import Scope
from ontology.thing_lists import list_things

Lister = Callable[[AsyncSession, Actor, PageRequest, datetime], Awaitable[Page[Any]]]


class RecentId(Record):
    """An id, and what people call the row that has it."""

    id: str
    label: str


async def list_recent_ids(
    session: AsyncSession, actor: Actor, kind: str, now: datetime, *, limit: int
) -> list[RecentId]:
    """The newest rows of a kind within reach, newest first; none without the scope that their list needs.

    Kinds are those of ids, and `key` and `application` for things of these managed types.
    """
    if kind not in _LISTS or _LISTS[kind][0] not in actor.scopes:
        return []
    _, lister, label = _LISTS[kind]
    page = await lister(session, actor, PageRequest("", limit), now)
    prefix = "thing" if kind in ("key", "application") else kind
    return [RecentId(id=encode_id(prefix, row.id), label=str(getattr(row, label))) for row in page.rows]


async def _things(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_things(session, actor, page)


async def _applications(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_applications(session, actor, page)


async def _groups(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_groups(session, actor, page)


async def _people(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_people(session, actor, page)


async def _connections(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_connections(session, actor, page)


async def _documents(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_documents(session, actor, page, DocumentFilter())


async def _events(session: AsyncSession, actor: Actor, page: PageRequest, now: datetime) -> Page[Any]:
    return await list_events(session, actor, EventFilter(), page)


# By kind: the scope its list needs, the list, and the field that names a row.
_LISTS: dict[str, tuple[Scope, Lister, str]] = {
    "thing": (Scope.ENTITIES_READ, _things, "name"),
    "key": (Scope.API_KEYS_MANAGE, list_keys, "name"),
    "application": (Scope.API_KEYS_MANAGE, _applications, "name"),
    "group": (Scope.GROUPS_READ, _groups, "name"),
    "person": (Scope.PEOPLE_READ, _people, "name"),
    "connection": (Scope.CONNECTIONS_READ, _connections, "relationship_type"),
    "knowledge": (Scope.KNOWLEDGE_READ, _documents, "title"),
    "invitation": (Scope.PEOPLE_READ, list_invitations, "email"),
    "event": (Scope.EVENTS_READ, _events, "type"),
}
