"""How Postgres has read the tables of customers' rows, from its own counters."""

from dataclasses import dataclass
from time import sleep

from benchmarks.program import RunningProgram

# Processes report their counters within a second of their last transaction.
REPORTED_SECONDS = 2.0
# Below that reading all of it is the quickest way, and the plan is the same for everybody.
LARGE_ROWS = 10_000


@dataclass(frozen=True)
class Scans:
    """Scans so far: of whole tables, and by index."""

    whole: dict[str, int]
    by_index: dict[str, int]


def count_scans(program: RunningProgram) -> Scans:
    sleep(REPORTED_SECONDS)
    with program.owner_connection() as connection:
        tables = connection.execute(
            "SELECT pg_class.relname, seq_scan FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid "
            "WHERE reltuples >= %s",
            [LARGE_ROWS],
        ).fetchall()
        indexes = connection.execute("SELECT indexrelname, idx_scan FROM pg_stat_user_indexes").fetchall()
    return Scans(dict(tables), dict(indexes))


def find_new_scans(before: Scans, after: Scans) -> tuple[dict[str, int], dict[str, int]]:
    """Scans of whole large tables and of indexes since; only where there were any."""
    return _grown(before.whole, after.whole), _grown(before.by_index, after.by_index)


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in sorted(grown.items()) if count}
