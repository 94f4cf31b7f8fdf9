"""Calls and searches are kept as long as the plan says, and only the owner of the tables can forget them."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from ontology.database import driver_url, open_duty
from ontology.ids import new_id
from ontology.migration import create_partitions
from ontology.plans import Plan
from ontology.records import utc_now
from ontology.request_log import append_entries
from ontology.retention import forget_old_calls
from ontology.search_log import SearchEntry, store_searches
from ontology.settings import Settings
from tests.logged_calls import drain, logged_call
from tests.parts import Parts
from tests.program import Caller, Program, running_program

AGES = (400, 366, 364, 91, 89, 31, 29, 0)
KEPT = {Plan.STARTER: 2, Plan.PRO: 4, Plan.ENTERPRISE: 6}


def _make_past_partitions(settings: Settings) -> None:
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    with engine.begin() as connection:
        create_partitions(connection, (utc_now() - timedelta(days=400)).date())


async def test_each_plan_keeps_its_days_and_empty_months_go(parts: Parts, settings: Settings) -> None:
    await asyncio.to_thread(_make_past_partitions, settings)
    now = utc_now()
    plans: dict[object, Plan] = {}
    async with running_program(settings) as program:
        for plan in Plan:
            caller = await program.register(plan=plan)
            plans[caller.org_id] = plan
            await append_entries(program.redis, [logged_call(caller, at=now - timedelta(days=age)) for age in AGES])
            await _store_searches(program, caller, now)
        await drain(program)
    await forget_old_calls(settings, now)
    with psycopg.connect(parts.superuser_url(_name_of(settings))) as connection:
        rows = connection.execute("SELECT org_id FROM request_log").fetchall()
        searches = connection.execute("SELECT org_id FROM search_log").fetchall()
        names = connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits").fetchall()
    counts = Counter(plans[org_id] for (org_id,) in rows)
    assert counts == KEPT
    assert Counter(plans[org_id] for (org_id,) in searches) == KEPT
    months = sorted(name for (name,) in names if name.startswith("request_log_2"))
    assert months[0] == f"request_log_{now - timedelta(days=365):%Y_%m}"
    assert months[-1] > f"request_log_{now + timedelta(days=360):%Y_%m}"
    assert await forget_old_calls(settings, now) == 0


async def _store_searches(program: Program, caller: Caller, now: datetime) -> None:
    entries = [
        SearchEntry(
            org_id=caller.org_id,
            id=new_id(),
            group_id=caller.org_id,
            actor_id=caller.owner.id,
            purpose="search",
            source="api",
            query="refunds",
            kinds=(),
            hits=0,
            best_score=None,
            found=False,
            timestamp=now - timedelta(days=age),
        )
        for age in AGES
    ]
    async with open_duty(program.engine, "search_log") as session:
        await store_searches(session, entries)


def _name_of(settings: Settings) -> str:
    return settings.database_url.rpartition("/")[2].partition("?")[0]


@pytest.mark.parametrize("table", ["request_log", "search_log"])
@pytest.mark.parametrize("duty", ["", "retention", "request_log", "search_log"])
def test_the_program_cannot_forget_whatever_it_states(settings: Settings, table: str, duty: str) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("SELECT set_config('app.duty', %s, false)", [duty])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"DELETE FROM {table}".encode())
