"""Alembic's entry: runs on the connection that `ontology.migration` hands over, or on DATABASE_OWNER_URL."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine

from ontology.database import driver_url
from ontology.migration import MODELS
from ontology.settings import Settings

# The database's own: generated there, filtered on, never loaded.
OWN_COLUMNS = {
    ("things", "search"),
    ("events", "written"),
    ("request_log", "written"),
    ("request_log", "endpoint"),
    ("request_log", "status"),
    ("request_log", "latency_ms"),
}
OWN_INDEXES = {
    "ix_things_search",
    "ix_events_org_id_written",
    "ix_request_log_org_id_written",
    "ix_request_log_org_id_endpoint_id",
    "ix_request_log_org_id_refused_id",
}


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Partitions come from the calendar and some columns from the database itself, not from the models."""
    if name == "alembic_version" or (kind == "index" and name in OWN_INDEXES):
        return False
    if kind == "column" and (item.table.name, name) in OWN_COLUMNS:
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
