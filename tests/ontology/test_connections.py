"""Connections: directed, typed, once between two ends unless the type is repeatable, and never to what is gone."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from ontology.connection_rows import Connection
from ontology.connections import ConnectionCreate, create_connection
from ontology.database import open_transaction
from ontology.errors import DuplicateConnection, NotFound
from ontology.ids import decode_id, encode_id, new_id
from ontology.things import delete_thing
from tests.program import Caller, Program, eventually, until_decided, without_request_id

UNKNOWN = "thing_01jd8kq3v5e9ra7t2m4xw6yz0c"


def join(from_id: str, to_id: str, type: str = "part_of", **more: Any) -> dict[str, Any]:
    return {"relationshipType": type, "fromId": from_id, "toId": to_id} | more


async def make_ends(owner: Caller, *types: str) -> list[str]:
    return [(await owner.make_thing(f"A {type}", type=type))["_id"] for type in types or ("lesson", "course")]


async def connect(program: Program, owner: Caller, body: dict[str, Any]) -> Connection:
    async with open_transaction(program.engine, owner.owner) as session:
        return await create_connection(session, owner.owner, ConnectionCreate.model_validate(body))


async def test_a_connection_keeps_what_it_was_given_and_logs_both_ends(owner: Caller) -> None:
    lesson, course = await make_ends(owner)
    body = join(lesson, course, metadata={"order": 1}, strength=0.5, validFrom=1_700_000_000_000, validTo=None)
    made = await owner.make("/v1/connections", **body)
    assert made | {name: value for name, value in body.items() if value is not None} == made
    assert made["validTo"] is None
    assert made["groupId"] == owner.group_id
    assert (await owner.get(f"/v1/connections/{made['_id']}")).json() == made
    events = (await owner.get("/v1/events", params={"targetId": made["_id"]})).json()["data"]
    assert [event["type"] for event in events] == ["thing_created"]
    expected = {"thingType": "connection", "relationshipType": "part_of", "fromId": lesson, "toId": course}
    assert events[0]["metadata"] == expected


async def test_a_pair_is_connected_once_each_way_while_the_connection_lives(owner: Caller) -> None:
    lesson, course = await make_ends(owner)
    made = await owner.make("/v1/connections", **join(lesson, course))
    answer = await owner.post("/v1/connections", join(lesson, course, strength=1))
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_connection")
    assert made["_id"] in answer.json()["errors"][0]["fix"]
    await owner.make("/v1/connections", **join(course, lesson))
    await owner.make("/v1/connections", **join(lesson, course, "references"))
    gone = await owner.delete(f"/v1/connections/{made['_id']}")
    assert gone.json()["deletedAt"] is not None
    assert (await owner.delete(f"/v1/connections/{made['_id']}")).json() == gone.json()
    again = await owner.make("/v1/connections", **join(lesson, course))
    live = {row["_id"] for row in await owner.all_rows("/v1/connections", fromId=lesson, relationshipType="part_of")}
    assert live == {again["_id"]}
    every = await owner.all_rows("/v1/connections", fromId=lesson, relationshipType="part_of", includeDeleted="true")
    assert {row["_id"] for row in every} == {made["_id"], again["_id"]}
    events = await owner.all_rows("/v1/events", type="thing_deleted")
    assert [event["targetId"] for event in events] == [made["_id"]]


async def test_of_many_twins_at_once_one_connection_comes_to_be(program: Program, owner: Caller) -> None:
    lesson, course = await make_ends(owner)
    attempts = [until_decided(lambda: connect(program, owner, join(lesson, course))) for _ in range(12)]
    found = await asyncio.gather(*attempts)
    assert Counter(type(one) for one in found) == {Connection: 1, DuplicateConnection: 11}


async def test_a_repeatable_type_may_join_a_pair_again(owner: Caller) -> None:
    first, second = await make_ends(owner)
    made = [await owner.make("/v1/connections", **join(first, second, "transacted")) for _ in range(2)]
    assert len({one["_id"] for one in made}) == 2


async def test_a_thing_deleted_meanwhile_gets_no_connection(program: Program, owner: Caller) -> None:
    """Whoever comes second sees what the first has done: no live connection is left at a deleted thing."""
    lesson, course = await make_ends(owner)
    _, course_id = decode_id(course)
    async with open_transaction(program.engine, owner.owner) as session:
        await delete_thing(session, owner.owner, course_id)
        connecting = asyncio.create_task(connect(program, owner, join(lesson, course)))
        await is_waiting(program)
    with pytest.raises(NotFound):
        await connecting
    assert await owner.all_rows("/v1/connections", toId=course) == []


async def test_a_connection_made_meanwhile_goes_with_the_thing_that_is_deleted(program: Program, owner: Caller) -> None:
    lesson, course = await make_ends(owner)
    async with open_transaction(program.engine, owner.owner) as session:
        body = ConnectionCreate.model_validate(join(lesson, course))
        made = await create_connection(session, owner.owner, body)
        deleting = asyncio.create_task(owner.delete(f"/v1/entities/{course}"))
        await is_waiting(program)
    assert (await deleting).status_code == 200
    shown = (await owner.get(f"/v1/connections/{encode_id('connection', made.id)}")).json()
    assert shown["deletedAt"] is not None


async def is_waiting(program: Program) -> None:
    """Until some transaction on this database waits for a lock."""

    async def somebody_waits() -> bool:
        async with program.engine.connect() as connection:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return (await connection.exec_driver_sql(statement)).scalar_one() > 0

    await eventually(somebody_waits)


async def test_both_ends_lie_within_reach_and_are_alive(program: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    sibling = await owner.make("/v1/groups", name="South")
    below, beside = [await program.issue(owner, group_id=one["_id"]) for one in (group, sibling)]
    stranger = await program.register()
    here = (await below.make_thing("Here"))["_id"]
    above, across, foreign = [(await caller.make_thing("There"))["_id"] for caller in (owner, beside, stranger)]
    gone = (await below.make_thing("Gone"))["_id"]
    await below.delete(f"/v1/entities/{gone}")
    unknown = without_request_id(await below.post("/v1/connections", join(here, UNKNOWN)))
    for beyond in (above, across, foreign, gone, encode_id("person", new_id()), UNKNOWN):
        for body in (join(here, beyond), join(beyond, here)):
            answer = await below.post("/v1/connections", body)
            assert answer.status_code == 404, body
            assert without_request_id(answer) == unknown
    # Across sub-groups the one who reaches both may connect them.
    made = await owner.make("/v1/connections", **join(here, across))
    assert made["groupId"] == owner.group_id
    assert (await below.get(f"/v1/connections/{made['_id']}")).status_code == 404


async def test_a_type_joins_only_what_the_vocabulary_says(owner: Caller) -> None:
    course, lesson, token = await make_ends(owner, "course", "lesson", "token")
    person = owner.owner.id
    await owner.make("/v1/connections", **join(person, course, "enrolled_in"))
    await owner.make("/v1/connections", **join(person, token, "holds_tokens"))
    refused = {
        "body.fromId": [join(course, token, "holds_tokens"), join(lesson, course, "enrolled_in")],
        "body.toId": [join(person, lesson, "enrolled_in"), join(course, owner.group_id), join(course, course)],
    }
    for place, bodies in refused.items():
        for body in bodies:
            answer = await owner.post("/v1/connections", body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_connection"), body
            assert [flaw["location"] for flaw in answer.json()["errors"]] == [place]
            assert answer.json()["errors"][0]["fix"]


async def test_connections_that_carry_authority_are_the_platforms(owner: Caller) -> None:
    course = (await make_ends(owner, "course"))[0]
    bodies = [
        ("/v1/api-keys", join(owner.owner.id, owner.key_id, "owns_api_key")),
        ("/v1/api-keys", join(course, owner.key_id, "authenticated_by")),
        ("/v1/applications", join(course, owner.group_id, "belongs_to_org")),
        ("/v1/invitations", join(owner.owner.id, owner.group_id, "member_of")),
    ]
    for instead, body in bodies:
        answer = await owner.post("/v1/connections", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "managed_type"), body
        assert instead in answer.json()["errors"][0]["fix"]
    made = await owner.all_rows("/v1/connections", relationshipType="owns_api_key")
    answer = await owner.delete(f"/v1/connections/{made[0]['_id']}")
    assert (answer.status_code, answer.json()["code"]) == (403, "managed_type")


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"relationshipType": "part_off"}, 422, "body.relationshipType"),
        ({"strength": 1.01}, 400, "body.strength"),
        ({"strength": -0.01}, 400, "body.strength"),
        ({"validFrom": 1_800_000_000_000, "validTo": 1_700_000_000_000}, 400, "body.validTo"),
        ({"fromId": "event_01jd8kq3v5e9ra7t2m4xw6yz0c"}, 400, "body.fromId"),
        ({"toId": UNKNOWN[:-1]}, 400, "body.toId"),
        ({"from": UNKNOWN}, 400, "body.from"),
    ],
)
async def test_a_connection_that_makes_no_sense_is_refused_with_its_place(
    owner: Caller, change: dict[str, Any], status: int, place: str
) -> None:
    answer = await owner.post("/v1/connections", join(UNKNOWN, UNKNOWN[:-1] + "d") | change)
    assert answer.status_code == status
    assert place in {flaw["location"] for flaw in answer.json()["errors"]}


async def test_lists_look_from_either_end(owner: Caller) -> None:
    first, second, third = await make_ends(owner, "course", "course", "course")
    a = await owner.make("/v1/connections", **join(first, second))
    b = await owner.make("/v1/connections", **join(second, third, "references"))
    for query, found in [
        ({"fromId": first}, [a]),
        ({"toId": second}, [a]),
        ({"fromId": second}, [b]),
        ({"fromId": second, "toId": second}, []),
        ({"relationshipType": "references"}, [b]),
        ({"groupId": owner.group_id, "fromId": first, "relationshipType": "part_of"}, [a]),
        ({"fromId": UNKNOWN}, []),
    ]:
        assert await owner.all_rows("/v1/connections", **query) == found, query
