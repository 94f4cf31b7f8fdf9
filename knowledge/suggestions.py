"""What to call next, or for a task, and with what.

Next operations come from usage patterns (`knowledge/next_operations.py`); where those have too few, from what is near
in meaning to the last operations. Operations for a task come from the search. Operations of an OpenAPI document that an
organisation uploaded are suggested by meaning alone, since no call of theirs is in the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.client import KnowledgeClient
from knowledge.completion import Completer, Parameter
from knowledge.next_operations import NextOperation, Source, predict_next
from knowledge.search import Hit, describe_document, search
from ontology.actors import PLATFORM_ORG_ID, Actor, anonymous_actor
from ontology.documents import get_document
from ontology.errors import Flaw, InvalidRequest, SearchUnavailable
from ontology.knowledge_items import DocumentKind, KnowledgeItem
from ontology.nearest_names import ask_back, find_nearest_names
from ontology.records import Record
from ontology.usage_patterns import Operations, count_followers, extend, find_last_operations

LIMIT_DEFAULT, LIMIT_MAX, CONTEXT_MAX = 5, 20, 20
# Of one specification among all that the caller may read.
CANDIDATES = 200
SCORE_DIGITS = 3


class Suggestion(Hit):
    """An operation to call, as a hit of the search with why it is suggested and what it takes."""

    source: Source
    after: list[str]
    parameters: list[Parameter]


class Suggestions(Record):
    """Operations, the best first, and the last calls they were suggested for."""

    context: list[str]
    data: list[Suggestion]


@dataclass(frozen=True, slots=True)
class Wanted:
    """For what to suggest: a task, or the last operations; with neither, what the key itself called last.

    Unless `completed`, parameters are left out.
    """

    task: str | None = None
    context: Sequence[str] | None = None
    specification_id: UUID | None = None
    limit: int = LIMIT_DEFAULT
    completed: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation as its document names it; `route` is its method with its path, as usage patterns write it."""

    operation_id: str
    method: str
    path: str
    summary: str
    scope: str | None = None

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"


async def suggest(
    session: AsyncSession,
    actor: Actor,
    client: KnowledgeClient,
    openapi: Mapping[str, Any],
    wanted: Wanted,
    now: datetime,
) -> Suggestions:
    """Suggestions within the actor's reach, with what each operation takes.

    Raises:
        NotFound: the specification does not exist or is out of reach.
        InvalidRequest: an entry of the context is no operation of the API, or of that specification.
        SearchUnavailable: only the search could tell, and it does not answer.
    """
    specification = None
    if wanted.specification_id is not None:
        specification = await get_document(session, actor, wanted.specification_id)
    suggester = _Suggester(session, actor, client, specification, wanted.limit)
    completer = Completer(session, actor, openapi, now) if wanted.completed else None
    if wanted.task is not None:
        return Suggestions(context=[], data=await suggester.for_task(wanted.task, completer))
    endpoints = list_endpoints(openapi) if specification is None else await _list_entries(session, actor, specification)
    if wanted.context is not None:
        recent = read_context(endpoints, wanted.context)
    else:
        recent = () if specification else await find_last_operations(session, actor, now)
    known = {endpoint.route: endpoint for endpoint in endpoints}
    return Suggestions(
        context=[known[route].operation_id for route in recent if route in known],
        data=await suggester.after(recent, known, completer),
    )


def list_endpoints(openapi: Mapping[str, Any]) -> list[Endpoint]:
    """The operations of the platform's own document."""
    return [
        Endpoint(about["operationId"], method.upper(), path, about["summary"], about.get("x-required-scope"))
        for path, methods in openapi["paths"].items()
        for method, about in methods.items()
    ]


def read_context(endpoints: Sequence[Endpoint], names: Sequence[str]) -> Operations:
    """The operations that names mean: ids of operations, or methods with paths as they were sent.

    Raises:
        InvalidRequest: with the place of each that is none.
    """
    by_name = {endpoint.operation_id: endpoint for endpoint in endpoints}
    by_name |= {endpoint.route: endpoint for endpoint in endpoints}
    recent: Operations = ()
    flaws: list[Flaw] = []
    for place, name in enumerate(names):
        found = by_name.get(name) or next((each for each in endpoints if _fits(each.route, name)), None)
        if found is None:
            near = find_nearest_names(name, [endpoint.operation_id for endpoint in endpoints])
            fix = ask_back(near) if near else "send an `operationId`, or a method with a path"
            flaws.append(Flaw(f"body.context[{place}]", "is no operation of this API", fix, near))
        else:
            recent = extend(recent, found.route)
    if flaws:
        raise InvalidRequest(flaws=flaws)
    return recent


def _fits(route: str, name: str) -> bool:
    """Whether a method with a path that has values is of a route."""
    steps, given = route.split("/"), name.partition("?")[0].split("/")
    return len(steps) == len(given) and all(
        step == one or (step.startswith("{") and one) for step, one in zip(steps, given, strict=True)
    )


class _Suggester:
    """Suggests operations of one specification, or of the platform, to one caller."""

    def __init__(
        self,
        session: AsyncSession,
        actor: Actor,
        client: KnowledgeClient,
        specification: KnowledgeItem | None,
        limit: int,
    ) -> None:
        self._session = session
        self._actor = actor
        self._client = client
        self._specification = specification
        self._limit = limit

    async def for_task(self, task: str, completer: Completer | None) -> list[Suggestion]:
        found = await self._search(task)
        return [await self._suggest(hit, row, Source.MEANING, (), completer) for hit, row in found[: self._limit]]

    async def after(
        self, recent: Operations, known: Mapping[str, Endpoint], completer: Completer | None
    ) -> list[Suggestion]:
        """What patterns say, and where they have too little to say, what is near in meaning."""
        allowed = {
            route: endpoint
            for route, endpoint in known.items()
            if endpoint.scope is None or endpoint.scope in self._actor.scopes
        }
        made: list[Suggestion] = []
        if self._specification is None:
            followers = await count_followers(self._session, self._actor, recent)
            predicted = [each for each in predict_next(recent, followers) if each.operation in allowed]
            made = await self._from_patterns(predicted[: self._limit], allowed, completer)
        # A call may have been of no operation: `OPTIONS`, or an address there is none at.
        called = [known[route] for route in recent if route in known]
        if len(made) < self._limit and called:
            there = {each.operation_id for each in (*made, *called)}
            said = ". ".join(endpoint.summary for endpoint in reversed(called))
            try:
                near = await self._search(said, besides=len(there))
            except SearchUnavailable:
                if not made:
                    raise
                near = []
            names = {endpoint.operation_id for endpoint in allowed.values()} - there
            for hit, row in [found for found in near if found[0].operation_id in names][: self._limit - len(made)]:
                made.append(await self._suggest(hit, row, Source.MEANING, (), completer))
        return made

    async def _from_patterns(
        self, predicted: Sequence[NextOperation], known: Mapping[str, Endpoint], completer: Completer | None
    ) -> list[Suggestion]:
        item = KnowledgeItem
        names = [known[each.operation].operation_id for each in predicted]
        query = item.visible_to(self._actor).where(
            col(item.org_id) == PLATFORM_ORG_ID,
            col(item.kind) == DocumentKind.ENDPOINT,
            col(item.external_id).in_(names),
        )
        query = query.where(col(item.knowledge_type) == "document", col(item.deleted_at).is_(None))
        rows = {row.external_id: row for row in (await self._session.exec(query)).all()}
        made: list[Suggestion] = []
        for each in predicted:
            if (row := rows.get(known[each.operation].operation_id)) is not None:
                after = [known[route].operation_id for route in each.after if route in known]
                hit = describe_document(row, score=round(each.probability, SCORE_DIGITS))
                made.append(await self._suggest(hit, row, each.source, after, completer))
        return made

    async def _search(self, words: str, besides: int = 0) -> list[tuple[Hit, KnowledgeItem]]:
        """Endpoints by meaning with their rows: of the specification, or else of the platform's own.

        As many as are wanted `besides` some that may be among them.
        """
        specification = self._specification
        hits = await search(
            self._session,
            self._actor if specification else anonymous_actor(),
            self._client,
            words,
            limit=self._limit + besides if specification is None else CANDIDATES,
            kinds=[DocumentKind.ENDPOINT],
            group_id=specification.group_id if specification else None,
        )
        item = KnowledgeItem
        query = item.visible_to(self._actor).where(col(item.id).in_([hit.document_id for hit in hits]))
        if specification is not None:
            query = query.where(col(item.document_id) == specification.id)
        rows = {row.id: row for row in (await self._session.exec(query)).all()}
        # What an API itself calls (webhooks, callbacks) has no path, and nobody else can call it.
        return [(hit, rows[hit.document_id]) for hit in hits if hit.document_id in rows and _is_called(hit.path)]

    async def _suggest(
        self, hit: Hit, row: KnowledgeItem, source: Source, after: Sequence[str], completer: Completer | None
    ) -> Suggestion:
        parameters: list[Parameter] = []
        if completer is not None and row.org_id == PLATFORM_ORG_ID:
            parameters = await completer.list_parameters(hit.method or "", hit.path or "")
        elif completer is not None:
            parameters = _name_parameters(row)
        return Suggestion(**dict(hit), source=source, after=list(after), parameters=parameters)


async def _list_entries(session: AsyncSession, actor: Actor, specification: KnowledgeItem) -> list[Endpoint]:
    """The operations of an OpenAPI document that an organisation uploaded."""
    item = KnowledgeItem
    query = (
        item.visible_to(actor)
        .where(
            col(item.document_id) == specification.id,
            col(item.kind) == DocumentKind.ENDPOINT,
            col(item.knowledge_type) == "document",
            col(item.deleted_at).is_(None),
        )
        .with_only_columns(col(item.external_id), col(item.title), col(item.metadata_))
    )
    rows = cast("Sequence[Any]", (await (await session.connection()).execute(query)).all())
    return [
        Endpoint(name, about["method"], about["path"], title)
        for name, title, about in rows
        if _is_called(about["path"])
    ]


def _is_called(path: str | None) -> bool:
    return bool(path and path.startswith("/"))


def _name_parameters(row: KnowledgeItem) -> list[Parameter]:
    """Of an uploaded document's operations the names are kept, and no more."""
    names: list[str] = row.metadata_.get("parameters") or []
    path = str(row.metadata_.get("path") or "")
    return [
        Parameter(
            place="path" if f"{{{name}}}" in path else "query or body",
            name=name,
            type="any",
            required=f"{{{name}}}" in path,
            description="",
            choices=[],
            recent=[],
        )
        for name in names
    ]
