"""Registration: everything a first call needs, all of it or nothing."""

from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology import registration
from ontology.database import open_lookup
from ontology.errors import Conflict
from ontology.ids import decode_id, encode_id
from ontology.key_secrets import digest_key
from ontology.plans import PLAN_LIMITS, Plan
from ontology.records import metadata
from ontology.registration import Applicant, Registration, register_organisation
from ontology.scopes import ALL_SCOPES
from tests.parts import Parts
from tests.program import Program

Rows = list[dict[str, Any]]


def applicant(**more: Any) -> Applicant:
    return Applicant("Riverside Academy", "Ada Lovelace", f"{uuid4().hex}@example.com", **more)


@pytest.fixture
def behind(parts: Parts, program: Program) -> Any:
    """The rows of an organisation in each table, seen past both walls."""
    database = program.settings.database_url.rpartition("/")[2].partition("?")[0]

    def look(org_id: UUID | None) -> dict[str, Rows]:
        with psycopg.connect(parts.superuser_url(database), row_factory=dict_row) as connection:
            return {table: _rows(connection, table, org_id) for table in sorted(metadata.tables)}

    return look


def _rows(connection: Any, table: str, org_id: UUID | None) -> Rows:
    where, values = ("WHERE org_id = %s", [org_id]) if org_id else ("", [])
    # `xmin` names the transaction that wrote a row.
    return connection.execute(f"SELECT *, xmin::text AS transaction FROM {table} {where}", values).fetchall()


async def register(program: Program, new: Applicant) -> Registration:
    return await program.register_fully(new)


async def test_everything_is_made_connected_and_logged_in_one_transaction(program: Program, behind: Any) -> None:
    made = await register(program, applicant(plan=Plan.PRO, password_hash="a hash"))
    rows = behind(made.organisation.id)
    counts = {table: len(found) for table, found in rows.items() if found}
    things = {thing["type"]: thing for thing in rows["things"]}
    assert counts.pop("events") == len(rows["things"]) + len(rows["connections"]) + 4
    assert counts == {
        "groups": 1,
        "group_closure": 1,
        "people": 1,
        "things": 4,
        "connections": 5,
        "api_key_secrets": 1,
        "accounts": 1,
    }
    assert things.keys() == {"api_application", "service_account", "api_quota", "api_key"}
    assert {thing["status"] for thing in things.values()} == {"active"}
    assert len({row["transaction"] for found in rows.values() for row in found}) == 1


async def test_the_owner_reaches_the_key_and_the_application_what_it_needs(program: Program, behind: Any) -> None:
    made = await register(program, applicant())
    rows = behind(made.organisation.id)
    things = {thing["type"]: thing["id"] for thing in rows["things"]}
    person, organisation = rows["people"][0], rows["groups"][0]
    ends = {
        row["relationship_type"]: tuple(
            next(row[f"{end}_{kind}_id"] for kind in ("thing", "person", "group") if row[f"{end}_{kind}_id"])
            for end in ("from", "to")
        )
        for row in rows["connections"]
    }
    assert ends == {
        "member_of": (person["id"], organisation["id"]),
        "owns_api_key": (person["id"], things["api_key"]),
        "authenticated_by": (things["api_application"], things["api_key"]),
        "belongs_to_org": (things["api_application"], organisation["id"]),
        "has_quota": (things["api_application"], things["api_quota"]),
    }
    assert person["role"] == "org_owner"
    assert organisation["parent_group_id"] is None
    assert made.key.key.startswith(f"org_{organisation['handle']}_key_")


async def test_each_change_has_its_event_by_the_new_owner(program: Program, behind: Any) -> None:
    made = await register(program, applicant())
    events: Rows = behind(made.organisation.id)["events"]
    assert Counter(event["type"] for event in events) == {
        "thing_created": 10,  # the group, four things, five connections
        "user_registered": 1,
        "api_application_registered": 1,
        "api_key_generated": 1,
    }
    assert {event["actor_id"] for event in events} == {encode_id("person", made.owner.id)}
    assert {event["group_id"] for event in events} == {made.organisation.id}
    kinds = Counter(event["metadata"].get("thingType") for event in events if event["type"] == "thing_created")
    assert kinds["connection"] == 5 and kinds["group"] == 1 and kinds["api_key"] == 1
    assert made.key.key not in str(events)
    assert made.key.key.rpartition("_")[2] not in str(events)


async def test_the_key_works_and_is_stored_as_its_hmac_only(program: Program, behind: Any) -> None:
    made = await register(program, applicant(plan=Plan.PRO))
    rows = behind(made.organisation.id)
    text = made.key.key
    assert rows["api_key_secrets"][0]["digest"] == digest_key(text, program.settings.key_pepper)
    assert text.rpartition("_")[2] not in str(rows)
    answer = (await program.client.get("/v1/whoami", headers={"Authorization": f"Bearer {text}"})).json()
    assert answer["organisation"]["plan"] == "pro"
    assert answer["key"]["scopes"] == sorted(ALL_SCOPES)
    account = next(thing for thing in rows["things"] if thing["type"] == "service_account")
    assert answer["actor"] == {"_id": encode_id("thing", account["id"]), "type": "service_account"}
    assert decode_id(answer["key"]["_id"])[1] == made.key.id


@pytest.mark.parametrize("plan", list(Plan))
async def test_the_quota_states_the_plans_limits(program: Program, behind: Any, plan: Plan) -> None:
    made = await register(program, applicant(plan=plan))
    quota = next(thing for thing in behind(made.organisation.id)["things"] if thing["type"] == "api_quota")
    limits = PLAN_LIMITS[plan]
    assert quota["properties"] == {
        "tier": plan.value,
        "limits": {
            "requestsPerMinute": limits.requests_per_minute,
            "requestsPerDay": limits.requests_per_day,
            "maxGroupsPerOrg": limits.sub_groups_max or -1,
            "maxEntitiesPerGroup": limits.things_per_group_max or -1,
        },
    }


STEPS = ("_create_root", "_create_owner", "_create_application", "issue_key", "_connect")


@pytest.mark.parametrize("step", STEPS)
async def test_failing_after_any_step_leaves_nothing(
    program: Program, behind: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    done = getattr(registration, step)

    async def do_and_fail(session: AsyncSession, *arguments: Any, **named: Any) -> None:
        await done(session, *arguments, **named)
        await session.flush()
        raise ConnectionError("the machine went away")

    before = {table: len(found) for table, found in behind(None).items()}
    monkeypatch.setattr(registration, step, do_and_fail)
    with pytest.raises(ConnectionError):
        await register(program, applicant(password_hash="a hash"))
    assert {table: len(found) for table, found in behind(None).items()} == before


async def test_a_second_account_for_an_address_is_refused_and_leaves_nothing(program: Program, behind: Any) -> None:
    first = applicant(password_hash="a hash")
    await register(program, first)
    before = {table: len(found) for table, found in behind(None).items()}
    shouted = Applicant("Another", "Ada", f" {first.email.upper()} ", password_hash="another hash")
    with pytest.raises(Conflict):
        async with open_lookup(program.engine, email=shouted.email) as session:
            await register_organisation(session, shouted, pepper=program.settings.key_pepper)
    assert {table: len(found) for table, found in behind(None).items()} == before


async def test_organisations_of_one_name_are_two(program: Program) -> None:
    first, second = await register(program, applicant()), await register(program, applicant())
    assert first.organisation.name == second.organisation.name
    assert first.organisation.slug != second.organisation.slug
    assert first.handle != second.handle
    assert first.organisation.id != second.organisation.id
