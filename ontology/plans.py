"""Plans: how many requests and how many resources an organisation may use. None means without limit."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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


def describe_allowance(plan: Plan) -> dict[str, Any]:
    """What the organisation's quota, a thing of type `api_quota`, says of a plan; -1 is without limit."""
    limits = PLAN_LIMITS[plan]
    return {
        "tier": plan,
        "limits": {
            "requestsPerMinute": limits.requests_per_minute,
            "requestsPerDay": limits.requests_per_day,
            "maxGroupsPerOrg": -1 if limits.sub_groups_max is None else limits.sub_groups_max,
            "maxEntitiesPerGroup": -1 if limits.things_per_group_max is None else limits.things_per_group_max,
        },
    }
