"""Plans: how many requests and how many resources an organisation may use. None means without limit."""

from dataclasses import dataclass
from enum import StrEnum


class Plan(StrEnum):
    STARTER = "starter"
    PRO = "pro"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """Rate limits in requests per window; quotas in live resources, managed types and the root group not counted."""

    requests_per_minute: int
    requests_per_day: int
    sub_groups_max: int | None
    things_per_group_max: int | None
    log_retention_days: int


PLAN_LIMITS = {
    Plan.STARTER: PlanLimits(60, 10_000, 10, 1_000, 30),
    Plan.PRO: PlanLimits(600, 100_000, 100, 50_000, 90),
    Plan.ENTERPRISE: PlanLimits(6_000, 1_000_000, None, None, 365),
}
