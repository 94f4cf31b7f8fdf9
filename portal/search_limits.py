"""How often a visitor may ask what costs a search: people by who they are, anybody else by the network address.

Far more than somebody who types and reads needs. A program that searches has a key, and the limits of its plan.
"""

from enum import StrEnum
from typing import Any

from litestar import Request, Response

from ontology.addresses import find_subscriber
from ontology.limits import count_attempt
from ontology.log_lines import get_logger
from ontology.redis_client import RedisError
from portal.sessions import Visitor

WINDOW_SECONDS = 60
TOO_MANY = "Too many searches in a short time. Wait a minute, then go on; the documentation can be read meanwhile."
_log = get_logger(__name__)


class Asking(StrEnum):
    """What is counted together: searches as one types count like those one sends, an answer takes more of a machine."""

    SEARCH = "search"
    ANSWER = "answer"


LIMITS = {Asking.SEARCH: 120, Asking.ANSWER: 30}


async def may_ask(request: Request[Any, Any, Any], visitor: Visitor, kind: Asking) -> bool:
    """Count one more; False when there were too many in the minute. While Redis is away nobody is counted."""
    address: str = request.scope["state"]["client_ip"]
    member = visitor.signed_in
    name = member.actor.id if member else find_subscriber(address) or "unknown"
    try:
        return await count_attempt(visitor.services.redis, f"{kind}:{name}", limit=LIMITS[kind], seconds=WINDOW_SECONDS)
    except RedisError as error:
        _log.warning("searches are not counted", exc_info=error)
        return True


def ask_to_wait(answer: Response[str]) -> Response[str]:
    """The same page, as an answer to one request too many."""
    answer.status_code = 429
    answer.headers["retry-after"] = str(WINDOW_SECONDS)
    return answer
