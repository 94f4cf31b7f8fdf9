"""Brings a database to the present schema: tables, the program's rights, the partitions of months to come.

Runs as the role that owns the tables, which the program itself never uses; two at once wait for one another.
"""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text

from ontology import (
    accounts,
    connection_rows,
    idempotency,
    invitations,
    key_secrets,
    knowledge_items,
    pattern_changes,
    search_log,
    usage,
    usage_patterns,
)
from ontology.database import driver_url
from ontology.records import metadata
from ontology.settings import Settings

# Importing the modules above is what fills this.
MODELS = metadata
ROW_MODULES = (
    accounts,
    connection_rows,
    idempotency,
    invitations,
    key_secrets,
    knowledge_items,
    pattern_changes,
    search_log,
    usage,
    usage_patterns,
)
_LOCK = 6_617_346_001
_MONTHS_AHEAD = 13
# What happened stays as it is; of a search, it is known only later which hit was opened.
_RIGHTS = {
    "events": "SELECT, INSERT",
    "request_log": "SELECT, INSERT",
    "search_log": "SELECT, INSERT, UPDATE (opened_document_id, opened_rank)",
}
_SCRIPTS = Path(__file__).parent.parent / "migrations"


async def migrate(settings: Settings) -> None:
    """Upgrade to the newest revision; harmless when already there."""
    await asyncio.to_thread(_migrate, settings)


def _migrate(settings: Settings) -> None:
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    role = unquote(urlsplit(settings.database_url).username or "")
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        create_partitions(connection, datetime.now(UTC).date())
        grant_rights(connection, role)
        connection.commit()


def create_partitions(connection: Connection, today: date) -> None:
    """A partition of the request log for this month and the thirteen after it, walled like its parent.

    Row-level security does not pass from a parent to a partition that is named directly, so each is forced too.
    """
    for ahead in range(-1, _MONTHS_AHEAD + 1):
        start, end = _month(today, ahead), _month(today, ahead + 1)
        name = f"request_log_{start:%Y_%m}"
        connection.execute(
            text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF request_log FOR VALUES FROM ('{start}') TO ('{end}')")
        )
        connection.execute(text(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"))
        connection.execute(text(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"))


def grant_rights(connection: Connection, role: str) -> None:
    """The program's role reads and writes rows, never owns, truncates or references; what happened stays as it is."""
    quoted = '"' + role.replace('"', '""') + '"'
    owner: str = connection.execute(text("SELECT current_user")).scalar_one()
    if owner == role:
        return
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    for name in metadata.tables:
        rights = _RIGHTS.get(name, "SELECT, INSERT, UPDATE, DELETE")
        connection.execute(text(f"REVOKE ALL ON {name} FROM {quoted}"))
        connection.execute(text(f"GRANT {rights} ON {name} TO {quoted}"))


def _month(today: date, ahead: int) -> date:
    months = today.year * 12 + today.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)
