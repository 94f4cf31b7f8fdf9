"""Let the worker tell each group its own most common patterns as items that its search finds.

They are of a type of their own, `pattern`, beside what people wrote: the duty that learns may touch no other row of
knowledge. What was counted before this has been seen on one day.
"""

from alembic import op

revision = "2026_11_27_1730_tell_patterns"
down_revision = "2026_11_27_1330_fewer_indexes"
branch_labels = None
depends_on = None

_DUTY = "(SELECT app_setting('duty')) = 'patterns'"
_SCRIPT = """
ALTER TABLE usage_patterns ADD COLUMN first_seen DATE NOT NULL DEFAULT CURRENT_DATE;
CREATE INDEX ix_usage_patterns_org_id_group_id ON usage_patterns (org_id, group_id) WHERE cardinality(after) >= 2;

CREATE TABLE pattern_changes (
    org_id UUID NOT NULL,
    group_id UUID NOT NULL,
    CONSTRAINT pk_pattern_changes PRIMARY KEY (org_id, group_id),
    CONSTRAINT fk_pattern_changes_org_id_group_id FOREIGN KEY (org_id, group_id) REFERENCES groups (org_id, id)
);
ALTER TABLE pattern_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE pattern_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY pattern_changes_duty ON pattern_changes FOR ALL USING (<duty>) WITH CHECK (<duty>);

ALTER TABLE knowledge_items DROP CONSTRAINT ck_knowledge_items_knowledge_type;
ALTER TABLE knowledge_items ADD CONSTRAINT ck_knowledge_items_knowledge_type
    CHECK (knowledge_type IN ('label', 'document', 'chunk', 'vector_only', 'pattern'));
CREATE UNIQUE INDEX uq_knowledge_items_pattern ON knowledge_items (org_id, group_id, external_id)
    WHERE knowledge_type = 'pattern' AND deleted_at IS NULL;
DROP INDEX ix_knowledge_items_pending;
CREATE INDEX ix_knowledge_items_pending ON knowledge_items (updated_at)
    WHERE knowledge_type <> 'chunk' AND indexed_version < version;
CREATE POLICY knowledge_items_patterns ON knowledge_items FOR ALL
    USING (<duty> AND knowledge_type = 'pattern') WITH CHECK (<duty> AND knowledge_type = 'pattern');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT.replace("<duty>", _DUTY))


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
