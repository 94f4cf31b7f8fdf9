"""Log searches: what was looked for, whether it was found, and which hit was opened.

The duty that stores them may see and mark them; only the owner of the table may delete them.
"""

from alembic import op

revision = "2026_11_27_1040_log_searches"
down_revision = "2026_11_27_1030_sum_usage_by_key"
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
CREATE TABLE search_log (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    actor_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    source TEXT NOT NULL,
    query TEXT NOT NULL,
    kinds TEXT[] NOT NULL,
    hits INTEGER NOT NULL,
    best_score FLOAT,
    found BOOLEAN NOT NULL,
    opened_document_id TEXT,
    opened_rank INTEGER,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_search_log PRIMARY KEY (org_id, id),
    CONSTRAINT fk_search_log_org_id_group_id FOREIGN KEY (org_id, group_id) REFERENCES groups (org_id, id)
);
CREATE INDEX ix_search_log_org_id_timestamp ON search_log (org_id, timestamp);

ALTER TABLE search_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_log FORCE ROW LEVEL SECURITY;
CREATE POLICY search_log_reach ON search_log FOR SELECT USING (<reach>);
CREATE POLICY search_log_duty ON search_log FOR ALL
    USING ((SELECT app_setting('duty')) = 'search_log') WITH CHECK ((SELECT app_setting('duty')) = 'search_log');
CREATE POLICY search_log_retention ON search_log FOR ALL
    USING ((SELECT app_setting('duty')) = 'retention') WITH CHECK ((SELECT app_setting('duty')) = 'retention');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT.replace("<reach>", _REACH))


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
