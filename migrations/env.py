"""Alembic's entry: runs on the connection that `ontology.migration` hands over, or on DATABASE_OWNER_URL."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine

from ontology.database import driver_url
from ontology.migration import MODELS
from ontology.settings import Settings


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Partitions come from the calendar and the generated `search` from the database, not from the models."""
    if name in ("search", "ix_things_search", "alembic_version"):
        return False
    return not (kind == "table" and name is not None and name.startswith("request_log_"))


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=MODELS, include_object=include_object)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(driver_url(Settings.from_environment().database_owner_url), poolclass=NullPool)
    with engine.connect() as own:
        run(own)
