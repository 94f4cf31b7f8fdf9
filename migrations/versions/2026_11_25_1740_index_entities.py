"""Index what entities are sorted and filtered by, and keep the tag of an answer with the answer."""

from alembic import op

revision = "2026_11_25_1740_index_entities"
down_revision = "2026_11_25_1730_add_memberships"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE idempotency_records ADD COLUMN etag TEXT")
    for column in ("created_at", "updated_at", "name"):
        op.execute(f"CREATE INDEX ix_things_org_id_{column}_id ON things (org_id, {column}, id)")


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
