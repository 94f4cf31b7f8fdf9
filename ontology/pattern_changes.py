"""Which groups' common patterns may have changed since search was told of them, and what is common in these groups.

Common is what a group did at least five times and on more than one day. Only the worker reads and writes here (duty
`patterns`); whoever counts or forgets a common pattern marks its group, and the mark goes with the telling.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Uuid, text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.database import run_sql
from ontology.records import TenantRow

OPERATIONS_MIN, TIMES_MIN = 3, 5
GROUPS_PER_CLAIM = 25
Operations = tuple[str, ...]


class PatternChange(TenantRow, table=True):
    """A group that search is to be told of anew."""

    __tablename__ = "pattern_changes"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),)
    org_id: UUID = Field(sa_type=Uuid, primary_key=True)
    group_id: UUID = Field(sa_type=Uuid, primary_key=True)


async def list_changed(session: AsyncSession) -> list[UUID]:
    """The organisations with such groups."""
    return list((await run_sql(session, _CHANGED)).scalars().all())


async def claim_common(session: AsyncSession, org_id: UUID, limit: int) -> dict[UUID, list[Operations]]:
    """Some of an organisation's marked groups, their marks taken away, with what is common in each; none: all are done.

    At most so many patterns each, the most common first. How common is told in powers of two, so that their order does
    not change with every call; of equally common ones the longer come first.
    """
    groups = (await run_sql(session, _CLAIM, {"org_id": org_id, "most": GROUPS_PER_CLAIM})).scalars().all()
    common: dict[UUID, list[Operations]] = {group_id: [] for group_id in groups}
    if common:
        values = {"org_id": org_id, "groups": list(common), "most": limit}
        found: Sequence[Any] = (await run_sql(session, _COMMON, values)).all()
        for group_id, after, operation in found:
            common[group_id].append((*after, operation))
    return common


_IS_COMMON = f"cardinality(after) >= {OPERATIONS_MIN - 1} AND times >= {TIMES_MIN} AND first_seen < last_seen"
# Locks a mark that is there: whoever tells the group next waits, and then reads what was counted with it.
MARK_CHANGED = (
    "INSERT INTO pattern_changes (org_id, group_id) "  # noqa: S608 - nothing of a caller's
    "SELECT DISTINCT org_id, group_id FROM changed "
    f"WHERE {_IS_COMMON} AND org_id <> '00000000-0000-0000-0000-000000000000' ORDER BY org_id, group_id "
    "ON CONFLICT (org_id, group_id) DO UPDATE SET group_id = excluded.group_id"
)
"""Marks the groups of the rows of `usage_patterns` that a statement calls `changed`."""
_CHANGED = text("SELECT DISTINCT org_id FROM pattern_changes ORDER BY org_id")
_CLAIM = text(
    "WITH claimed AS ("
    "SELECT group_id FROM pattern_changes WHERE org_id = :org_id ORDER BY group_id LIMIT :most FOR UPDATE SKIP LOCKED"
    ") DELETE FROM pattern_changes p USING claimed WHERE p.org_id = :org_id AND p.group_id = claimed.group_id "
    "RETURNING p.group_id"
)
# Served by the partial index `ix_usage_patterns_org_id_group_id`.
_COMMON = text(
    "SELECT group_id, after, operation FROM ("  # noqa: S608 - nothing of a caller's
    "SELECT group_id, after, operation, row_number() OVER ("
    "PARTITION BY group_id ORDER BY floor(ln(times) / ln(2)) DESC, cardinality(after) DESC, after, operation) AS place "
    f"FROM usage_patterns WHERE org_id = :org_id AND group_id = ANY(:groups) AND {_IS_COMMON}"
    ") ranked WHERE place <= :most ORDER BY group_id, place"
)
