"""Every right in the database, by catalogue and by trying: the program's role has those it needs and not one more."""

from collections.abc import Iterator
from typing import LiteralString, cast

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from ontology.records import metadata
from portal.embedded_postgres import APP_ROLE, OWNER_ROLE
from tests.parts import Parts

Catalogue = psycopg.Connection[TupleRow]

APPEND_ONLY = {"events", "request_log"}
ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
# Of a search that was logged, which of its hits was opened is told later.
OPENED = ("search_log.opened_document_id", "search_log.opened_rank")
FUNCTIONS = {"app_setting", "app_org", "app_group", "add_day_calls"}
_OURS = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"


def _wanted() -> dict[str, set[str]]:
    """What the program's role may do with each relation; what is not named here, it may not touch."""
    rights = {name: {"SELECT", "INSERT"} if name in APPEND_ONLY else ROWS for name in metadata.tables}
    rights |= {"search_log": {"SELECT", "INSERT"}, **{name: {"UPDATE"} for name in OPENED}}
    return rights | {"alembic_version": {"SELECT"}}


def _rights(catalogue: Catalogue) -> set[tuple[str, str, str, bool]]:
    """Every right on a relation of any kind or on a column: who, on what, which, and whether it may be passed on."""
    query = f"""
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, c.relname,
               a.privilege_type, a.is_grantable
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
        WHERE n.nspname {_OURS}
        UNION ALL
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, c.relname || '.' || t.attname,
               a.privilege_type, a.is_grantable
        FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
             aclexplode(t.attacl) a
        WHERE n.nspname {_OURS}"""
    return {(who, what, right, passed) for who, what, right, passed in catalogue.execute(query.encode()).fetchall()}


def _excess(catalogue: Catalogue) -> set[tuple[str, str, str, bool]]:
    """Rights that nobody needs."""
    wanted = {(APP_ROLE, name, right, False) for name, rights in _wanted().items() for right in rights}
    return {each for each in _rights(catalogue) if each[0] != OWNER_ROLE} - wanted


def test_the_programs_role_has_the_rights_it_needs_and_nobody_else_has_any(catalogue: Catalogue) -> None:
    """Tables, partitions, views, sequences, and single columns of each."""
    held = {(what, right) for who, what, right, _ in _rights(catalogue) if who == APP_ROLE}
    assert held == {(name, right) for name, rights in _wanted().items() for right in rights}
    assert _excess(catalogue) == set()


def _execution(catalogue: Catalogue) -> set[tuple[str, bool, str]]:
    """Every function and procedure of ours: whether it acts as its owner, and the language it is written in."""
    query = f"""
        SELECT p.proname, p.prosecdef, l.lanname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang WHERE n.nspname {_OURS}"""
    return {(name, definer, language) for name, definer, language in catalogue.execute(query.encode()).fetchall()}


def test_no_function_does_what_its_caller_may_not(catalogue: Catalogue) -> None:
    assert _execution(catalogue) == {(name, False, "sql") for name in FUNCTIONS}
    others = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal", "SELECT count(*) FROM pg_event_trigger"
    for query in (*others, "SELECT count(*) FROM pg_rewrite WHERE ev_class::regclass::text !~ '^(pg_|information_)'"):
        assert catalogue.execute(query.encode()).fetchone() == (0,), query


def _defaults(catalogue: Catalogue) -> list[TupleRow]:
    """Rights that what is made later would have from the beginning."""
    return catalogue.execute(
        "SELECT defaclrole::regrole::text, defaclobjtype, defaclacl::text FROM pg_default_acl"
    ).fetchall()


def test_what_is_made_later_has_no_rights_by_itself(catalogue: Catalogue) -> None:
    assert _defaults(catalogue) == []


def test_the_programs_role_owns_nothing_and_bypasses_nothing(catalogue: Catalogue) -> None:
    query = """
        SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
               (SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid
                AND deptype = 'o'),
               (SELECT count(*) FROM pg_auth_members WHERE member = r.oid)
        FROM pg_roles r WHERE rolname = %s"""
    row = catalogue.execute(query, [APP_ROLE]).fetchone()
    assert row == (False, False, False, False, False, 0, 0)
    owner = catalogue.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = %s", [OWNER_ROLE]).fetchone()
    assert owner == (False, False)


def test_owned_things_of_every_kind_are_counted(catalogue: Catalogue) -> None:
    """What the test of the role above counts by is there for whoever does own something."""
    query = """
        SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
        WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = %s"""
    assert (catalogue.execute(query, [OWNER_ROLE]).fetchone() or (0,))[0] >= len(metadata.tables)


def test_every_relation_and_schema_belongs_to_the_owner(catalogue: Catalogue) -> None:
    query = f"""
        SELECT DISTINCT c.relowner::regrole::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname {_OURS}"""
    assert catalogue.execute(query.encode()).fetchall() == [(OWNER_ROLE,)]
    kinds = f"""
        SELECT DISTINCT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname {_OURS}"""
    found = {kind for (kind,) in catalogue.execute(kinds.encode()).fetchall()}
    assert found <= {"r", "p", "i", "I"}, "a sequence, a view or something else that has rights of its own"
    schemas = "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(%s, oid, 'CREATE')"
    assert catalogue.execute(schemas, [APP_ROLE]).fetchall() == []


def test_neither_role_belongs_to_another_or_has_settings_of_its_own(catalogue: Catalogue) -> None:
    """A member may become whom it belongs to; a setting of a role may turn row-level security off."""
    members = """
        SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members
        WHERE member >= 16384 OR roleid >= 16384"""
    assert catalogue.execute(members.encode()).fetchall() == []
    settings = "SELECT setrole, setconfig FROM pg_db_role_setting"
    assert catalogue.execute(settings.encode()).fetchall() == []


PLANTED = {
    "GRANT TRUNCATE ON things TO one_app": _excess,
    "GRANT UPDATE (type) ON events TO one_app": _excess,
    "GRANT SELECT ON things TO PUBLIC": _excess,
    "GRANT DELETE ON request_log TO one_app": _excess,
    "GRANT SELECT ON things TO one_app WITH GRANT OPTION": _excess,
    "CREATE SEQUENCE counted; GRANT USAGE ON SEQUENCE counted TO one_app": _excess,
    "CREATE VIEW seen AS SELECT * FROM things; GRANT SELECT ON seen TO one_app": _excess,
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO one_app": _defaults,
}


@pytest.mark.parametrize("statement", PLANTED)
def test_a_right_too_many_would_be_found(catalogue: Catalogue, statement: str) -> None:
    look = PLANTED[statement]
    assert not look(catalogue)
    with catalogue.transaction(force_rollback=True):
        catalogue.execute(statement.encode())
        assert look(catalogue)


def test_a_function_that_acts_as_its_owner_would_be_found(catalogue: Catalogue) -> None:
    with catalogue.transaction(force_rollback=True):
        catalogue.execute("CREATE FUNCTION all_things() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
        assert ("all_things", True, "sql") in _execution(catalogue)


@pytest.fixture
def as_program(parts: Parts, module_database: str) -> Iterator[Catalogue]:
    """A connection as the program has them."""
    with psycopg.connect(parts.postgres.url(APP_ROLE, module_database), autocommit=True) as connection:
        yield connection


ON_EVERY_TABLE = (
    "TRUNCATE {}",
    "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",
    "CREATE POLICY open ON {} USING (true)",
    "CREATE TRIGGER quiet BEFORE INSERT ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TABLE {} ADD COLUMN more text",
    "ALTER TABLE {} OWNER TO CURRENT_USER",
    "DROP TABLE {}",
)


@pytest.mark.parametrize("statement", ON_EVERY_TABLE)
def test_no_table_or_partition_can_be_emptied_opened_or_taken(
    catalogue: Catalogue, as_program: Catalogue, statement: str
) -> None:
    query = f"""
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname {_OURS} AND c.relkind IN ('r', 'p')"""
    tables = [name for (name,) in catalogue.execute(query.encode()).fetchall()]
    assert set(tables) > set(metadata.tables)
    for table in tables:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_program.transaction():
            as_program.execute(sql.SQL(cast("LiteralString", statement)).format(sql.Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE own (id int)",
        "CREATE TEMPORARY TABLE own (id int)",
        "CREATE SCHEMA own",
        "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE own",
        "CREATE DATABASE own",
        "ALTER ROLE one_app BYPASSRLS",
        "ALTER ROLE one_app SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "SET ROLE one_owner",
        "SET SESSION AUTHORIZATION one_owner",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/own'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT pg_reload_conf()",
        "SELECT lo_import('/etc/hostname')",
        "ALTER DEFAULT PRIVILEGES FOR ROLE one_owner GRANT ALL ON TABLES TO one_app",
        "ALTER FUNCTION app_org() OWNER TO one_app",
        "CREATE OR REPLACE FUNCTION app_org() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    ],
)
def test_the_programs_role_cannot_make_anything_or_become_anybody(as_program: Catalogue, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_program.execute(statement.encode())


def test_row_level_security_cannot_be_switched_off(as_program: Catalogue) -> None:
    """Switching it off is an error for whoever is bound by it, not a way around it."""
    as_program.execute("SET row_security = off")
    for table in metadata.tables:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_program.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table)))


@pytest.mark.parametrize("table", sorted(APPEND_ONLY))
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET org_id = org_id",
        "DELETE FROM {}",
        "SELECT id FROM {} FOR UPDATE",
        "INSERT INTO {} (id) SELECT id FROM {} ON CONFLICT (<key>) DO UPDATE SET type = 'x'",
        "MERGE INTO {} kept USING {} found ON kept.id = found.id WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM {} RETURNING 1) SELECT * FROM gone",
    ],
)
def test_no_statement_changes_what_happened(
    catalogue: Catalogue, as_program: Catalogue, table: str, statement: str
) -> None:
    """Not the table, and none of its partitions."""
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
    partitions = [name for (name,) in catalogue.execute(query, [table]).fetchall()]
    assert bool(partitions) == (table == "request_log")
    named = statement.replace("{}", "{name}").replace("<key>", "id, timestamp" if partitions else "id")
    for name in (table, *partitions):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_program.execute(sql.SQL(cast("LiteralString", named)).format(name=sql.Identifier(name)))


def test_of_a_logged_search_only_what_was_opened_can_be_changed(as_program: Catalogue) -> None:
    as_program.execute("UPDATE search_log SET opened_rank = 1")
    for statement in ("DELETE FROM search_log", "UPDATE search_log SET query = 'x'", "TRUNCATE search_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_program.execute(statement.encode())
