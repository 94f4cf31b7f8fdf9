"""ETag, If-Match and If-None-Match: nobody overwrites what they have not seen, nobody fetches what they have."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.program import Caller, Program

Make = Callable[[Caller], Awaitable[str]]


async def _entity(owner: Caller) -> str:
    return f"/v1/entities/{(await owner.make_thing())['_id']}"


async def _connection(owner: Caller) -> str:
    ends = {"fromId": (await owner.make_thing())["_id"], "toId": (await owner.make_thing())["_id"]}
    return f"/v1/connections/{(await owner.make('/v1/connections', relationshipType='part_of', **ends))['_id']}"


async def _document(owner: Caller) -> str:
    made = await owner.make("/v1/knowledge/documents", title="Ferns", text="Ferns like shade.")
    return f"/v1/knowledge/documents/{made['_id']}"


async def _key(owner: Caller) -> str:
    return f"/v1/api-keys/{(await owner.make('/v1/api-keys', name='Other', preset='read-only'))['_id']}"


RESOURCES = pytest.mark.parametrize("make", [_entity, _connection, _document, _key])


async def _tag(owner: Caller, path: str) -> str:
    return (await owner.get(path)).headers["etag"]


@RESOURCES
async def test_an_unchanged_resource_is_not_sent_twice(owner: Caller, make: Make) -> None:
    path = await make(owner)
    tag = await _tag(owner, path)
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await owner.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), known
    fresh = await owner.get(path, headers={"If-None-Match": '"other"'})
    assert fresh.status_code == 200
    assert fresh.json()["_id"] in path


@RESOURCES
async def test_a_write_on_another_state_is_refused_and_changes_nothing(owner: Caller, make: Make) -> None:
    path = await make(owner)
    before = await owner.get(path)
    for headers in ({"If-Match": '"other"'}, {"If-Match": f"W/{before.headers['etag']}"}, {"If-None-Match": "*"}):
        refused = await owner.call("DELETE", path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert refused.json()["errors"][0]["location"] == f"header.{next(iter(headers))}"
    assert (await owner.get(path)).json() == before.json()
    for known in ("*", '"other"'):
        read = await owner.get(path, headers={"If-Match": known})
        assert read.status_code == (200 if known == "*" else 412)


@RESOURCES
async def test_a_write_on_the_state_it_names_succeeds_once(owner: Caller, make: Make) -> None:
    path = await make(owner)
    tag = await _tag(owner, path)
    assert (await owner.call("DELETE", path, headers={"If-Match": f'"other", {tag}'})).status_code == 200
    assert (await owner.call("DELETE", path, headers={"If-Match": tag})).status_code in (404, 412)


async def test_every_change_gives_a_new_tag_which_the_answer_names(owner: Caller) -> None:
    path = await _entity(owner)
    tags = [await _tag(owner, path)]
    for call in (
        owner.call("PATCH", path, json={"name": "Ferns"}),
        owner.call("PATCH", path, json={"name": "Ferns"}),
        owner.call("DELETE", path),
        owner.post(f"{path}/restore", None),
    ):
        tags.append((await call).headers["etag"])
        assert await _tag(owner, path) == tags[-1]
    assert len(set(tags)) == len(tags)


async def test_moving_and_restoring_are_writes_too(owner: Caller) -> None:
    group = f"/v1/groups/{(await owner.make('/v1/groups', name='North'))['_id']}"
    other = {"parentGroupId": (await owner.make("/v1/groups", name="South"))["_id"]}
    tag = await _tag(owner, group)
    moved = [await owner.call("PUT", f"{group}/parent", json=other, headers={"If-Match": one}) for one in ('"x"', tag)]
    assert [answer.status_code for answer in moved] == [412, 200]
    for path in (await _entity(owner), group):
        tag = (await owner.delete(path)).headers["etag"]
        calls = [await owner.post(f"{path}/restore", None, headers={"If-Match": one}) for one in ('"x"', tag)]
        assert [answer.status_code for answer in calls] == [412, 200], path


async def test_of_parallel_writers_with_one_tag_exactly_one_succeeds(owner: Caller) -> None:
    path = await _entity(owner)
    tag = await _tag(owner, path)
    calls = [
        owner.call("PATCH", path, json={"properties": {"writer": number}}, headers={"If-Match": tag})
        for number in range(20)
    ]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await owner.get(path)).json() == winner


async def test_what_is_out_of_reach_is_not_found_whatever_the_condition(api: Program, owner: Caller) -> None:
    path = await _entity(owner)
    stranger = await api.register()
    for headers in ({"If-Match": await _tag(owner, path)}, {"If-Match": '"other"'}, {"If-None-Match": "*"}):
        for method, body in (("GET", None), ("PATCH", {"name": "Mine"}), ("DELETE", None)):
            options: dict[str, Any] = {"json": body} if body else {}
            assert (await stranger.call(method, path, headers=headers, **options)).status_code == 404


@pytest.mark.parametrize("value", ["", "x", '"a', 'a"', '"a" "b"', "*, *", '"a",', "W/x", '"ä"', f'"{"a" * 1000}"'])
async def test_a_header_that_is_not_a_list_of_tags_is_told(owner: Caller, value: str) -> None:
    path = await _entity(owner)
    for name in ("If-Match", "If-None-Match"):
        answer = await owner.get(path, headers={name: value.encode("latin-1")})
        assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, f"header.{name}")


async def test_a_replayed_answer_keeps_its_tag(owner: Caller) -> None:
    body = {"type": "course", "name": "Botany"}
    first, second = [await owner.post("/v1/entities", body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["etag"] == first.headers["etag"]


async def test_a_documents_indexing_changes_its_tag_but_refuses_no_writer(api: Program, owner: Caller) -> None:
    """What the worker does meanwhile is shown, and is not a change anybody could overwrite."""
    path = await _document(owner)
    tag = await _tag(owner, path)
    assert "." in tag
    other = tag.partition(".")[0] + '.0123456789abcdef"'
    assert (await owner.get(path, headers={"If-None-Match": other})).status_code == 200
    assert (await owner.call("DELETE", path, headers={"If-Match": other})).status_code == 200


async def test_a_list_has_no_tag_and_ignores_the_headers(owner: Caller) -> None:
    listed = await owner.get("/v1/entities", headers={"If-None-Match": "*"})
    assert (listed.status_code, "etag" in listed.headers) == (200, False)


async def test_the_vocabulary_has_a_tag(owner: Caller) -> None:
    tag = await _tag(owner, "/v1/ontology")
    assert (await owner.get("/v1/ontology", headers={"If-None-Match": tag})).status_code == 304
