"""Count calls by key, day, operation and class of status, as they are stored, so that nobody has to count the log.

The duty that stores calls may see them too: it counts those that were new. Calls that are in the log already are
counted here, once; the log stays locked against new ones until commit.
"""

from alembic import op

revision = "2026_11_27_0700_count_usage"
down_revision = "2026_11_27_0640_add_entries"
branch_labels = None
depends_on = None

# What a group reaches, as in the first migration.
_REACH = """
    org_id = (SELECT app_org()) AND (
        (SELECT app_group()) = (SELECT app_org())
        OR group_id IN (
            SELECT descendant_id FROM group_closure
            WHERE org_id = (SELECT app_org()) AND ancestor_id = (SELECT app_group())
        )
    )"""
_SCRIPT = """
CREATE TABLE usage_days (
    org_id UUID NOT NULL,
    key_id UUID NOT NULL,
    day DATE NOT NULL,
    operation TEXT NOT NULL,
    status_class SMALLINT NOT NULL,
    group_id UUID NOT NULL,
    calls BIGINT NOT NULL,
    CONSTRAINT pk_usage_days PRIMARY KEY (org_id, key_id, day, operation, status_class),
    CONSTRAINT fk_usage_days_org_id_group_id FOREIGN KEY (org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_usage_days_org_id_key_id FOREIGN KEY (org_id, key_id) REFERENCES things (org_id, id)
);
CREATE INDEX ix_usage_days_org_id_day ON usage_days (org_id, day);
ALTER TABLE api_key_uses ALTER COLUMN requests TYPE BIGINT;

LOCK TABLE request_log IN SHARE MODE;
ALTER TABLE request_log NO FORCE ROW LEVEL SECURITY;
INSERT INTO usage_days (org_id, group_id, key_id, day, operation, status_class, calls)
SELECT org_id, (array_agg(group_id))[1], key_id, timezone('UTC', timestamp)::date, left(endpoint, 200), status / 100,
    count(*)
FROM request_log WHERE key_id IS NOT NULL AND endpoint IS NOT NULL AND status IS NOT NULL
GROUP BY org_id, key_id, 4, 5, 6;
ALTER TABLE request_log FORCE ROW LEVEL SECURITY;

ALTER TABLE usage_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_days FORCE ROW LEVEL SECURITY;
CREATE POLICY usage_days_reach ON usage_days FOR SELECT USING (<reach>);
CREATE POLICY usage_days_duty ON usage_days FOR ALL
    USING ((SELECT app_setting('duty')) = 'request_log') WITH CHECK ((SELECT app_setting('duty')) = 'request_log');
CREATE POLICY request_log_stored ON request_log FOR SELECT USING ((SELECT app_setting('duty')) = 'request_log');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT.replace("<reach>", _REACH))


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
