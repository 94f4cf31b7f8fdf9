"""Order the connections at each end of a thing: the newest of one are read without looking through all others."""

from alembic import op

revision = "2026_11_27_1140_order_ends"
down_revision = "2026_11_27_1040_log_searches"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for column in ("from_thing_id", "to_thing_id"):
        op.execute(f"CREATE INDEX ix_connections_org_id_{column}_id ON connections (org_id, {column}, id)")
        op.execute(f"DROP INDEX ix_connections_org_id_{column}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
