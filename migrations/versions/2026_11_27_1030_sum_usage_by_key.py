"""Keep each key's calls of its last 31 days in one place, so that the usage of ten thousand keys is ten thousand rows.

Calls that a worker of the version before stores while this one starts are missing in these sums until their day leaves
the month; in `usage_days` they are not.
"""

from alembic import op

revision = "2026_11_27_1030_sum_usage_by_key"
down_revision = "2026_11_27_1020_learn_patterns"
branch_labels = None
depends_on = None

_SCRIPT = """
ALTER TABLE api_key_uses ADD COLUMN day_calls JSONB NOT NULL DEFAULT '{}';

-- Calls by day, as {"2026-11-27": 12}: those of both, of the 31 days up to the newest.
CREATE FUNCTION add_day_calls(one jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(jsonb_object_agg(day, calls), '{}') FROM (
        SELECT day, sum(calls::bigint) AS calls, max(day) OVER () AS newest
        FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS found (day, calls)
        GROUP BY day
    ) AS summed
    WHERE day::date > newest::date - 31
$$;

ALTER TABLE usage_days NO FORCE ROW LEVEL SECURITY;
ALTER TABLE api_key_uses NO FORCE ROW LEVEL SECURITY;
UPDATE api_key_uses SET day_calls = add_day_calls(found.day_calls, '{}')
FROM (
    SELECT key_id, jsonb_object_agg(day, calls) AS day_calls
    FROM (SELECT key_id, day, sum(calls) AS calls FROM usage_days WHERE day > current_date - 40 GROUP BY 1, 2) AS days
    GROUP BY 1
) AS found
WHERE found.key_id = api_key_uses.key_id;
ALTER TABLE usage_days FORCE ROW LEVEL SECURITY;
ALTER TABLE api_key_uses FORCE ROW LEVEL SECURITY;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.get_bind().exec_driver_sql(_SCRIPT)


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")
