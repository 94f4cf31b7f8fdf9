"""Let events be filtered by key and calls by endpoint and status, both be followed as committed, and old calls go.

`written` is the number of the transaction that wrote a row: it tells in which order rows became visible, which ids
and times, made before the commit, do not. The generated columns rewrite the request log once.
"""

from alembic import op

revision = "2026_11_25_1720_follow_events"
down_revision = "2026_11_24_create_dimensions"
branch_labels = None
depends_on = None

_SCRIPT = """
ALTER TABLE events ADD COLUMN key_id UUID, ADD COLUMN written BIGINT;
ALTER TABLE events ALTER COLUMN written SET DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX ix_events_org_id_key_id_id ON events (org_id, key_id, id);
CREATE INDEX ix_events_org_id_written ON events (org_id, written);

ALTER TABLE request_log ADD COLUMN key_id UUID, ADD COLUMN written BIGINT,
    ADD COLUMN endpoint TEXT GENERATED ALWAYS AS ((metadata ->> 'method') || ' ' || (metadata ->> 'endpoint')) STORED,
    ADD COLUMN status INTEGER GENERATED ALWAYS AS ((metadata ->> 'statusCode')::integer) STORED,
    ADD COLUMN latency_ms FLOAT GENERATED ALWAYS AS ((metadata ->> 'latency')::float) STORED;
ALTER TABLE request_log ALTER COLUMN written SET DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX ix_request_log_org_id_group_id_id ON request_log (org_id, group_id, id);
CREATE INDEX ix_request_log_org_id_endpoint_id ON request_log (org_id, endpoint, id);
CREATE INDEX ix_request_log_org_id_refused_id ON request_log (org_id, id) WHERE status >= 400;
CREATE INDEX ix_request_log_org_id_written ON request_log (org_id, written);

-- Only the owner of the tables may delete calls, and only when it says that this is what it is doing.
CREATE POLICY request_log_retention ON request_log FOR ALL
    USING ((SELECT app_setting('duty')) = 'retention') WITH CHECK ((SELECT app_setting('duty')) = 'retention');
CREATE POLICY groups_retention ON groups FOR SELECT USING ((SELECT app_setting('duty')) = 'retention');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT)


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
