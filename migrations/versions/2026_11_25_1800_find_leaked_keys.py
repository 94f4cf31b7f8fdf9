"""Let the duty `leaks` find keys by their digests, so that an alert of thousands is answered with a few queries."""

from alembic import op

revision = "2026_11_25_1800_find_leaked_keys"
down_revision = "2026_11_25_1740_index_entities"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute(
        "CREATE POLICY api_key_secrets_duty ON api_key_secrets FOR SELECT "
        "USING ((SELECT app_setting('duty')) = 'leaks')"
    )


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
