"""Reports of leaked keys: by their owner (`/v1/leaks`), by anybody (`/leaks`), and by GitHub (`/leaks/github`)."""

import asyncio
import hashlib
from typing import Any, cast

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from pydantic import ValidationError

from api import examples
from api.api_keys import raise_epoch
from api.flaws import describe_flaws
from api.github_signatures import check_signature
from api.inputs import JSON_TYPES
from api.operations import Call, NoQuery, operation
from api.services import Services
from api.strict_json import parse_json
from ontology import leaks
from ontology.addresses import find_subscriber
from ontology.errors import Flaw, InvalidRequest, NotFound, RateLimitExceeded, ServiceUnavailable, UnsupportedMediaType
from ontology.leaks import Finding, Leak, LeakReport, LeakSource, end_leaked_keys
from ontology.limits import count_attempt
from ontology.records import utc_now
from ontology.redis_client import RedisError
from ontology.scopes import Scope

REPORTS_PER_HOUR = 20
ALERT_BYTES_MAX = 10_000_000
_HOUR_SECONDS = 3_600


@operation(
    "POST",
    "/v1/leaks",
    id="reportLeak",
    tag="API keys",
    scope=Scope.API_KEYS_MANAGE,
    body=LeakReport,
    answer=Leak,
    errors=(NotFound,),
    body_example=examples.LEAK_REPORT,
    answer_example=examples.LEAK,
    after_commit=raise_epoch,
    takes_keys=True,
)
async def report_leak(call: Call[LeakReport, NoQuery]) -> Leak:
    """Report a leaked API key.

    One of your own: it is revoked, or ends within a day, as the setting `leakedKeys` of your organisation says.
    """
    pepper = call.services.settings.key_pepper
    return await leaks.report_own_leak(call.session, call.actor, call.body, pepper=pepper, now=utc_now())


@post("/leaks", opt={"public": True}, status_code=202)
async def report_anonymously(request: Request[Any, Any, Any]) -> Response[dict[str, bool]]:
    """Take a report from anybody; the answer is the same whether the key exists or not."""
    services: Services = request.app.state.services
    await _count_report(services, request.scope["state"]["client_ip"])
    try:
        report = LeakReport.model_validate(parse_json(await _read_json(request)))
    except ValidationError as error:
        raise InvalidRequest(flaws=describe_flaws(error, "body", LeakReport)) from None
    await _end(services, {report.key: Finding(LeakSource.PUBLIC, report.url)})
    return Response({"received": True}, status_code=202, headers={"cache-control": "no-store"})


@post("/leaks/github", opt={"public": True}, status_code=200, request_max_body_size=ALERT_BYTES_MAX)
async def take_github_alert(request: Request[Any, Any, Any]) -> Response[list[dict[str, str]]]:
    """Take an alert of GitHub's secret scanning, and say of each match whether it was a key of ours."""
    services: Services = request.app.state.services
    body = await request.body()
    key_id = request.headers.get("github-public-key-identifier")
    signature = request.headers.get("github-public-key-signature")
    check_signature(body, key_id, signature, services.settings.github_public_keys)
    matches = _read_matches(await asyncio.to_thread(parse_json, body))
    real = await _end(services, {match["token"]: Finding(LeakSource.GITHUB, match["url"]) for match in matches})
    answer = [
        {
            "token_hash": hashlib.sha256(match["token"].encode()).hexdigest(),
            "token_type": match["type"],
            "label": "true_positive" if match["token"] in real else "false_positive",
        }
        for match in matches
    ]
    return Response(answer, status_code=200, headers={"cache-control": "no-store"})


def _read_matches(value: Any) -> list[dict[str, str]]:
    """Raises: InvalidRequest: not a list of matches, each with a token."""
    if not isinstance(value, list):
        raise InvalidRequest(flaws=[Flaw("body", "must be a list", "send the matches of the alert")])
    found: list[dict[str, str]] = []
    for index, item in enumerate(cast("list[Any]", value)):
        match = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        if not isinstance(match.get("token"), str):
            raise InvalidRequest(flaws=[Flaw(f"body[{index}].token", "is required", "send the text that was found")])
        found.append({name: str(match.get(name) or "") for name in ("token", "type", "url")})
    return found


async def _count_report(services: Services, address: str) -> None:
    subscriber = find_subscriber(address) or "unknown"
    if not await count_attempt(services.redis, f"leaks:{subscriber}", limit=REPORTS_PER_HOUR, seconds=_HOUR_SECONDS):
        raise RateLimitExceeded(
            f"At most {REPORTS_PER_HOUR} reports in an hour are taken from one address.",
            retry_after_seconds=_HOUR_SECONDS,
        )


async def _read_json(request: Request[Any, Any, Any]) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in JSON_TYPES:
        raise UnsupportedMediaType
    return await request.body()


async def _end(services: Services, found: dict[str, Finding]) -> set[str]:
    limiter, pepper = services.authenticator.limiter, services.settings.key_pepper
    try:
        return await end_leaked_keys(services.engine, limiter, found, pepper=pepper, now=utc_now())
    except RedisError:
        raise ServiceUnavailable("Not every process could be told; repeat the request.") from None


handlers = [report_leak]
public_handlers: list[HTTPRouteHandler] = [report_anonymously, take_github_alert]
