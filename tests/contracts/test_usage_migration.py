"""Calls that were logged before usage was counted are counted by the migration, and the log is walled as before."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from psycopg.types.json import Jsonb
from sqlalchemy import NullPool, create_engine

from ontology.database import driver_url
from ontology.ids import new_id
from ontology.migration import create_partitions, migrate
from ontology.settings import Settings
from portal.child_process import PROJECT_DIR
from tests.parts import Parts

BEFORE = "2026_11_25_1800_find_leaked_keys"


def _upgrade(settings: Settings, revision: str) -> None:
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(PROJECT_DIR / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        create_partitions(connection, datetime.now(UTC).date())
        connection.commit()


async def test_calls_in_the_log_are_counted_once(parts: Parts, tmp_path: Path) -> None:
    organisation, key, now = new_id(), new_id(), datetime.now(UTC)
    with parts.new_database(template=None) as name:
        settings = parts.settings(name, tmp_path)
        await asyncio.to_thread(_upgrade, settings, BEFORE)
        with psycopg.connect(parts.superuser_url(name), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO groups (org_id, id, slug, name, type, metadata, settings, status, created_at, updated_at, "
                "created_by) VALUES (%s, %s, 'a', 'A', 'business', '{}', '{}', 'active', now(), now(), 'a')",
                [organisation, organisation],
            )
            connection.execute(
                "INSERT INTO things (org_id, id, group_id, type, name, properties, status, created_at, updated_at, "
                "created_by) VALUES (%s, %s, %s, 'api_key', 'A', '{}', 'active', now(), now(), 'a')",
                [organisation, key, organisation],
            )
            for status, key_id in ((200, key), (200, key), (404, key), (200, None)):
                call = {"method": "GET", "endpoint": "/v1/whoami", "statusCode": status, "latency": 1.0}
                connection.execute(
                    "INSERT INTO request_log (org_id, id, group_id, type, actor_id, timestamp, metadata, key_id) "
                    "VALUES (%s, %s, %s, 'api_request_made', 'a', %s, %s, %s)",
                    [organisation, new_id(), organisation, now, Jsonb(call), key_id],
                )
            connection.execute(
                "INSERT INTO api_key_uses (org_id, key_id, group_id, last_used_at, requests) "
                "VALUES (%s, %s, %s, %s, 3)",
                [organisation, key, organisation, now],
            )
        await migrate(settings)
        with psycopg.connect(parts.superuser_url(name)) as connection:
            counted = "SELECT key_id, day, operation, status_class, calls FROM usage_days ORDER BY status_class"
            assert connection.execute(counted).fetchall() == [
                (key, now.date(), "GET /v1/whoami", 2, 2),
                (key, now.date(), "GET /v1/whoami", 4, 1),
            ]
            kept = "SELECT day_calls FROM api_key_uses"
            assert connection.execute(kept).fetchall() == [({now.date().isoformat(): 3},)]
            lifted = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
            assert connection.execute(lifted).fetchall() == []
