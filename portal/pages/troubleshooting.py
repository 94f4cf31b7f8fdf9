"""`/troubleshoot`: paste what went wrong; where the `troubleshoot` link of every problem document leads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from litestar import Request, Response, get, post

from api.strict_json import parse_json
from knowledge.openapi_parts import METHODS
from knowledge.request_repairs import SentRequest, write_address, write_curl
from knowledge.troubleshooting import Diagnosis, Symptom, describe_call, read_paste, troubleshoot
from ontology.actors import anonymous_actor
from ontology.database import open_transaction
from ontology.errors import Flaw, InvalidJson, NotFound, SearchUnavailable
from ontology.key_secrets import redact_keys
from ontology.scopes import Scope
from portal.pages.search import ResultHit, view_hit
from portal.rendering import render
from portal.search_limits import TOO_MANY, Asking, ask_to_wait, may_ask
from portal.sessions import Visitor, read_form, read_visitor

TEXT_LENGTH_MAX, PATH_LENGTH_MAX, BODY_LENGTH_MAX = 20_000, 2_000, 100_000
NO_SUCH_CALL = (
    "No call of your organisation has this id. A call is in the log about a second after its answer, "
    "for as long as your plan keeps it."
)
NOT_FOR_ROLE = (
    "Your role does not read the calls of your organisation. Paste the problem document or its message instead."
)


@dataclass(frozen=True, slots=True)
class DiagnosisView:
    code: str | None
    cause: str | None
    flaws: tuple[Flaw, ...]
    call: Mapping[str, Any] | None
    nearest: Mapping[str, Any] | None
    differences: tuple[Mapping[str, Any], ...]
    operation_id: str | None
    from_example: bool
    patch: str | None
    curl: str | None
    replay: "Replay | None"
    hits: tuple[ResultHit, ...]
    note: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The request that fits, for the page's script to send: as JSON, and what is shown of it."""

    method: str
    path: str
    request: str

    @property
    def asks_first(self) -> bool:
        """Reading changes nothing; everything else may."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class TroubleshootPage:
    values: dict[str, str]
    found: DiagnosisView | None = None
    available: bool = True
    problems: dict[str, str] = field(default_factory=dict[str, str])
    methods: tuple[str, ...] = tuple(method.upper() for method in METHODS)


@get("/troubleshoot", opt={"public": True})
async def troubleshoot_page(request: Request[Any, Any, Any]) -> Response[str]:
    """Filled in by the address: `code` and `requestId` of a problem document, or `q`, a message."""
    visitor = await read_visitor(request)
    given = {name: _clean(request.query_params.get(name, ""), 500) for name in ("code", "requestId", "q")}
    text = given["q"] or given["requestId"] or given["code"]
    values = {"text": text, "method": "POST", "path": "", "body": ""}
    if not text:
        return render("troubleshoot.html", visitor.site, TroubleshootPage(values), cookies=visitor.cookies)
    symptom = read_paste(text)
    if given["code"]:
        problem: dict[str, Any] = {"code": given["code"], "requestId": given["requestId"]}
        symptom = Symptom(problem=problem)
    return await _show(request, visitor, values, symptom)


@post("/troubleshoot", opt={"public": True})
async def ask(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    form = await read_form(request, visitor)
    values = {
        "text": _clean((form.get("text") or [""])[0], TEXT_LENGTH_MAX),
        "method": (form.get("method") or ["POST"])[0].upper()[:10],
        "path": _clean((form.get("path") or [""])[0], PATH_LENGTH_MAX),
        "body": _clean((form.get("body") or [""])[0], BODY_LENGTH_MAX),
    }
    if not values["text"]:
        problems = {"text": "Paste a message, a problem document, a stack trace or the id of a request."}
        return render("troubleshoot.html", visitor.site, TroubleshootPage(values, problems=problems), status=422)
    symptom = read_paste(values["text"])
    try:
        sent = _read_request(values)
    except InvalidJson:
        problems = {"body": "This is not JSON."}
        return render("troubleshoot.html", visitor.site, TroubleshootPage(values, problems=problems), status=422)
    return await _show(request, visitor, values, replace(symptom, request=sent))


async def _show(
    request: Request[Any, Any, Any], visitor: Visitor, values: dict[str, str], symptom: Symptom
) -> Response[str]:
    if not await may_ask(request, visitor, Asking.SEARCH):
        page = TroubleshootPage(values, problems={"text": TOO_MANY})
        return ask_to_wait(render("troubleshoot.html", visitor.site, page, cookies=visitor.cookies))
    member = visitor.find_member_who_may(Scope.KNOWLEDGE_READ, Scope.EVENTS_READ)
    actor = member.actor if member else anonymous_actor()
    services = visitor.services
    try:
        if symptom.request_id and member is None:
            raise NotFound
        async with open_transaction(services.engine, actor) as session:
            found = await troubleshoot(session, actor, services.knowledge, services.openapi(), symptom)
    except NotFound:
        told = NOT_FOR_ROLE if visitor.signed_in and not member else NO_SUCH_CALL
        page = TroubleshootPage(values, problems={"text": told})
        return render("troubleshoot.html", visitor.site, page, status=404, cookies=visitor.cookies)
    except SearchUnavailable:
        page = TroubleshootPage(values, available=False)
        return render("troubleshoot.html", visitor.site, page, status=503, cookies=visitor.cookies)
    page = TroubleshootPage(values, _view(found, values["text"], is_signed_in=visitor.signed_in is not None))
    return render("troubleshoot.html", visitor.site, page, cookies=visitor.cookies)


def _view(found: Diagnosis, text: str, *, is_signed_in: bool) -> DiagnosisView:
    repair = found.repair
    return DiagnosisView(
        code=found.code,
        cause=found.cause,
        flaws=found.flaws,
        call=describe_call(found.call) if found.call else None,
        nearest=describe_call(found.nearest) if found.nearest else None,
        differences=tuple(found.differences),
        operation_id=repair.operation_id if repair else None,
        from_example=found.basis == "example",
        patch=json.dumps(list(repair.patch), indent=2, ensure_ascii=False) if repair and repair.patch else None,
        curl=write_curl(repair.request) if repair and repair.operation_id else None,
        replay=_offer_replay(repair.request) if repair and repair.operation_id else None,
        hits=tuple(view_hit(hit, text) for hit in found.hits),
        note=found.note if is_signed_in else None,
    )


def _offer_replay(sent: SentRequest) -> Replay:
    address = write_address(sent)
    return Replay(sent.method, address, json.dumps({"method": sent.method, "path": address, "body": sent.body}))


def _read_request(values: Mapping[str, str]) -> SentRequest | None:
    """Raises: InvalidJson when the body is none."""
    if not values["path"]:
        return None
    body = parse_json(values["body"].encode()) if values["body"] else None
    path = values["path"] if values["path"].startswith("/") else f"/{values['path']}"
    method = values["method"] if values["method"].lower() in METHODS else "POST"
    return SentRequest(method, path, {}, body)


def _clean(text: str, length_max: int) -> str:
    """A key that was pasted along is shown to nobody, the search included."""
    return redact_keys(text.replace("\x00", "").strip()[:length_max])


handlers = [troubleshoot_page, ask]
