"""Refusals: in the order of the contract, all of one shape, and the same for what must not be told apart."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from ontology.database import open_transaction, run_sql
from ontology.errors import list_error_classes
from ontology.ids import decode_id, encode_id, new_id
from ontology.key_secrets import make_secret
from ontology.scopes import Scope
from tests.parts import Parts
from tests.program import Caller, Program, running_program, without_request_id

PROBLEM = {"type", "title", "status", "detail", "code", "requestId", "errors", "troubleshoot"}
REQUEST_ID = re.compile(r"req_[0-9a-hjkmnp-tv-z]{24}")


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, every part of it as promised."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() - {"next"} == PROBLEM
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["type"].endswith(f"/docs/errors/{code}")
    assert code in problem["troubleshoot"]
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("retry-after" in answer.headers) or status not in (429, 503)
    for flaw in problem["errors"]:
        assert flaw.keys() - {"did_you_mean"} == {"location", "message", "fix"}
        assert re.match(r"(body|query|path|header)\b", flaw["location"])
    return problem


def like(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """An answer without what differs between any two."""
    return answer.status_code, without_request_id(answer)


async def send(api: Program, key: str, method: str = "GET", path: str = "/v1/whoami", **more: Any) -> httpx.Response:
    return await api.client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **more)


async def test_unknown_and_revoked_keys_cannot_be_told_apart(api: Program, owner: Caller) -> None:
    handle = (await owner.get("/v1/whoami")).json()["organisation"]["handle"]
    revoked = await api.issue(owner)
    assert (await owner.delete(f"/v1/api-keys/{revoked.key_id}")).status_code == 200
    answers = {
        "never issued": await send(api, make_secret(handle).text),
        "of no organisation": await send(api, make_secret("zzzzzzzzzz").text),
        "revoked": await send(api, revoked.key),
        "mistyped": await send(api, owner.key[:-1] + ("a" if owner.key[-1] != "a" else "b")),
        "no key at all": await send(api, "hello"),
    }
    for answer in answers.values():
        problem_of(answer, 401, "invalid_api_key")
    assert len({str(like(answer)) for answer in answers.values()}) == 1
    assert {frozenset(answer.headers) for answer in answers.values()} == {frozenset(answers["revoked"].headers)}


async def test_no_key_is_told_how_to_send_one(api: Program) -> None:
    problem = problem_of(await api.client.get("/v1/whoami"), 401, "missing_api_key")
    assert [flaw["location"] for flaw in problem["errors"]] == ["header.Authorization"]


@pytest.mark.parametrize("path", ["/v1/entities/{}", "/v1/entities/{}/restore", "/v1/api-keys/{}"])
async def test_what_is_out_of_reach_looks_like_what_never_existed(api: Program, owner: Caller, path: str) -> None:
    stranger = await api.register()
    foreign = stranger.key_id if "api-keys" in path else (await stranger.make_thing())["_id"]
    method = "POST" if path.endswith("restore") else "DELETE"
    answers = [
        await owner.call(method, path.format(name)) for name in (foreign, encode_id("thing", new_id()), stranger.key_id)
    ]
    for answer in answers:
        problem_of(answer, 404, "not_found")
    assert len({str(like(answer)) for answer in answers}) == 1


async def test_checks_come_in_the_order_of_the_contract(api: Program, owner: Caller) -> None:
    """Each request has every later fault too, and is told of the first only; mending it brings the next."""
    group = await owner.make("/v1/groups", name="North")
    narrow = await api.issue(owner, Scope.EVENTS_READ, group_id=group["_id"], per_minute=2)
    wide = await api.issue(owner, group_id=group["_id"])
    bad: dict[str, Any] = {"method": "POST", "path": "/v1/entities?surprise=1", "content": b"{", "json": None}
    bad.pop("json")
    kind = {"Content-Type": "application/json"}

    async def ask(key: str, **more: Any) -> httpx.Response:
        fault = bad | more
        headers = {"Authorization": f"Bearer {key}"} | kind if key else kind
        return await api.client.request(fault["method"], fault["path"], content=fault["content"], headers=headers)

    problem_of(await ask(""), 401, "missing_api_key")
    problem_of(await ask(make_secret("abcd").text), 401, "invalid_api_key")
    await archive(api, owner, group["_id"], "archived")
    problem_of(await ask(narrow.key), 403, "group_archived")
    await archive(api, owner, group["_id"], "active")
    for _ in range(2):
        problem_of(await ask(narrow.key), 403, "insufficient_scope")
    problem_of(await ask(narrow.key), 429, "rate_limit_exceeded")
    problem = problem_of(await ask(wide.key), 400, "invalid_request")
    assert [flaw["location"] for flaw in problem["errors"]] == ["query.surprise"]
    problem_of(await ask(wide.key, path="/v1/entities"), 400, "invalid_json")
    foreign = f'{{"type": "course", "name": "x", "groupId": "{encode_id("group", new_id())}"}}'.encode()
    problem_of(await ask(wide.key, path="/v1/entities", content=foreign), 404, "not_found")


async def archive(api: Program, owner: Caller, group_id: str, status: str) -> None:
    statement = text("UPDATE groups SET status = :status WHERE id = :id")
    async with open_transaction(api.engine, owner.owner) as session:
        await run_sql(session, statement, {"status": status, "id": decode_id(group_id)[1]})
    await api.raise_epoch(owner)


async def test_scope_is_refused_before_anything_is_said_of_a_row(api: Program, owner: Caller) -> None:
    thing = await owner.make_thing()
    reader = await api.issue(owner, Scope.ENTITIES_READ)
    answers = [
        await reader.call("DELETE", f"/v1/entities/{name}") for name in (thing["_id"], "thing_x", owner.group_id)
    ]
    assert len({str(like(answer)) for answer in answers}) == 1
    problem = problem_of(answers[0], 403, "insufficient_scope")
    assert "`entities:delete`" in problem["detail"]
    assert [flaw["location"] for flaw in problem["errors"]] == ["header.Authorization"]
    assert (await owner.get(f"/v1/entities/{thing['_id']}")).json()["deletedAt"] is None


async def test_every_flaw_of_a_body_is_named_at_once(owner: Caller) -> None:
    body = {"type": 7, "name": " ", "status": "gone", "groupId": "thing_x", "surprise": 1}
    problem = problem_of(await owner.post("/v1/entities", body), 400, "invalid_request")
    assert {flaw["location"] for flaw in problem["errors"]} == {f"body.{name}" for name in body}
    assert all(flaw["message"] and flaw["fix"] for flaw in problem["errors"])


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/entities?limit=0", "query.limit"),
        ("/v1/entities?limit=1001", "query.limit"),
        ("/v1/entities?limit=1&limit=2", "query.limit"),
        ("/v1/entities?includeDeleted=yes", "query.includeDeleted"),
        ("/v1/entities?groupId=thing_01jd8kq3v5e9ra7t2m4xw6yz0c", "query.groupId"),
        ("/v1/entities?q=%FF", "query"),
        ("/v1/entities/group_01jd8kq3v5e9ra7t2m4xw6yz0c", "path.entityId"),
        ("/v1/events?since=yesterday", "query.since"),
    ],
)
async def test_a_flaw_of_an_address_is_named_with_its_place(owner: Caller, path: str, place: str) -> None:
    answer = await owner.get(path)
    problem = problem_of(answer, 400, answer.json()["code"])
    assert [flaw["location"] for flaw in problem["errors"]] == [place]


async def test_every_answer_has_a_request_id_of_its_own_whatever_the_caller_sends(owner: Caller) -> None:
    paths = ("/v1/whoami", "/v1/nothing", "/v1/entities/x", "/health/live")
    sent = {"X-Request-Id": "req_000000000000000000000000"}
    found = [(await owner.get(path, headers=sent)).headers["x-request-id"] for path in (*paths, *paths)]
    assert len(set(found)) == len(found)
    assert all(REQUEST_ID.fullmatch(one) for one in found)
    assert sent["X-Request-Id"] not in found


async def test_a_request_id_leads_to_what_the_request_did(owner: Caller) -> None:
    answer = await owner.post("/v1/entities", {"type": "course", "name": "Botany"})
    events = await owner.all_rows("/v1/events", requestId=answer.headers["x-request-id"], type="thing_created")
    assert [event["targetId"] for event in events] == [answer.json()["_id"]]


@pytest.fixture(scope="module")
async def severed(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Program, Caller]]:
    """A program whose database is dropped under it, and an organisation it knew."""
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path_factory.mktemp("severed"))) as program:
            caller = await program.register()
            assert (await caller.get("/v1/whoami")).status_code == 200
            await program.engine.dispose()
            with parts.closed_database(database):
                yield program, caller


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/quota"), ("GET", "/v1/entities"), ("POST", "/v1/entities"), ("DELETE", "/v1/api-keys/{key}")],
)
async def test_without_the_database_a_request_is_asked_to_come_back(
    severed: tuple[Program, Caller], method: str, path: str
) -> None:
    _, caller = severed
    answer = await caller.call(method, path.format(key=caller.key_id), json={"type": "course", "name": "Botany"})
    problem = problem_of(answer, 503, "service_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    for inner in ("psycopg", "postgres", "sqlalchemy", "Traceback", "database"):
        assert inner not in str(problem).lower()


async def test_without_the_database_a_known_key_is_still_told_whose_it_is(severed: tuple[Program, Caller]) -> None:
    """Redis vouches for what the process knows of it, so nothing has to be read."""
    _, caller = severed
    answer = await caller.get("/v1/whoami")
    assert (answer.status_code, answer.json()["key"]["_id"]) == (200, caller.key_id)


async def test_without_the_database_an_unknown_key_is_no_401(severed: tuple[Program, Caller]) -> None:
    """It could not be looked up, so nothing is said of it; one that is none by its form is refused as ever."""
    program, _ = severed
    unknown = await send(program, make_secret("abcd").text)
    problem_of(unknown, 503, "service_unavailable")
    assert int(unknown.headers["retry-after"]) >= 1
    problem_of(await send(program, "hello"), 401, "invalid_api_key")


@pytest.mark.parametrize(
    ("broken", "path", "kind"),
    [
        ("ontology.hot_things.read_thing", "/v1/entities/{}", "thing"),
        ("ontology.groups.get_group", "/v1/groups/{}", "group"),
        ("ontology.groups.list_groups", "/v1/groups/{}/children", "group"),
    ],
)
async def test_a_bug_is_a_500_that_tells_nothing_but_its_request_id(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, broken: str, path: str, kind: str
) -> None:
    secret = uuid4().hex

    async def break_down(*_: Any) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(broken, break_down)
    answer = await owner.get(path.format(encode_id(kind, new_id())))
    problem = problem_of(answer, 500, "internal_error")
    assert secret not in answer.text
    assert problem["errors"] == []


def test_statuses_of_refusals_are_those_of_the_contract() -> None:
    known = {400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 422, 428, 429, 500, 502, 503}
    assert {error.status for error in list_error_classes()} <= known


@pytest.mark.parametrize(
    ("path", "body", "location", "message", "fix"),
    [
        ("/v1/entities", [], "body", "must be an object", "send a JSON object, in braces"),
        (
            "/v1/entities",
            {"type": "course", "name": ""},
            "body.name",
            "must have at least 1 character",
            "send more text",
        ),
        ("/v1/entities", {"type": "course", "name": 7}, "body.name", "must be a string", "send text in quotes"),
        (
            "/v1/entities",
            {"type": "course", "name": "x", "status": "zzz"},
            "body.status",
            "must be `draft`, `active`, `inactive`, `published` or `archived`",
            "send one of these",
        ),
        (
            "/v1/connections/traverse",
            {"startId": "zzz", "depth": 99},
            "body.depth",
            "must be at most 5",
            "send 5 or less",
        ),
        (
            "/v1/groups",
            {"name": "x", "type": "zzz"},
            "body.type",
            "unknown type",
            "send one of `friend_circle`, `business`, `community`, `dao`, `government`, `organization`",
        ),
    ],
)
async def test_a_flaw_says_in_plain_words_what_is_wrong_and_what_to_send(
    owner: Caller, path: str, body: Any, location: str, message: str, fix: str
) -> None:
    problem = (await owner.post(path, body)).json()
    flaws = {flaw["location"]: (flaw["message"], flaw["fix"]) for flaw in problem["errors"]}
    assert flaws[location] == (message, fix)


async def test_what_no_operation_answers_is_told_apart_from_what_is_out_of_reach(owner: Caller) -> None:
    nowhere = problem_of(await owner.get("/v1/webhooks"), 404, "not_found")
    assert nowhere["detail"].startswith("No operation is at this address")
    hidden = problem_of(await owner.get(f"/v1/entities/{encode_id('thing', new_id())}"), 404, "not_found")
    assert hidden["detail"].startswith("There is no such resource")
    wrong = problem_of(await owner.call("DELETE", "/v1/entities"), 405, "method_not_allowed")
    assert wrong["detail"] == "Use one of GET, HEAD, OPTIONS, POST."


@pytest.mark.parametrize(
    ("method", "path", "near"),
    [
        ("GET", "/v1/entitys", ["GET /v1/entities"]),
        ("POST", "/v1/entity", ["POST /v1/entities"]),
        ("PATCH", f"/v1/entitys/{encode_id('thing', new_id())}", ["PATCH /v1/entities/{entityId}"]),
        ("GET", "/v1/knowledge/document", ["GET /v1/knowledge/documents"]),
        ("GET", "/v1/apikeys", ["GET /v1/api-keys"]),
        ("GET", "/v1/" + "x" * 5000, []),
        ("GET", "/v1/zzz", []),
    ],
)
async def test_an_address_without_an_operation_is_told_the_nearest(
    owner: Caller, method: str, path: str, near: list[str]
) -> None:
    problem = problem_of(await owner.call(method, path), 404, "not_found")
    found = [flaw["did_you_mean"] for flaw in problem["errors"]]
    assert found[0][:1] == near if near else found == []
    assert len(problem.get("next", [])) == (len(found[0]) if near else 0)


async def test_a_refusal_leads_to_the_operations_that_help_further(api: Program, owner: Caller) -> None:
    thing = await owner.make_thing()
    await owner.delete(f"/v1/entities/{thing['_id']}")
    reader = await api.issue(owner, Scope.KNOWLEDGE_READ)
    refused = {
        "restoreEntity": await owner.call("PATCH", f"/v1/entities/{thing['_id']}", json={"name": "x"}),
        "whoami createApiKey": await reader.post("/v1/entities", {"type": "note", "name": "x"}),
        "createInvitation": await owner.post("/v1/entities", {"type": "user", "name": "x"}),
        "listTypes": await owner.post("/v1/entities", {"type": "zzz", "name": "x"}),
        "listEntities createEntity": await owner.delete("/v1/entities"),
        "getOntology": await owner.delete("/v1/ontology"),
    }
    for names, answer in refused.items():
        leads = answer.json()["next"]
        assert sorted(lead["operationId"] for lead in leads) == sorted(names.split())
        assert [lead["reference"].rpartition("/")[2] for lead in leads] == [lead["operationId"] for lead in leads]


async def test_a_header_of_another_scheme_is_told_which_to_use(owner: Caller) -> None:
    answer = await owner.client.get("/v1/whoami", headers={"Authorization": "Basic eDp5"})
    (flaw,) = problem_of(answer, 401, "invalid_api_key")["errors"]
    assert flaw["fix"] == "send `Bearer <your key>`"


async def test_what_every_row_has_cannot_be_taken_away(owner: Caller) -> None:
    thing = await owner.make("/v1/entities", type="note", name="Ferns")
    group = await owner.make("/v1/groups", name="North")
    for path, names in (
        (f"/v1/entities/{thing['_id']}", ("name", "properties", "status")),
        (f"/v1/groups/{group['_id']}", ("name",)),
    ):
        refused = problem_of(await owner.call("PATCH", path, json=dict.fromkeys(names)), 400, "invalid_request")
        assert [flaw["location"] for flaw in refused["errors"]] == [f"body.{name}" for name in names]
