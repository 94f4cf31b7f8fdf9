"""Forgets calls and searches that are older than the plan keeps, and makes the partitions of the months to come.

The program itself may neither delete calls nor change tables; this runs as the role that owns them, once a day. Lists
leave old ones out at once (`ontology/events.py`, `ontology/search_log.py`); here they cease to exist.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, NullPool, TextClause, create_engine, text

from ontology.database import driver_url
from ontology.events import ID_BEFORE
from ontology.ids import first_id
from ontology.migration import create_partitions
from ontology.plans import PLAN_LIMITS, Plan
from ontology.settings import Settings

ROWS_PER_DELETE = 5_000
_LONGEST = timedelta(days=max(limits.log_retention_days for limits in PLAN_LIMITS.values()))
_ORGANISATIONS = text("SELECT id, plan FROM groups WHERE parent_group_id IS NULL")
_DELETE = text(
    "DELETE FROM request_log WHERE (id, timestamp) IN (SELECT id, timestamp FROM request_log "
    "WHERE org_id = :org_id AND id < :before_id AND timestamp < :before LIMIT :rows)"
)
_DELETE_SEARCHES = text(
    "DELETE FROM search_log WHERE (org_id, id) IN (SELECT org_id, id FROM search_log "
    "WHERE org_id = :org_id AND timestamp < :before LIMIT :rows)"
)
_PARTITIONS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = 'request_log'::regclass"
)


async def forget_old_calls(settings: Settings, now: datetime) -> int:
    """Delete what no plan keeps any more; how many calls and searches, without calls that went with a whole month."""
    return await asyncio.to_thread(_forget_old_calls, settings, now)


def _forget_old_calls(settings: Settings, now: datetime) -> int:
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    with engine.begin() as connection:
        create_partitions(connection, now.date())
        _drop_months(connection, now)
    with engine.begin() as connection:
        _state_duty(connection)
        organisations = [(row.id, Plan(row.plan or Plan.STARTER)) for row in connection.execute(_ORGANISATIONS)]
    deleted = 0
    for org_id, plan in organisations:
        before = now - timedelta(days=PLAN_LIMITS[plan].log_retention_days)
        deleted += sum(_delete_all(engine, statement, org_id, before) for statement in (_DELETE, _DELETE_SEARCHES))
    return deleted


def _delete_all(engine: Engine, statement: TextClause, org_id: UUID, before: datetime) -> int:
    """Some at a time, each a transaction of its own."""
    deleted = 0
    while True:
        with engine.begin() as connection:
            _state_duty(connection)
            count = _delete_some(connection, statement, org_id, before)
        deleted += count
        if count < ROWS_PER_DELETE:
            return deleted


def _state_duty(connection: Connection) -> None:
    """Row-level security binds the owner too; only with this duty does it see calls and organisations."""
    connection.execute(text("SELECT set_config('app.duty', 'retention', true), set_config('lock_timeout', '2s', true)"))


def _delete_some(connection: Connection, statement: TextClause, org_id: UUID, before: datetime) -> int:
    """Of calls, an index finds old ids; one that took long has an id younger than its time and waits a day."""
    values: dict[str, object] = {"org_id": org_id, "before": before, "rows": ROWS_PER_DELETE}
    if statement is _DELETE:
        values["before_id"] = first_id(before + ID_BEFORE)
    return connection.execute(statement, values).rowcount


def _drop_months(connection: Connection, now: datetime) -> None:
    """Months that ended before the longest retention began. Fails at once when somebody reads them; then tomorrow."""
    connection.execute(text("SELECT set_config('lock_timeout', '2s', true)"))
    oldest = f"request_log_{now - _LONGEST:%Y_%m}"
    for (name,) in connection.execute(_PARTITIONS).fetchall():
        if name < oldest:
            connection.execute(text(f"DROP TABLE {name}"))
