"""Wall two by catalogue: no table of a tenant without it, and no key or constraint that tells what is behind it."""

import re
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.actors import owner_actor
from ontology.database import create_engine, open_lookup, open_transaction, run_sql
from ontology.ids import new_id
from ontology.records import TenantRow, metadata
from ontology.registration import Applicant, register_organisation
from ontology.settings import Settings
from portal.embedded_postgres import APP_ROLE
from tests.parts import Parts
from tests.program import Program

Catalogue = psycopg.Connection[TupleRow]

TABLES = sorted(metadata.tables)
TENANT_COLUMNS = {"org_id", "group_id"}
# Columns that hold an id of another tenant row without a foreign key, and why they may.
UNCHECKED_REFERENCES = {
    ("events", "group_id"): "the log outlives what it tells of and takes a write per change",
    ("events", "key_id"): "the same; it comes from the credential",
    ("request_log", "group_id"): "the same",
    ("request_log", "key_id"): "the same",
    ("idempotency_records", "group_id"): "lives for a day; its org and key come from the credential",
    ("idempotency_records", "key_id"): "the same",
    ("group_closure", "ancestor_id"): "written before the group's row, which row-level security asks it about",
    ("group_closure", "descendant_id"): "the same",
    ("people", "account_id"): "an account is many people, in many organisations; written by joining alone",
    ("knowledge_items", "document_id"): "platform rows have no group; written by the indexing duty alone",
}


def _tables_with(catalogue: Catalogue, columns: set[str]) -> set[str]:
    """Every table or partition in the database, known to the models or not, that has one of these columns."""
    query = """
        SELECT DISTINCT c.relname FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT a.attisdropped AND a.attname = ANY(%s)"""
    return {name for (name,) in catalogue.execute(query, [list(columns)])}


def test_every_table_of_a_tenant_has_forced_row_level_security(catalogue: Catalogue) -> None:
    found = _tables_with(catalogue, TENANT_COLUMNS)
    assert found >= set(TABLES)
    query = "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relrowsecurity AND relforcerowsecurity"
    assert {name for (name,) in catalogue.execute(query, [list(found)])} == found


def test_a_table_without_it_would_be_found(catalogue: Catalogue) -> None:
    with catalogue.transaction(force_rollback=True):
        catalogue.execute("CREATE TABLE forgotten (org_id uuid)")
        assert "forgotten" in _tables_with(catalogue, TENANT_COLUMNS)
        with pytest.raises(AssertionError):
            test_every_table_of_a_tenant_has_forced_row_level_security(catalogue)


def test_partitions_of_the_request_log_are_walled_one_by_one(catalogue: Catalogue) -> None:
    query = """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'request_log'::regclass"""
    partitions = dict(catalogue.execute(query).fetchall())
    assert len(partitions) >= 13
    assert all(partitions.values())


@pytest.mark.parametrize("table", TABLES)
def test_every_policy_that_writes_checks_what_is_written(catalogue: Catalogue, table: str) -> None:
    query = "SELECT policyname, cmd, permissive, qual, with_check FROM pg_policies WHERE tablename = %s"
    policies = catalogue.execute(query, [table]).fetchall()
    assert policies
    for name, command, _, using, check in policies:
        condition = check if command == "INSERT" else using
        assert condition is not None, name
        assert "app_" in condition or "org_id = '00000000" in condition, f"{name} asks nothing of the transaction"
        if command != "SELECT":
            assert check is not None, f"{name} lets a row be written that it would not show"


async def _register(engine: AsyncEngine, email: str) -> UUID:
    async with open_lookup(engine, email=email) as session:
        made = await register_organisation(session, Applicant("Acme", "Ada", email, password_hash="x"), pepper="p")
        return made.organisation.id


async def test_a_transaction_that_states_nothing_sees_no_row(
    parts: Parts, module_database: str, api: Program, catalogue: Catalogue
) -> None:
    org_id = await _register(api.engine, "ada@example.com")
    for table in TABLES:
        _fill(catalogue, table, org_id)
    with psycopg.connect(parts.postgres.url(APP_ROLE, module_database)) as connection:
        for stated in (None, ""):
            if stated is not None:
                names = (
                    *("org_id", "group_id", "key_digest", "session_digest", "email", "duty"),
                    *("account_id", "invitation_digest"),
                )
                for name in names:
                    connection.execute("SELECT set_config(%s, %s, true)", [f"app.{name}", stated])
            for table in TABLES:
                count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                assert connection.execute(count).fetchone() == (0,), table
                assert (catalogue.execute(count).fetchone() or (0,))[0] > 0, table


def _fill(catalogue: Catalogue, table: str, org_id: UUID) -> None:
    """A row in the tables that registration leaves empty."""
    now = datetime.now(UTC)
    match table:
        case "request_log":
            statement = "INSERT INTO request_log VALUES (%s, %s, %s, 'api_request_made', 'a', NULL, %s, '{}', NULL)"
            catalogue.execute(statement, [org_id, new_id(), org_id, now])
        case "knowledge_items":
            statement = """
                INSERT INTO knowledge_items (org_id, id, group_id, kind, title, format, visibility, labels, version,
                    indexed_version, created_at, updated_at, created_by, knowledge_type, text, metadata, heading_path)
                VALUES (%s, %s, %s, 'page', 't', 'markdown', 'group', '{}', 1,
                    0, %s, %s, 'a', 'document', 't', '{}', '{}')
                """
            catalogue.execute(statement, [org_id, new_id(), org_id, now, now])
        case "api_key_uses":
            statement = """
                INSERT INTO api_key_uses (org_id, key_id, group_id, last_used_at, requests)
                SELECT org_id, id, group_id, %s, 1 FROM things WHERE type = 'api_key'"""
            catalogue.execute(statement, [now])
        case "usage_days":
            statement = """
                INSERT INTO usage_days (org_id, key_id, group_id, day, operation, status_class, calls)
                SELECT org_id, id, group_id, %s, 'GET /', 2, 1 FROM things WHERE type = 'api_key'"""
            catalogue.execute(statement, [now])
        case "search_log":
            statement = """
                INSERT INTO search_log (org_id, id, group_id, actor_id, purpose, source, query, kinds, hits, found,
                    timestamp)
                VALUES (%s, %s, %s, 'a', 'search', 'api', 'q', '{}', 0, false, %s)"""
            catalogue.execute(statement, [org_id, new_id(), org_id, now])
        case "usage_patterns":
            statement = "INSERT INTO usage_patterns VALUES (%s, '{}', 'GET /v1/whoami', %s, 1, %s)"
            catalogue.execute(statement, [org_id, org_id, now])
        case "pattern_changes":
            catalogue.execute("INSERT INTO pattern_changes VALUES (%s, %s)", [org_id, org_id])
        case "usage_sessions":
            statement = """
                INSERT INTO usage_sessions (org_id, key_id, group_id, recent, last_call)
                SELECT org_id, id, group_id, '{}', %s FROM things WHERE type = 'api_key'"""
            catalogue.execute(statement, [new_id()])
        case "idempotency_records":
            statement = "INSERT INTO idempotency_records VALUES (%s, %s, 'k', %s, '', 200, 'x', '', %s)"
            catalogue.execute(statement, [org_id, new_id(), org_id, now])
        case "invitations":
            statement = """
                INSERT INTO invitations (org_id, id, group_id, email, role, created_at, expires_at, created_by, digest)
                VALUES (%s, %s, %s, 'e', 'customer', %s, %s, 'a', 'd')"""
            catalogue.execute(statement, [org_id, new_id(), org_id, now, now])
        case "portal_sessions":
            statement = """
                INSERT INTO portal_sessions (digest, org_id, person_id, created_at, expires_at)
                SELECT 'd', org_id, id, %s, %s FROM people"""
            catalogue.execute(statement, [now, now])
        case _:
            return


async def test_what_a_transaction_states_ends_with_it(settings: Settings) -> None:
    """On the same pooled connection, which the next request of a stranger may get."""
    engine = create_engine(settings)
    try:
        org_id = await _register(engine, "ada@example.com")
        actor = owner_actor(org_id, new_id())
        backends: set[int] = set()
        for _ in range(3):
            async with open_transaction(engine, actor) as session:
                seen = (await run_sql(session, text("SELECT pg_backend_pid(), count(*) FROM groups"))).one()
                assert seen[1] == 1
            async with engine.begin() as connection:
                after = (await connection.execute(text("SELECT pg_backend_pid(), count(*) FROM groups"))).one()
                assert after[1] == 0
                backends |= {seen[0], after[0]}
        assert len(backends) == 1
    finally:
        await engine.dispose()


def test_foreign_keys_between_rows_of_tenants_carry_the_organisation(catalogue: Catalogue) -> None:
    query = """
        SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,
            (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),
            (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num)
        FROM pg_constraint c WHERE c.contype = 'f'"""
    keys = catalogue.execute(query).fetchall()
    assert keys
    for name, _, _, columns, references in keys:
        assert columns[0] == references[0] == "org_id", name


def test_every_reference_to_a_row_of_a_tenant_is_a_foreign_key(catalogue: Catalogue) -> None:
    query = """
        SELECT c.conrelid::regclass::text, a.attname::text FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) WHERE c.contype = 'f'"""
    checked = set(catalogue.execute(query).fetchall())
    references = {
        (name, column.name)
        for name, table in metadata.tables.items()
        for column in table.c
        if re.search(r"_id$", column.name) and str(column.type) == "CHAR(32)" and column.name != "org_id"
    }
    assert references
    assert references - checked == set(UNCHECKED_REFERENCES)


def test_unique_constraints_tell_nothing_across_organisations(catalogue: Catalogue) -> None:
    """A duplicate is an oracle: unique over all organisations are only random values, and the e-mail of an account."""
    query = """
        SELECT i.indrelid::regclass::text, (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.indisunique AND n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relispartition"""
    found = {(table, tuple(columns)) for table, columns in catalogue.execute(query) if "org_id" not in columns}
    random = {(table, ("id",)) for table in TABLES if "id" in metadata.tables[table].c} - {
        ("request_log", ("id",)),
        ("search_log", ("id",)),
    }
    allowed = {
        ("groups", ("handle",)),
        ("accounts", ("email",)),
        ("api_key_secrets", ("digest",)),
        ("api_key_uses", ("key_id",)),
        ("portal_sessions", ("digest",)),
        ("invitations", ("digest",)),
        ("alembic_version", ("version_num",)),
    }
    assert found == random | allowed


def test_every_model_of_a_tenant_row_is_among_these_tables() -> None:
    models = {model.__tablename__ for model in _models(TenantRow)}
    assert models <= set(TABLES)


def _models(base: type) -> list[type]:
    below = [model for child in base.__subclasses__() for model in (child, *_models(child))]
    return [model for model in below if getattr(model, "__table__", None) is not None]
