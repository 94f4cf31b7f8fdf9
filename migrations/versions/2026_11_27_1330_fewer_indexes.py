"""Drop indexes that say what a unique constraint says, and index only the ends that are people and groups.

An index of all connections by an end that most of them lack reads as cheap as the right one while a table is young.
"""

from alembic import op

revision = "2026_11_27_1330_fewer_indexes"
down_revision = "2026_11_27_1140_order_ends"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for table in ("things", "connections", "people"):
        op.execute(f"DROP INDEX ix_{table}_org_id_id")
    for column in ("from_person_id", "to_person_id", "from_group_id", "to_group_id"):
        name = f"ix_connections_org_id_{column}"
        op.execute(f"DROP INDEX {name}")
        op.execute(f"CREATE INDEX {name} ON connections (org_id, {column}) WHERE {column} IS NOT NULL")


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
