"""`/v1/usage`: calls by day, month, key, operation or class of status, of an organisation or of one key."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api import examples
from api.operations import Call, NoBody, operation
from api.parameters import PageQuery, Query, QueryInteger
from ontology import usage
from ontology.errors import NotFound
from ontology.ids import GroupId
from ontology.pagination import LIMIT_DEFAULT, Page
from ontology.records import utc_now
from ontology.scopes import Scope
from ontology.usage import KEYS_MAX, KeyUsage, UsageGrouping, UsageReport, UsageSpan

_TAG = "Usage"
_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")


def _read_day(value: Any) -> Any:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("day", "must be a day of this century, as in 2026-11-27")


Day = Annotated[
    date,
    BeforeValidator(_read_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DAY.pattern}$", "examples": ["2026-11-01"]}),
]


class KeyReportQuery(Query):
    """What to count by, and from which day to which."""

    by: Annotated[UsageGrouping, Field(description="What calls are counted by.")] = UsageGrouping.DAY
    since: Annotated[Day, Field(description="The first day (UTC); 30 days in all if absent.")] | None = None
    until: Annotated[Day, Field(description="The last day (UTC); today if absent.")] | None = None

    def span(self) -> UsageSpan:
        return UsageSpan.of(self.since, self.until, utc_now().date())


class ReportQuery(KeyReportQuery):
    """The same, for one group."""

    group_id: Annotated[GroupId | None, Field(description="Only calls with keys of this very group.")] = None


class KeyUsageQuery(PageQuery):
    """A page of keys, which may be a long one."""

    limit: Annotated[QueryInteger, Field(ge=1, le=KEYS_MAX, description="Keys in the page.")] = LIMIT_DEFAULT


@operation(
    "GET",
    "/v1/usage",
    id="getUsage",
    tag=_TAG,
    scope=Scope.QUOTA_VIEW,
    query=ReportQuery,
    answer=UsageReport,
    errors=(NotFound,),
    answer_example=examples.USAGE,
)
async def get_usage(call: Call[NoBody, ReportQuery]) -> UsageReport:
    """Get usage.

    Calls with the keys of the key's group and every group below it: ever, this month, in the last seven days, and by
    `by` from `since` to `until`. A call is counted within two seconds of its answer, once, and stays counted when its
    event is forgotten.
    """
    query = call.query
    return await usage.report_usage(call.session, call.actor, query.by, query.span(), utc_now(), query.group_id)


@operation(
    "GET",
    "/v1/usage/keys",
    id="listKeyUsage",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    query=KeyUsageQuery,
    answer=KeyUsage,
    shape="page",
    answer_example=examples.KEY_USAGE,
)
async def list_key_usage(call: Call[NoBody, KeyUsageQuery]) -> Page[KeyUsage]:
    """List the usage of keys.

    Every key of the key's group and the groups below it, newest first, unused and revoked ones too, with its calls
    ever, this month and in the last seven days. One answer holds up to ten thousand keys.
    """
    return await usage.list_key_usage(call.session, call.actor, call.page(call.query), utc_now())


@operation(
    "GET",
    "/v1/api-keys/{keyId}/usage",
    id="getApiKeyUsage",
    tag=_TAG,
    scope=Scope.API_KEYS_MANAGE,
    path_ids={"keyId": "thing"},
    query=KeyReportQuery,
    answer=UsageReport,
    errors=(NotFound,),
    answer_example=examples.USAGE,
)
async def get_api_key_usage(call: Call[NoBody, KeyReportQuery]) -> UsageReport:
    """Get the usage of an API key.

    Its calls ever, this month, in the last seven days, and by `by` from `since` to `until`.
    """
    query, key_id = call.query, call.ids["keyId"]
    return await usage.report_key_usage(call.session, call.actor, key_id, query.by, query.span(), utc_now())


handlers = [get_usage, list_key_usage, get_api_key_usage]
