"""Pages: every row once, whatever is written meanwhile, and a cursor is worth nothing where it was not given."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.actors import Actor
from ontology.errors import InvalidCursor
from ontology.ids import new_id
from ontology.pagination import PageRequest, describe_list, make_cursor, read_cursor
from ontology.scopes import ALL_SCOPES
from tests.program import Caller, Program

REQUEST = PageRequest("a secret")
ORG = new_id()
ACTOR = Actor(id="person_x", org_id=ORG, group_id=ORG, scopes=ALL_SCOPES)
PURPOSE = describe_list("things", type="course", status=None)
VALUES = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


def read(cursor: str, *, secret: str = "a secret", actor: Actor = ACTOR, purpose: str = PURPOSE) -> UUID | None:
    return read_cursor(PageRequest(secret, cursor=cursor), actor, purpose)


@given(VALUES)
def test_a_cursor_names_the_row_it_was_made_for(last: UUID) -> None:
    cursor = make_cursor(REQUEST, ACTOR, PURPOSE, last)
    assert read(cursor) == last
    assert cursor.isascii() and set("+/=") & set(cursor) == set()


def test_no_cursor_is_the_first_page() -> None:
    assert read_cursor(REQUEST, ACTOR, PURPOSE) is None


@given(VALUES, st.integers(0, 27), st.integers(1, 255))
def test_a_cursor_with_any_byte_changed_is_refused(last: UUID, place: int, change: int) -> None:
    cursor = make_cursor(REQUEST, ACTOR, PURPOSE, last)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[place] ^= change
    with pytest.raises(InvalidCursor):
        read(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))


@given(st.text())
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor) as refusal:
        read(text)
    assert [flaw.location for flaw in refusal.value.flaws] == ["query.cursor"]


@pytest.mark.parametrize("cut", [0, 1, 16, 27])
def test_a_cursor_cut_short_or_drawn_out_is_refused(cut: int) -> None:
    raw = base64.urlsafe_b64decode(make_cursor(REQUEST, ACTOR, PURPOSE, new_id()) + "==")
    for changed in (raw[:cut], raw + b"\0"):
        with pytest.raises(InvalidCursor):
            read(base64.urlsafe_b64encode(changed).decode().rstrip("="))


def test_a_cursor_is_bound_to_organisation_group_list_filters_and_secret() -> None:
    cursor = make_cursor(REQUEST, ACTOR, PURPOSE, new_id())
    below = replace(ACTOR, group_id=new_id())
    stranger = replace(ACTOR, org_id=new_id())
    for actor in (below, stranger, replace(ACTOR, org_id=below.group_id, group_id=below.group_id)):
        with pytest.raises(InvalidCursor):
            read(cursor, actor=actor)
    others = (
        describe_list("connections", type="course", status=None),
        describe_list("things", type="lesson", status=None),
        describe_list("things", type="course", status="draft"),
    )
    for purpose in others:
        with pytest.raises(InvalidCursor):
            read(cursor, purpose=purpose)
    with pytest.raises(InvalidCursor):
        read(cursor, secret="another secret")


async def test_pages_hold_every_row_once_though_rows_are_written_and_deleted_meanwhile(owner: Caller) -> None:
    made = [(await owner.make_thing(f"Before {number}"))["_id"] for number in range(9)]
    expected, seen, cursor = list(reversed(made)), [], None
    while True:
        page = (await owner.get("/v1/entities", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [row["_id"] for row in page["data"]]
        assert page["pagination"]["hasMore"] == (page["pagination"]["nextCursor"] is not None)
        if (cursor := page["pagination"]["nextCursor"]) is None:
            break
        await owner.make_thing("Meanwhile")
        if len(seen) == 4:
            # The row the cursor stands on, and one that is still to come.
            for gone in (seen[-1], made[0]):
                assert (await owner.delete(f"/v1/entities/{gone}")).status_code == 200
            expected.remove(made[0])
    assert seen == expected


async def test_a_page_that_is_just_full_is_the_last(owner: Caller) -> None:
    for number in range(4):
        await owner.make_thing(f"Course {number}")
    first = (await owner.get("/v1/entities", params={"limit": 2})).json()
    last = (await owner.get("/v1/entities", params={"limit": 2, "cursor": first["pagination"]["nextCursor"]})).json()
    assert len(first["data"]) == len(last["data"]) == 2
    assert last["pagination"] == {"nextCursor": None, "hasMore": False}


async def test_a_cursor_carried_to_another_list_is_refused(program: Program, owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="North")
    below, twin = await program.issue(owner, group_id=group["_id"]), await program.issue(owner)
    stranger = await program.register()
    for caller in (owner, below, stranger):
        for number in range(2):
            await caller.make_thing(f"Course {number}")
    page = (await owner.get("/v1/entities", params={"limit": 1, "type": "course"})).json()
    cursor = page["pagination"]["nextCursor"]
    good = {"limit": 1, "type": "course", "cursor": cursor}
    # Another key of the same group asks for the same; how many rows a page has may change under way.
    assert (await twin.get("/v1/entities", params=good)).status_code == 200
    assert (await owner.get("/v1/entities", params=good | {"limit": 2})).status_code == 200
    spliced = [
        (stranger, "/v1/entities", good),
        (below, "/v1/entities", good),
        (owner, "/v1/entities", {"limit": 1, "cursor": cursor}),
        (owner, "/v1/entities", good | {"type": "lesson"}),
        (owner, "/v1/entities", good | {"status": "draft"}),
        (owner, "/v1/entities", good | {"q": "course"}),
        (owner, "/v1/entities", good | {"groupId": group["_id"]}),
        (owner, "/v1/entities", good | {"includeDeleted": "true"}),
        (owner, "/v1/groups", {"cursor": cursor}),
        (owner, "/v1/connections", {"cursor": cursor}),
        (owner, "/v1/events", {"cursor": cursor}),
        (owner, "/v1/api-keys", {"cursor": cursor}),
        (owner, "/v1/entities", good | {"cursor": cursor[::-1]}),
    ]
    for caller, path, query in spliced:
        answer = await caller.get(path, params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), (path, query)
        assert [flaw["location"] for flaw in answer.json()["errors"]] == ["query.cursor"]
