"""Create the six dimensions, credentials and logs, and wall them off by row-level security."""

from pathlib import Path

from alembic import op

revision = "2026_11_24_create_dimensions"
down_revision = None
branch_labels = None
depends_on = None

# Within reach: the organisation is the actor's, and the group the actor's own or one below it. The subselects are
# evaluated once per statement, so an index on (org_id, …) serves the policy.
_REACH = """
    org_id = (SELECT app_org()) AND (
        (SELECT app_group()) = (SELECT app_org())
        OR {column} IN (
            SELECT descendant_id FROM group_closure
            WHERE org_id = (SELECT app_org()) AND ancestor_id = (SELECT app_group())
        )
    )"""
_SHARED = """
    (visibility = 'public' AND org_id = '00000000-0000-0000-0000-000000000000')
    OR (visibility = 'subtree' AND org_id = (SELECT app_org()) AND group_id IN (
        SELECT ancestor_id FROM group_closure
        WHERE org_id = (SELECT app_org()) AND descendant_id = (SELECT app_group())
    ))"""

_TABLES = (
    "groups",
    "group_closure",
    "people",
    "things",
    "connections",
    "events",
    "request_log",
    "knowledge_items",
    "api_key_secrets",
    "api_key_uses",
    "idempotency_records",
    "accounts",
    "portal_sessions",
)
_PLAIN = ("people", "things", "connections", "events", "idempotency_records", "api_key_uses", "api_key_secrets")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(script)
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table in _PLAIN:
        _allow(table, "reach", "ALL", _REACH.format(column="group_id"))
    _allow("groups", "reach", "ALL", _REACH.format(column="id"))
    _allow("group_closure", "organisation", "ALL", "org_id = (SELECT app_org())")
    _allow("request_log", "reach", "SELECT", _REACH.format(column="group_id"))
    _allow("request_log", "duty", "INSERT", _duty("request_log"))
    _allow("api_key_uses", "duty", "ALL", _duty("request_log"))
    _allow("idempotency_records", "duty", "ALL", _duty("housekeeping"))
    _allow("portal_sessions", "duty", "ALL", _duty("housekeeping"))
    _allow("knowledge_items", "reach", "ALL", _REACH.format(column="group_id"))
    _allow("knowledge_items", "shared", "SELECT", _SHARED)
    _allow("knowledge_items", "duty", "ALL", _duty("indexing"))
    _allow("group_closure", "duty", "SELECT", _duty("indexing"))
    _allow("api_key_secrets", "holder", "SELECT", "digest = decode((SELECT app_setting('key_digest')), 'hex')")
    _allow("accounts", "organisation", "ALL", "org_id = (SELECT app_org())")
    _allow("accounts", "holder", "SELECT", "email = (SELECT app_setting('email'))")
    _allow("portal_sessions", "organisation", "ALL", "org_id = (SELECT app_org())")
    _allow("portal_sessions", "holder", "SELECT", "digest = decode((SELECT app_setting('session_digest')), 'hex')")


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")


def _allow(table: str, name: str, command: str, condition: str) -> None:
    using = "" if command == "INSERT" else f"USING ({condition})"
    check = "" if command == "SELECT" else f"WITH CHECK ({condition})"
    op.execute(f"CREATE POLICY {table}_{name} ON {table} FOR {command} {using} {check}")


def _duty(name: str) -> str:
    return f"(SELECT app_setting('duty')) = '{name}'"
