"""`python -m portal migration WHAT`: write a new migration from the difference between rows and database."""

import argparse
import asyncio
import os

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from ontology.database import driver_url
from ontology.migration import migrate
from ontology.settings import Settings
from portal.child_process import PROJECT_DIR
from portal.installation import assemble_installation, reachable_database


def main(parsed: argparse.Namespace) -> int:
    with reachable_database(assemble_installation(os.environ)) as settings:
        asyncio.run(migrate(settings))
        write_revision(settings, parsed.message)
    return 0


def write_revision(settings: Settings, message: str) -> None:
    """A file in `migrations/versions` named by date and message, to be read and corrected before it is kept."""
    config = Config()
    config.set_main_option("script_location", str(PROJECT_DIR / "migrations"))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    engine = create_engine(driver_url(settings.database_owner_url), poolclass=NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.revision(config, message=message, autogenerate=True)
