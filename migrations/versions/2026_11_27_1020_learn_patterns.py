"""Count which operations are called one after the other, for each group, and under the platform for everybody.

A worker of the version before does not know the tables; the first of this version begins with calls of 30 days.
"""

from alembic import op

revision = "2026_11_27_1020_learn_patterns"
down_revision = "2026_11_27_0930_switch_features"
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
_DUTY = "(SELECT app_setting('duty')) = 'patterns'"
_SCRIPT = """
CREATE TABLE usage_patterns (
    org_id UUID NOT NULL,
    after TEXT[] NOT NULL,
    operation TEXT NOT NULL,
    group_id UUID NOT NULL,
    times BIGINT NOT NULL,
    last_seen DATE NOT NULL,
    CONSTRAINT pk_usage_patterns PRIMARY KEY (org_id, after, operation, group_id),
    CONSTRAINT fk_usage_patterns_org_id_group_id FOREIGN KEY (org_id, group_id) REFERENCES groups (org_id, id)
);
CREATE INDEX ix_usage_patterns_last_seen ON usage_patterns (last_seen);
CREATE TABLE usage_sessions (
    org_id UUID NOT NULL,
    key_id UUID NOT NULL,
    group_id UUID NOT NULL,
    recent TEXT[] NOT NULL,
    last_call UUID NOT NULL,
    CONSTRAINT pk_usage_sessions PRIMARY KEY (org_id, key_id),
    CONSTRAINT fk_usage_sessions_org_id_group_id FOREIGN KEY (org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_usage_sessions_org_id_key_id FOREIGN KEY (org_id, key_id) REFERENCES things (org_id, id)
);
CREATE INDEX ix_usage_sessions_last_call ON usage_sessions (last_call);

ALTER TABLE usage_patterns ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_patterns FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY usage_patterns_reach ON usage_patterns FOR SELECT USING (<reach>);
CREATE POLICY usage_patterns_shared ON usage_patterns FOR SELECT
    USING (org_id = '00000000-0000-0000-0000-000000000000' AND (SELECT app_org()) IS NOT NULL);
CREATE POLICY usage_patterns_duty ON usage_patterns FOR ALL USING (<duty>) WITH CHECK (<duty>);
CREATE POLICY usage_sessions_duty ON usage_sessions FOR ALL USING (<duty>) WITH CHECK (<duty>);
CREATE POLICY request_log_patterns ON request_log FOR SELECT USING (<duty>);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT.replace("<reach>", _REACH).replace("<duty>", _DUTY))


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
