"""People and accounts from before memberships are members afterwards, and their tables are walled as before."""

import asyncio
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from ontology.database import driver_url
from ontology.ids import new_id
from ontology.migration import migrate
from ontology.settings import Settings
from portal.child_process import PROJECT_DIR
from tests.parts import Parts


def _upgrade(settings: Settings, revision: str) -> None:
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(PROJECT_DIR / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


async def test_existing_owners_become_members_who_can_still_sign_in(parts: Parts, tmp_path: Path) -> None:
    organisation, person, account = new_id(), new_id(), new_id()
    with parts.new_database(template=None) as name:
        settings = parts.settings(name, tmp_path)
        await asyncio.to_thread(_upgrade, settings, "2026_11_24_create_dimensions")
        with psycopg.connect(parts.superuser_url(name), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO groups (org_id, id, slug, name, type, metadata, settings, status, created_at, updated_at, "
                "created_by) VALUES (%s, %s, 'a', 'A', 'business', '{}', '{}', 'active', now(), now(), 'a')",
                [organisation, organisation],
            )
            connection.execute(
                "INSERT INTO people (org_id, id, group_id, name, email, role, status, created_at, updated_at, "
                "created_by) VALUES (%s, %s, %s, 'A', 'a@example.com', 'org_owner', 'active', now(), now(), 'a')",
                [organisation, person, organisation],
            )
            connection.execute(
                "INSERT INTO accounts (id, email, password_hash, org_id, person_id, created_at) "
                "VALUES (%s, 'a@example.com', 'hash', %s, %s, now())",
                [account, organisation, person],
            )
        await migrate(settings)
        with psycopg.connect(parts.superuser_url(name)) as connection:
            assert connection.execute("SELECT account_id FROM people").fetchall() == [(account,)]
            told = "SELECT relationship_type, from_person_id, to_group_id, metadata->>'role' FROM connections"
            assert connection.execute(told).fetchall() == [("member_of", person, organisation, "org_owner")]
            lifted = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
            assert connection.execute(lifted).fetchall() == []
