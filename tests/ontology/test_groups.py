"""Groups: a tree whose reach runs downwards only, and as many as the plan allows."""

import asyncio
from collections import Counter
from typing import Any

import psycopg
import pytest

from ontology.database import open_transaction
from ontology.errors import QuotaExceeded, SlugTaken
from ontology.groups import DEPTH_MAX, Group, GroupCreate, create_group, make_slug
from ontology.ids import new_id
from ontology.plans import PLAN_LIMITS, Plan
from tests.parts import Parts
from tests.program import Caller, Program, until_decided

PARALLEL = 50


def group(name: str = "North", **more: Any) -> GroupCreate:
    return GroupCreate.model_validate({"name": name} | more)


async def create(program: Program, caller: Caller, new: GroupCreate) -> Group:
    async with open_transaction(program.engine, caller.owner) as session:
        return await create_group(session, caller.owner, new)


async def create_at_once(program: Program, caller: Caller, news: list[GroupCreate]) -> list[Any]:
    await program.open_whole_pool()
    return await asyncio.gather(*(until_decided(lambda new=new: create(program, caller, new)) for new in news))


async def test_the_sub_group_quota_is_exact_when_fifty_are_made_at_once(program: Program) -> None:
    caller = await program.register(plan=Plan.STARTER)
    maximum, room = PLAN_LIMITS[Plan.STARTER].sub_groups_max or 0, 3
    # Less room than there are connections, so that those who count at the same moment would be too many.
    for number in range(maximum - room):
        await create(program, caller, group(f"Earlier {number}"))
    found = await create_at_once(program, caller, [group(f"Group {number}") for number in range(PARALLEL)])
    assert Counter(type(one) for one in found) == {Group: room, QuotaExceeded: PARALLEL - room}
    usage = (await caller.get("/v1/quota")).json()["usage"]
    assert usage["groups"] == maximum
    events = await caller.all_rows("/v1/events", type="thing_created")
    assert sum(event["metadata"]["thingType"] == "group" for event in events) == maximum + 1


async def test_the_quota_counts_the_whole_organisation_whoever_asks(program: Program) -> None:
    caller = await program.register(plan=Plan.STARTER)
    maximum = PLAN_LIMITS[Plan.STARTER].sub_groups_max or 0
    north = await caller.make("/v1/groups", name="North")
    await create_at_once(program, caller, [group(f"Group {number}") for number in range(maximum - 2)])
    below = await program.issue(caller, group_id=north["_id"])
    await below.make("/v1/groups", name="The last")
    answer = await below.post("/v1/groups", {"name": "One too many"})
    assert (answer.status_code, answer.json()["code"]) == (403, "quota_exceeded")
    assert "retry-after" not in answer.headers, "waiting does not help"


async def test_a_slug_stands_once_in_an_organisation_though_many_want_it_at_once(
    program: Program, owner: Caller
) -> None:
    news = [group(f"Group {number}", slug="the-one") for number in range(12)]
    found = await create_at_once(program, owner, news)
    assert Counter(type(one) for one in found) == {Group: 1, SlugTaken: len(news) - 1}
    refused = next(one for one in found if isinstance(one, SlugTaken))
    assert [flaw.location for flaw in refused.flaws] == ["body.slug"]
    other = await program.register()
    assert (await other.make("/v1/groups", name="Elsewhere", slug="the-one"))["slug"] == "the-one"


async def test_a_slug_of_a_group_out_of_reach_is_taken_all_the_same(program: Program, owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    await owner.make("/v1/groups", name="South", slug="south")
    below = await program.issue(owner, group_id=north["_id"])
    answer = await below.post("/v1/groups", {"name": "South", "slug": "south"})
    assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")


async def test_groups_of_one_name_get_slugs_of_their_own(owner: Caller) -> None:
    made = [await owner.make("/v1/groups", name="Ünïcode & Söhne, Ltd.") for _ in range(3)]
    assert len({one["slug"] for one in made}) == 3
    assert all(one["slug"].startswith("unicode-sohne-ltd-") for one in made)
    assert (await owner.make("/v1/groups", name="日本"))["slug"].startswith("group-")


async def test_reach_runs_downwards_only(program: Program, owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    south = await owner.make("/v1/groups", name="South")
    below = await owner.make("/v1/groups", name="Below", parentGroupId=north["_id"])
    assert below["parentGroupId"] == north["_id"]
    sees = {
        owner.group_id: {owner.group_id, north["_id"], south["_id"], below["_id"]},
        north["_id"]: {north["_id"], below["_id"]},
        below["_id"]: {below["_id"]},
        south["_id"]: {south["_id"]},
    }
    for name, seen in sees.items():
        caller = await program.issue(owner, group_id=name)
        assert {row["_id"] for row in await caller.all_rows("/v1/groups")} == seen
        for other in sees[owner.group_id]:
            status = 200 if other in seen else 404
            assert (await caller.get(f"/v1/groups/{other}")).status_code == status
            assert (await caller.get(f"/v1/groups/{other}/children")).status_code == status
            body = {"type": "course", "name": "Botany", "groupId": other}
            assert (await caller.post("/v1/entities", body)).status_code == (201 if other in seen else 404)


async def test_children_are_the_next_level_only(owner: Caller) -> None:
    north = await owner.make("/v1/groups", name="North")
    below = await owner.make("/v1/groups", name="Below", parentGroupId=north["_id"])
    await owner.make("/v1/groups", name="Deeper", parentGroupId=below["_id"])
    assert [row["_id"] for row in await owner.all_rows(f"/v1/groups/{owner.group_id}/children")] == [north["_id"]]
    assert [row["_id"] for row in await owner.all_rows(f"/v1/groups/{north['_id']}/children")] == [below["_id"]]


async def test_groups_are_filtered_by_words_as_they_are_written(owner: Caller) -> None:
    await owner.make("/v1/groups", name="100% Organic", type="business")
    await owner.make("/v1/groups", name="Organic_1", type="community")
    for words, names in {
        "organic": ["Organic_1", "100% Organic"],
        "0%": ["100% Organic"],
        "c_1": ["Organic_1"],
        "%": ["100% Organic"],
        "ORGANIC": ["Organic_1", "100% Organic"],
    }.items():
        assert [row["name"] for row in await owner.all_rows("/v1/groups", q=words)] == names, words
    assert [row["name"] for row in await owner.all_rows("/v1/groups", type="business")] == ["100% Organic"]


async def test_the_closure_holds_every_pair_of_a_group_and_one_above_it(
    parts: Parts, program: Program, owner: Caller
) -> None:
    north = await create(program, owner, group("North"))
    below = await create(program, owner, group("Below", parentGroupId=_text(north)))
    deeper = await create(program, owner, group("Deeper", parentGroupId=_text(below)))
    line = [deeper.id, below.id, north.id, owner.org_id]
    pairs = {(line[up], line[at], up - at) for at in range(4) for up in range(at, 4)}
    database = program.settings.database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(parts.superuser_url(database)) as connection:
        query = "SELECT ancestor_id, descendant_id, depth FROM group_closure WHERE org_id = %s"
        assert set(connection.execute(query, [owner.org_id]).fetchall()) == pairs


async def test_groups_nest_only_so_deep(owner: Caller) -> None:
    parent = owner.group_id
    for depth in range(1, DEPTH_MAX + 1):
        parent = (await owner.make("/v1/groups", name=f"Level {depth}", parentGroupId=parent))["_id"]
    answer = await owner.post("/v1/groups", {"name": "Too deep", "parentGroupId": parent})
    assert answer.status_code == 400
    assert [flaw["location"] for flaw in answer.json()["errors"]] == ["body.parentGroupId"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "organisation"}, 422, "unknown_type"),
        ({"slug": "No Slug"}, 400, "invalid_request"),
        ({"slug": "-x"}, 400, "invalid_request"),
        ({"name": " "}, 400, "invalid_request"),
        ({"name": "x" * 201}, 400, "invalid_request"),
        ({"parentGroupId": "thing_01jd8kq3v5e9ra7t2m4xw6yz0c"}, 400, "invalid_request"),
        ({"parentGroupId": "group_01jd8kq3v5e9ra7t2m4xw6yz0c"}, 404, "not_found"),
        ({"plan": "enterprise"}, 400, "invalid_request"),
    ],
)
async def test_a_group_that_makes_no_sense_is_refused(
    owner: Caller, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await owner.post("/v1/groups", {"name": "North"} | body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_a_type_leaves_open_is_filled_in_by_the_type(owner: Caller) -> None:
    made = await owner.make("/v1/groups", name="Guild", type="community", settings={"joinPolicy": "open"})
    assert made["settings"] == {"visibility": "public", "joinPolicy": "open"}
    assert made["status"] == "active"


def _text(one: Group) -> str:
    return one.as_json()["_id"]


def test_ids_of_groups_are_not_guessable_from_one_another() -> None:
    """All but the time of two ids made in a row differs."""
    first, second = new_id(), new_id()
    assert first.int & (2**62 - 1) != second.int & (2**62 - 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("Größe & Söhne", "grosse-sohne"), ("Café Ünïcode", "cafe-unicode"), ("北京", "group"), ("  A--b  ", "a-b")],
)
def test_a_slug_keeps_the_letters_of_a_name_without_their_accents(name: str, words: str) -> None:
    assert make_slug(name).rpartition("-")[0] == words
