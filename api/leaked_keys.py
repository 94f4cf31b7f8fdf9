"""Keys that stand in our own requests' addresses or bodies: treated as leaked, and never logged."""

from typing import Any
from urllib.parse import unquote

from sqlalchemy.exc import SQLAlchemyError

from api.services import Services
from ontology.errors import Flaw, InvalidRequest
from ontology.key_secrets import MARK, find_keys
from ontology.leaks import Finding, LeakSource, end_leaked_keys
from ontology.log_lines import get_logger
from ontology.records import utc_now
from ontology.redis_client import RedisError

_log = get_logger(__name__)
_MARK_BYTES = MARK.encode()
_FIX = "send keys in the header `Authorization` only; a real key that stands anywhere else is treated as leaked"
_ENDED = (
    "whoever reads the histories and logs where it now stands could use it, so it was ended (at once or, where its "
    "organisation wants that, within 24 hours); make another, and send keys in the header `Authorization` only"
)


def find_keys_in_address(path: str, query: bytes) -> list[str]:
    """Keys in a decoded path or a query string, whether percent-encoded or not."""
    text = query.decode("latin-1")
    return find_keys(f"{path} {text}") or find_keys(unquote(text))


async def end_keys_in_address(services: Services, keys: list[str], place: str) -> InvalidRequest:
    """End those that are real; the refusal says so. It is one either way, so trouble of ours is logged and not told."""
    real: set[str] = set()
    try:
        real = await _end(services, keys, Finding(LeakSource.ADDRESS, place))
    except (SQLAlchemyError, OSError, RedisError) as error:
        _log.error("a key in an address could not be ended", exc_info=error)
    return InvalidRequest(flaws=[Flaw("path", "holds an API key", _ENDED if real else _FIX)])


async def refuse_keys_in_body(services: Services, body: bytes, place: str) -> None:
    """End the keys that stand in a body.

    Raises:
        InvalidRequest: at least one is real; it is ended, and the body is not stored.
    """
    if _MARK_BYTES not in body or not (keys := find_keys(body.decode("utf-8", "replace"))):
        return
    if await _end(services, keys, Finding(LeakSource.BODY, place)):
        raise InvalidRequest(flaws=[Flaw("body", "holds an API key", _FIX)])


async def _end(services: Services, keys: list[str], finding: Finding) -> set[str]:
    limiter, pepper = services.authenticator.limiter, services.settings.key_pepper
    found = dict.fromkeys(keys, finding)
    return await end_leaked_keys(services.engine, limiter, found, pepper=pepper, now=utc_now())


def describe_place(scope: Any) -> str:
    """Method and path of a request; the keys in it are taken out where it is used."""
    return f"{scope['method']} {scope['path'][:300]}"
