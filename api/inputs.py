"""What a call brings besides its key, read and checked in the order of the contract: nothing of it is ignored."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.types import Receive
from pydantic import BaseModel, ValidationError

from api.calls import Operation, RawBody
from api.flaws import describe_flaws
from api.headers import Headers
from api.leaked_keys import describe_place, refuse_keys_in_body
from api.negotiation import EVENT_STREAM, accepts
from api.parameters import NoQuery, parse_path_id, parse_query
from api.preconditions import Preconditions, parse_tags
from api.services import Services
from api.strict_json import parse_json
from api.versions import read_version
from ontology.errors import Flaw, InvalidRequest, NotAcceptable, PayloadTooLarge, UnsupportedMediaType
from ontology.idempotency import KEY_LENGTH_MAX, Intent, describe_intent

BODY_BYTES_MAX = 1_000_000
# A request that takes longer is late altogether (`api/late_answers.py`).
BODY_SECONDS = 8
JSON_TYPES = ("application/json", "application/merge-patch+json")
_VISIBLE = re.compile(r"[!-~]+")
_NO_QUERY = NoQuery()
_NO_PRECONDITIONS = Preconditions()


@dataclass(frozen=True, slots=True)
class Given:
    """The parts of a call, all of them checked; `intent` is that of its idempotency key."""

    ids: Mapping[str, UUID]
    query: Any
    body: Any
    intent: Intent | None
    asked: Preconditions
    dry_run: bool

    @property
    def is_plain(self) -> bool:
        """Whether the call wants nothing but the operation's effect and answer."""
        return self.intent is None and not self.dry_run and self.asked == _NO_PRECONDITIONS


async def read_given(request: Request[Any, Any, Any], services: Services, about: Operation) -> Given:
    """What a call of an operation brings.

    Raises:
        NotAcceptable, UnsupportedMediaType, PayloadTooLarge. InvalidRequest and its kinds: with the place of the flaw.
    """
    scope = request.scope
    state: dict[str, Any] = scope["state"]
    headers: Headers = state["headers"]
    _require_accepted(headers, about)
    state["version"] = read_version(headers.single("api-version"))
    raw = await _read_body(headers, request.receive, about)
    if not about.takes_keys:
        await refuse_keys_in_body(services, raw, describe_place(scope))
    query = _read_query(about, scope["query_string"])
    ids = {name: parse_path_id(name, kind, request.path_params[name]) for name, kind in about.path_ids.items()}
    body = await _parse_body(services, about, raw, query)
    return Given(
        ids,
        query,
        body,
        _read_intent(headers, about, scope, raw),
        _read_preconditions(headers) if about.conditional else _NO_PRECONDITIONS,
        about.can_run_dry and query.dry_run,
    )


def _require_accepted(headers: Headers, about: Operation) -> None:
    """Refuse a caller that does not take the form of the answer; several headers are one list (RFC 9110, 5.3)."""
    given = headers.all(b"accept")
    accepted = b", ".join(given).decode("latin-1")
    forms = (about.media_type, EVENT_STREAM) if about.streams else (about.media_type,)
    if given and not any(accepts(accepted, form) for form in forms):
        flaw = Flaw("header.Accept", "allows nothing this operation can answer", f"send `Accept: {about.media_type}`")
        raise NotAcceptable(flaws=[flaw])


async def _read_body(headers: Headers, receive: Receive, about: Operation) -> bytes:
    if about.body is None and about.raw_body is None:
        return b""
    expected = _list_media_types(about.raw_body)
    media_type = (headers.single("content-type") or "").partition(";")[0].strip().lower()
    encoding = headers.single("content-encoding")
    if media_type not in expected or encoding not in (None, "identity"):
        place = "header.Content-Encoding" if media_type in expected else "header.Content-Type"
        flaw = Flaw(place, "is not supported here", f"send uncompressed `{expected[0]}`")
        text = ", in UTF-8" if about.raw_body is None else ""
        raise UnsupportedMediaType(f"Send `Content-Type: {expected[0]}`, uncompressed{text}.", flaws=[flaw])
    if about.raw_body is not None:
        return await _receive_body(receive, about.raw_body.bytes_max, about.raw_body.seconds_max)
    return await _receive_body(receive, BODY_BYTES_MAX, BODY_SECONDS)


def _list_media_types(raw_body: RawBody | None) -> tuple[str, ...]:
    return JSON_TYPES if raw_body is None else (raw_body.media_type,)


async def _receive_body(receive: Receive, bytes_max: int, seconds_max: int) -> bytes:
    """Nothing is held while waiting, no connection of a pool above all, so a slow sender costs a socket and no more."""
    pieces: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(seconds_max):
            while (message := await receive())["type"] == "http.request":
                pieces.append(message["body"])
                length += len(message["body"])
                if length > bytes_max:
                    raise PayloadTooLarge
                if not message["more_body"]:
                    return b"".join(pieces)
        flaw = "ended early"
    except TimeoutError:
        flaw = f"did not arrive within {seconds_max} seconds"
    raise InvalidRequest(flaws=[Flaw("body", flaw, "send all of it")])


async def _parse_body(services: Services, about: Operation, raw: bytes, query: Any) -> Any:
    if about.raw_body is not None:
        return await about.raw_body.read(services, raw, query)
    return _parse(about.body, parse_json(raw), "body") if about.body is not None else None


def _read_query(about: Operation, text: bytes) -> Any:
    if about.query is None and not text:
        return _NO_QUERY
    return _parse(about.query or NoQuery, parse_query(text), "query")


def _parse(model: type[BaseModel], value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(flaws=describe_flaws(error, where, model)) from None


def _read_intent(headers: Headers, about: Operation, scope: Any, raw: bytes) -> Intent | None:
    if about.method != "POST" or (key := headers.single("idempotency-key")) is None:
        return None
    if not (len(key) <= KEY_LENGTH_MAX and _VISIBLE.fullmatch(key)):
        message = f"must be 1 to {KEY_LENGTH_MAX} visible ASCII characters"
        flaw = Flaw("header.Idempotency-Key", message, "send a UUID")
        raise InvalidRequest(flaws=[flaw])
    return describe_intent(key, about.method, scope["path"], scope["query_string"], raw)


def _read_preconditions(headers: Headers) -> Preconditions:
    return Preconditions(
        parse_tags("If-Match", headers.single("if-match"), strong=True),
        parse_tags("If-None-Match", headers.single("if-none-match"), strong=False),
    )
