"""Let an organisation switch feature sets of the vocabulary on; none is to begin with."""

from alembic import op

revision = "2026_11_27_0930_switch_features"
down_revision = "2026_11_27_0700_count_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE groups ADD COLUMN feature_sets JSONB")


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
