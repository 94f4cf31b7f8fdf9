"""What was wrong with a call, from whatever its caller has: a message, a problem document, the id of the request.

The page of the error's code comes first, then what the search finds for the words. With the request itself the
diagnosis has a patch that makes it fit (`knowledge/request_repairs.py`). The log keeps no bodies, so of a call that is
known by its id alone it can say what was refused, and how that call differs from the nearest one that succeeded.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import false
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from knowledge.answerability import measure_error
from knowledge.client import KnowledgeClient
from knowledge.logged_repairs import mend_logged
from knowledge.protocol import SearchRequest, SearchScope
from knowledge.request_repairs import Repair, SentRequest, mend_request, write_curl
from knowledge.search import Hit, describe_document, search
from knowledge.words import page_name
from ontology.actors import PLATFORM_ORG_ID, Actor
from ontology.errors import Flaw, NotFound, SearchUnavailable, list_error_classes
from ontology.events import REQUEST_EVENT, EventFilter, LoggedRequest, select_events
from ontology.ids import encode_id
from ontology.knowledge_items import DocumentKind, KnowledgeItem
from ontology.nearest_names import NEAREST_MAX
from ontology.records import to_epoch_ms
from ontology.scopes import Scope

LIMIT_DEFAULT = 5
FLAWS_MAX, TEXT_MAX = 50, 500
# A message is taken for an error from this margin over other subjects on, if it is no nearer to what networks,
# databases and languages say (`foreign_errors.txt`; `answerability.measure_error`, among errors). Of our own hundred
# judged messages 98 are, with and without that list; of those of Next.js and pylint a fifth, of pydantic, which speaks
# of fields too, three fifths; of ten such as `Connection refused` none instead of six.
KNOWN_FROM = 0.14
OF_OTHERS = (
    f"None of your own calls has this id. Reading the calls of others needs the scope `{Scope.EVENTS_READ}`. "
    "A call is in the log about a second after its answer."
)
COMPARED = {"path": "path", "userAgent": "user agent", "ipAddress": "address"}
_REQUEST_ID = re.compile(r"\breq_[0-9a-hjkmnp-tv-z]{24}\b")
_ERRORS = {error.code: error for error in list_error_classes()}


@dataclass(frozen=True, slots=True)
class Symptom:
    """What a caller has of a failure; empty where it has nothing."""

    message: str = ""
    problem: Mapping[str, Any] | None = None
    request_id: str | None = None
    request: SentRequest | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known. `flaws` are the places the problem names, `nearest` a like call that succeeded.

    `note` says which scope it takes to be told more.
    """

    code: str | None
    cause: str | None
    flaws: tuple[Flaw, ...]
    call: LoggedRequest | None
    nearest: LoggedRequest | None
    repair: Repair | None
    basis: str | None
    hits: tuple[Hit, ...]
    note: str | None

    @property
    def differences(self) -> list[dict[str, Any]]:
        return compare_calls(self.call, self.nearest) if self.call and self.nearest else []

    def as_json(self) -> dict[str, Any]:
        repair = self.repair
        return {
            "code": self.code,
            "cause": self.cause,
            "errors": [flaw.as_json() for flaw in self.flaws],
            "call": describe_call(self.call) if self.call else None,
            "nearestSuccess": describe_call(self.nearest) if self.nearest else None,
            "differences": self.differences,
            "operationId": repair.operation_id if repair else None,
            "basis": self.basis,
            "patch": list(repair.patch) if repair else None,
            "request": repair.request.as_json() if repair else None,
            "curl": write_curl(repair.request) if repair else None,
            "data": [hit.as_json() for hit in self.hits],
            "note": self.note,
        }


def read_paste(text: str) -> Symptom:
    """A symptom from pasted text: the id of a request, a problem document alone or within a trace, or a message."""
    stripped = text.strip()
    if _REQUEST_ID.fullmatch(stripped):
        return Symptom(request_id=stripped)
    if (problem := _find_problem(stripped)) is not None:
        return Symptom(message="" if stripped.startswith("{") else stripped, problem=problem)
    return Symptom(message=stripped)


async def troubleshoot(
    session: AsyncSession,
    actor: Actor,
    client: KnowledgeClient,
    openapi: Mapping[str, Any],
    symptom: Symptom,
    *,
    limit: int = LIMIT_DEFAULT,
) -> Diagnosis:
    """What can be told of a failure within the actor's reach: without `events:read`, of calls of its own key only.

    Raises:
        NotFound: no call within reach has `request_id`, whoever else's it is; to who may read them all.
        SearchUnavailable: the code is not known, and the search that could tell does not answer.
    """
    if symptom.problem is None and symptom.message:
        read = read_paste(symptom.message)
        symptom = Symptom(read.message, read.problem, symptom.request_id or read.request_id, symptom.request)
    call, note = await _find_call(session, actor, symptom)
    flaws = _read_flaws(symptom.problem)
    code = _read_code(symptom.problem) or (call.metadata_.get("errorCode") if call else None)
    nearest = await _find_nearest_success(session, actor, call) if call else None
    repair, basis = None, None
    if symptom.request is not None:
        repair, basis = await asyncio.to_thread(mend_request, openapi, symptom.request, flaws), "request"
    elif call is not None:
        about = describe_call(call)
        places = [flaw.location for flaw in flaws] or about["errorPlaces"]
        repair, told = await asyncio.to_thread(mend_logged, openapi, about["method"], about["path"], places)
        flaws, basis = flaws or told, "example" if repair else None
    words = _describe(symptom, code)
    hits = await _find_pages(session, actor, client, code, words, limit)
    if code is None and hits and symptom.message:
        over_subjects, over_foreign = await _weigh_message(actor, client, symptom.message)
        if over_foreign < 0:
            # What another program says has no page among the errors; a guide may speak of it.
            kinds = (DocumentKind.ERROR, DocumentKind.PAGE)
            hits = tuple(await search(session, actor, client, words, limit=limit, kinds=kinds))
        elif over_subjects >= KNOWN_FROM:
            code = page_name(hits[0].external_id or "")
    return Diagnosis(code, _explain(code, flaws, hits), flaws, call, nearest, repair, basis, hits, note)


def describe_call(call: LoggedRequest) -> dict[str, Any]:
    """A logged call as the answer shows it."""
    about = call.metadata_
    return {
        "requestId": call.request_id,
        "timestamp": to_epoch_ms(call.timestamp),
        "method": about.get("method"),
        "endpoint": about.get("endpoint"),
        "path": about.get("path") or about.get("endpoint"),
        "status": about.get("statusCode"),
        "errorCode": about.get("errorCode"),
        "errorPlaces": about.get("errorPlaces") or [],
        "keyId": encode_id("thing", call.key_id) if call.key_id else None,
    }


def compare_calls(failed: LoggedRequest, succeeded: LoggedRequest) -> list[dict[str, Any]]:
    """In what the log knows of them, two calls of one operation differ."""
    pairs = [(label, failed.metadata_.get(name), succeeded.metadata_.get(name)) for name, label in COMPARED.items()]
    pairs.append(("key", failed.target_id, succeeded.target_id))
    return [{"field": label, "failed": one, "succeeded": other} for label, one, other in pairs if one != other]


async def _find_call(session: AsyncSession, actor: Actor, symptom: Symptom) -> tuple[LoggedRequest | None, str | None]:
    """The call, or why it is not told, which is the same whether it is another key's or nobody's.

    Raises:
        NotFound: it was asked for by its id, and the actor may read every call within reach.
    """
    named = symptom.request_id
    request_id = named or _text((symptom.problem or {}).get("requestId"))
    if not _REQUEST_ID.fullmatch(request_id):
        if named:
            raise NotFound
        return None, None
    query = _select_calls(actor, EventFilter(type=REQUEST_EVENT, request_id=request_id))
    found: LoggedRequest | None = (await session.exec(query.limit(1))).first()
    if found is None and Scope.EVENTS_READ not in actor.scopes:
        return None, OF_OTHERS
    if found is None and named:
        raise NotFound("No call within reach has this id. A call is in the log about a second after its answer.")
    return found, None


def _select_calls(actor: Actor, wanted: EventFilter) -> SelectOfScalar[Any]:
    """Those of the actor's own key alone, unless it may read events."""
    query = select_events(actor, LoggedRequest, wanted)
    if Scope.EVENTS_READ in actor.scopes:
        return query
    return query.where(col(LoggedRequest.key_id) == actor.key_id if actor.key_id else false())


async def _find_nearest_success(session: AsyncSession, actor: Actor, call: LoggedRequest) -> LoggedRequest | None:
    """The call of the same operation that succeeded last before it, or else first after it."""
    endpoint = f"{call.metadata_.get('method')} {call.metadata_.get('endpoint')}"
    query = _select_calls(actor, EventFilter(type=REQUEST_EVENT, endpoint=endpoint, status="2xx"))
    identity = col(LoggedRequest.id)
    before = (await session.exec(query.where(identity < call.id).order_by(identity.desc()).limit(1))).first()
    return before or (await session.exec(query.where(identity > call.id).order_by(identity).limit(1))).first()


async def _find_pages(
    session: AsyncSession, actor: Actor, client: KnowledgeClient, code: str | None, words: str, limit: int
) -> tuple[Hit, ...]:
    """The page of the code first, from the database alone; then what the search finds among the errors by the words.

    Raises:
        SearchUnavailable: it is needed, since there is no page of the code.
    """
    if not words:
        return ()
    exact = await _find_code(session, actor, code) if code else []
    try:
        found = await search(session, actor, client, words, limit=limit, kinds=[DocumentKind.ERROR])
    except SearchUnavailable:
        if not exact:
            raise
        found = []
    known = {hit.document_id: hit for hit in found}
    first = [known.get(hit.document_id, hit) for hit in exact]
    held = {hit.document_id for hit in first}
    return tuple([*first, *(hit for hit in found if hit.document_id not in held)][:limit])


async def _weigh_message(actor: Actor, client: KnowledgeClient, message: str) -> tuple[float, float]:
    """By how much a message is nearer to pages of errors than to other subjects, and than to errors of others."""
    scope = SearchScope(actor.org_id, actor.group_id, actor.ancestor_ids)
    likeness = await client.weigh(SearchRequest(message, scope, (DocumentKind.ERROR,), 1))
    return measure_error(likeness)


async def _find_code(session: AsyncSession, actor: Actor, code: str) -> list[Hit]:
    """The errors of exactly this code, the platform's own first."""
    document = KnowledgeItem
    query = document.visible_to(actor).where(
        col(document.kind) == DocumentKind.ERROR,
        col(document.external_id) == code,
        col(document.knowledge_type) == "document",
        col(document.deleted_at).is_(None),
    )
    rows = (await session.exec(query.order_by(col(document.org_id) != PLATFORM_ORG_ID).limit(5))).all()
    passages = document.visible_to(actor).where(
        col(document.document_id).in_([row.id for row in rows]),
        col(document.knowledge_type) == "chunk",
        col(document.position) == 0,
    )
    first = {passage.document_id: passage for passage in (await session.exec(passages)).all()}
    return [describe_document(row, first.get(row.id)) for row in rows]


def _describe(symptom: Symptom, code: str | None) -> str:
    """The words to search by: the message, or what the problem says."""
    problem = symptom.problem or {}
    said = [_text(problem.get(name)) for name in ("title", "detail")] + [flaw.message for flaw in _read_flaws(problem)]
    return symptom.message or ". ".join(part for part in (code or "", *said) if part)


def _explain(code: str | None, flaws: Sequence[Flaw], hits: Sequence[Hit]) -> str | None:
    """In a sentence or two: what happened and what to do; from the class where the code is the platform's.

    Of a message that is like no error only the places can be told.
    """
    places = "; ".join(
        f"`{flaw.location}` {flaw.message}" + (f" ({flaw.fix})" if flaw.fix else "") for flaw in flaws[:3]
    )
    if code in _ERRORS:
        said = f"{_ERRORS[code].title}. {_ERRORS[code].advice}"
    elif code is not None and hits:
        said = hits[0].title
    else:
        return places or None
    return f"{said} {places}".strip()


def _find_problem(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text that says what a problem document says."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(20):
        if start < 0:
            return None
        try:
            found: object = decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and {"code", "type", "title"} & set(cast("dict[str, Any]", found)):
            return cast("dict[str, Any]", found)
        start = text.find("{", start + 1)
    return None


def _read_code(problem: Mapping[str, Any] | None) -> str | None:
    """The code, or the last step of the address of its page."""
    if problem is None:
        return None
    code = _text(problem.get("code")) or _text(problem.get("type")).rstrip("/").rpartition("/")[2]
    return code[:200] or None


def _read_flaws(problem: Mapping[str, Any] | None) -> tuple[Flaw, ...]:
    listed: object = (problem or {}).get("errors")
    entries = cast("list[object]", listed)[:FLAWS_MAX] if isinstance(listed, list) else []
    mappings = [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
    return tuple(
        Flaw(
            location=_text(entry.get("location")),
            message=_text(entry.get("message")),
            fix=_text(entry.get("fix")),
            did_you_mean=_read_names(entry),
        )
        for entry in mappings
    )


def _read_names(entry: Mapping[str, Any]) -> tuple[str, ...]:
    near: object = entry.get("did_you_mean")
    listed = cast("list[object]", near)[:NEAREST_MAX] if isinstance(near, list) else []
    return tuple(text for one in listed if (text := _text(one)))


def _text(value: object) -> str:
    return value[:TEXT_MAX] if isinstance(value, str) else ""
