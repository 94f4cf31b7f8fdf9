"""Let entries of OpenAPI documents have external ids of their own beside those of the group's documents."""

from alembic import op

revision = "2026_11_27_0640_add_entries"
down_revision = "2026_11_25_1800_find_leaked_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("DROP INDEX uq_knowledge_items_org_id_group_id_external_id")
    op.execute(
        "CREATE UNIQUE INDEX uq_knowledge_items_org_id_group_id_external_id "
        "ON knowledge_items (org_id, group_id, external_id) WHERE knowledge_type = 'document' "
        "AND document_id IS NULL AND external_id IS NOT NULL AND deleted_at IS NULL"
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_knowledge_items_org_id_document_id_kind_external_id "
        "ON knowledge_items (org_id, document_id, kind, external_id) "
        "WHERE knowledge_type = 'document' AND document_id IS NOT NULL AND deleted_at IS NULL"
    )


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
