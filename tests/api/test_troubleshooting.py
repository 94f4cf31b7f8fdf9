"""Troubleshooting: what a call's id, a problem document and a request tell, within reach and no further."""

from typing import Any

import pytest

from knowledge.logged_repairs import mend_logged
from knowledge.request_repairs import SentRequest, mend_request, write_curl
from knowledge.troubleshooting import read_paste
from ontology.errors import Flaw
from ontology.records import utc_now
from ontology.scopes import Scope
from tests.contracts.isolation_requests import DOCUMENT
from tests.logged_calls import drain
from tests.program import Caller, Program

PATH = "/v1/knowledge/troubleshoot"


async def _troubleshoot(caller: Caller, **body: Any) -> dict[str, Any]:
    answer = await caller.post(PATH, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def owner(api: Program, owner: Caller) -> Caller:
    """With a page of its own on one of the codes, since this program has no search: codes are found without it."""
    made = {"title": "Our notes", "text": "Ask Ada.", "kind": "error", "externalId": "unknown_type"}
    await owner.make("/v1/knowledge/documents", **made)
    return owner


async def test_the_id_of_a_request_tells_its_error_and_the_nearest_call_that_succeeded(
    api: Program, owner: Caller
) -> None:
    other = await api.issue(owner)
    good = await other.post("/v1/entities", {"type": "course", "name": "Botany"})
    bad = await owner.post("/v1/entities", {"type": "corse", "name": "Botany"})
    await drain(api)
    request = {"method": "POST", "path": "/v1/entities", "body": {"type": "corse", "name": "Botany"}}
    found = await _troubleshoot(owner, requestId=bad.headers["x-request-id"], request=request)
    assert (found["code"], found["operationId"]) == ("unknown_type", "createEntity")
    assert found["call"]["errorPlaces"] == ["body.type"] and found["call"]["status"] == 422
    assert found["nearestSuccess"]["requestId"] == good.headers["x-request-id"]
    assert {"field": "key", "failed": owner.key_id, "succeeded": other.key_id} in found["differences"]
    assert found["patch"] == [{"op": "replace", "path": "/body/type", "value": "course"}]
    assert found["request"]["body"] == {"type": "course", "name": "Botany"}
    assert found["data"][0]["title"] == "Our notes"
    # What stood there is nobody's business later: neither name nor value is in the log.
    event = (await owner.get("/v1/events", params={"requestId": bad.headers["x-request-id"]})).json()["data"][0]
    assert "corse" not in str(event) and event["metadata"]["errorCode"] == "unknown_type"


async def test_a_call_of_another_organisation_looks_like_none(api: Program, owner: Caller) -> None:
    stranger = await api.register()
    call = await owner.get("/v1/entities")
    await drain(api)
    unknown = {"requestId": "req_0c3e5g7j9m2p4r6t8v1x3z5b"}
    foreign = await stranger.post(PATH, {"requestId": call.headers["x-request-id"]})
    nobody = await stranger.post(PATH, unknown)
    assert foreign.status_code == nobody.status_code == 404
    assert foreign.json()["detail"] == nobody.json()["detail"]
    problem = {"code": "unknown_type", "requestId": call.headers["x-request-id"]}
    await stranger.make("/v1/knowledge/documents", title="x", text="x", kind="error", externalId="unknown_type")
    assert (await _troubleshoot(stranger, problem=problem))["call"] is None
    assert (await _troubleshoot(owner, problem=problem))["call"]["path"] == "/v1/entities"


async def test_calls_of_other_keys_are_told_with_the_scope_to_read_events(api: Program, owner: Caller) -> None:
    """Without it a key is told of its own calls, and compares them with its own."""
    reader = await api.issue(owner, Scope.KNOWLEDGE_READ)
    own = await reader.post("/v1/entities", {"type": "course", "name": "x"})
    others = await owner.post("/v1/entities", {"type": "corse", "name": "x"})
    await owner.make_thing()
    await drain(api)
    id = others.headers["x-request-id"]
    hidden, unknown = [await _troubleshoot(reader, requestId=asked) for asked in (id, "req_0c3e5g7j9m2p4r6t8v1x3z5b")]
    assert hidden == unknown
    assert "`events:read`" in hidden["note"] and (hidden["call"], hidden["code"]) == (None, None)
    found = await _troubleshoot(reader, problem=others.json())
    assert (found["code"], found["call"], found["note"]) == ("unknown_type", None, hidden["note"])
    assert found["data"][0]["title"] == "Our notes"
    problem = {"code": "unknown_type", "requestId": own.headers["x-request-id"]}
    found = await _troubleshoot(reader, problem=problem)
    assert (found["call"]["keyId"], found["nearestSuccess"], found["note"]) == (reader.key_id, None, None)
    found = await _troubleshoot(owner, requestId=id)
    assert found["call"]["keyId"] == owner.key_id and found["nearestSuccess"] is not None


async def test_a_symptom_is_needed(owner: Caller) -> None:
    assert (await owner.post(PATH, {})).status_code == 400
    answer = await owner.post(PATH, {"message": "something nobody has a page on"})
    assert answer.json()["code"] == "search_unavailable"


async def test_every_problem_links_to_its_own_explanation(api: Program, owner: Caller) -> None:
    problem = (await owner.post("/v1/entities", {"type": "corse", "name": "x"})).json()
    base, _, query = problem["troubleshoot"].partition("?")
    assert base.endswith("/troubleshoot")
    assert query == f"code=unknown_type&requestId={problem['requestId']}"
    page = await api.client.get(f"/troubleshoot?{query}")
    assert page.status_code in (200, 503)


def test_a_paste_is_read_for_what_it_is() -> None:
    assert read_paste(" req_0c3e5g7j9m2p4r6t8v1x3z5b\n").request_id == "req_0c3e5g7j9m2p4r6t8v1x3z5b"
    trace = 'Traceback:\n  raise Refused\nRefused: 422 {"code": "unknown_type", "errors": [{"location": 5}]}'
    assert (read_paste(trace).problem or {})["code"] == "unknown_type"
    assert read_paste(trace).message == trace
    assert read_paste("KeyError: {'a': 1}").problem is None
    assert read_paste("{" * 100_000).problem is None


@pytest.mark.parametrize(
    ("sent", "patch"),
    [
        (
            SentRequest("POST", "/v1/entities", {}, {"type": "course", "nmae": "Botany"}),
            [{"op": "move", "from": "/body/nmae", "path": "/body/name"}],
        ),
        (
            SentRequest("POST", "/v1/entities", {}, {"type": "course", "name": "x", "colour": "red"}),
            [{"op": "remove", "path": "/body/colour"}],
        ),
        (
            SentRequest("GET", "/v1/entities", {"limit": "5000", "sorte": "name"}),
            [
                {"op": "move", "from": "/query/sorte", "path": "/query/sort"},
                {"op": "replace", "path": "/query/limit", "value": "1000"},
            ],
        ),
        (SentRequest("GET", "/v1/entitys"), [{"op": "replace", "path": "/path", "value": "/v1/entities"}]),
        (SentRequest("DELETE", "/v1/whoami"), [{"op": "replace", "path": "/method", "value": "GET"}]),
        (SentRequest("GET", "/somewhere/else/altogether/at/all"), []),
        (SentRequest("POST", "/v1/entities", {}, {"type": "course", "name": "Botany"}), []),
    ],
    ids=["misspelt", "unknown", "query", "path", "method", "elsewhere", "right"],
)
def test_a_request_is_mended_by_the_smallest_steps(sent: SentRequest, patch: list[dict[str, Any]]) -> None:
    assert list(mend_request(DOCUMENT, sent).patch) == patch


def test_what_a_refusal_offers_is_taken_where_the_document_does_not_know_better() -> None:
    """The types of a filter are no closed list there; a name is moved only to where nothing stands."""
    flaws = [Flaw("query.type", "unknown type", "look them up", ("course",))]
    found = mend_request(DOCUMENT, SentRequest("GET", "/v1/entities", {"type": "corse"}), flaws)
    assert list(found.patch) == [{"op": "replace", "path": "/query/type", "value": "course"}]
    flaws = [Flaw("body.properties.colr", "is not known here", "", ("color", "colour"))]
    body = {"type": "course", "name": "x", "properties": {"colr": "red", "color": "blue"}}
    found = mend_request(DOCUMENT, SentRequest("POST", "/v1/entities", {}, body), flaws)
    assert found.request.body["properties"] == {"color": "blue", "colour": "red"}


def test_hostile_requests_are_mended_in_bounded_time() -> None:
    deep: Any = "x"
    for _ in range(30):
        deep = {"properties": deep, "list": [deep]}
    for body in (deep, {"items": [{"a": 1}] * 50_000}, [[]] * 10_000, {f"f{n}": n for n in range(20_000)}):
        began = utc_now()
        for path in ("/v1/entities", "/v1/entities/batch", "/v1/events"):
            mend_request(DOCUMENT, SentRequest("POST", path, {}, body))
        assert (utc_now() - began).total_seconds() < 20


def test_curl_is_quoted_and_has_no_key() -> None:
    line = write_curl(SentRequest("POST", "/v1/entities/a b", {"q": "it's"}, {"name": "it's $HOME `x`"}))
    assert '\'{"name": "it\'"\'"\'s $HOME `x`"}\'' in line
    assert '"Authorization: Bearer $ONE_API_KEY"' in line


@pytest.mark.parametrize(
    ("method", "path", "places", "patch"),
    [
        (
            "POST",
            "/v1/entities",
            ["body.name", "body.nmae"],
            [{"op": "move", "from": "/body/nmae", "path": "/body/name"}],
        ),
        ("POST", "/v1/entities", ["body.type"], [{"op": "add", "path": "/body/type", "value": "course"}]),
        ("POST", "/v1/entities", ["body.properties.x"], []),
        ("POST", "/v1/entities", ["body.colour"], [{"op": "remove", "path": "/body/colour"}]),
        ("GET", "/v1/entities", ["query.limit"], [{"op": "add", "path": "/query/limit", "value": "50"}]),
        ("GET", "/v1/entities", ["query.sorte"], [{"op": "move", "from": "/query/sorte", "path": "/query/sort"}]),
        ("GET", "/v1/entitys", [], [{"op": "replace", "path": "/path", "value": "/v1/entities"}]),
        ("GET", "/v1/whoami", ["query.colour"], [{"op": "remove", "path": "/query/colour"}]),
        (
            "GET",
            "/v1/entities/THING_01JD8KQ3V5E9RA7T2M4XW6YZ0C",
            ["path.entityId"],
            [{"op": "replace", "path": "/path", "value": "/v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c"}],
        ),
        ("GET", "/v1/whoami", ["header.Host"], []),
    ],
    ids=["misspelt", "value", "open", "unknown", "query", "query name", "path", "no query", "capitals", "elsewhere"],
)
def test_the_places_that_the_log_has_are_mended_in_the_request_one_still_has(
    method: str, path: str, places: list[str], patch: list[dict[str, Any]]
) -> None:
    repair, flaws = mend_logged(DOCUMENT, method, path, places)
    assert repair is not None and list(repair.patch) == patch
    assert [flaw.location for flaw in flaws] == places
    assert not mend_request(DOCUMENT, repair.request).patch
