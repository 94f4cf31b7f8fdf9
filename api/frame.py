"""Around every request: its id, its headers, its line in the request log, and what no route should have to see.

Plain ASGI and outermost, so that it also frames what the framework itself refuses.
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from api.cross_origin import sharing_headers
from api.headers import Headers
from api.late_answers import LARGE_BODY_BYTES, LateAnswers
from api.leaked_keys import describe_place, end_keys_in_address, find_keys_in_address
from api.problems import encode_problem, problem_headers
from api.services import Services
from api.versions import VERSIONS, Deprecation, deprecation_headers
from ontology.actors import Actor
from ontology.addresses import is_within, parse_network
from ontology.errors import Flaw, InvalidRequest, PayloadTooLarge, PortalError, ServiceUnavailable, UriTooLong
from ontology.ids import encode_id, new_id, random_suffix
from ontology.key_secrets import redact_keys
from ontology.limits import Decision, Layer
from ontology.log_lines import get_logger
from ontology.records import utc_now
from ontology.request_log import PLACES_MAX, LogEntry, RequestLog

URI_LENGTH_MAX = 8_000
HEADERS_MAX = 100
BODY_BYTES_MAX = 10_000_000
API_PREFIX = "/v1/"
# An ASGI connection scope; the specification leaves its values open.
HttpScope = Any
# A refusal as a page for people; None where it is for a program.
RenderPage = Callable[[HttpScope, PortalError], bytes | None]
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_log = get_logger(__name__)


def make_request_id() -> str:
    return f"req_{random_suffix()}"


def limit_headers(decision: Decision) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) for every layer, tightest first."""
    layers = sorted(decision.layers, key=_tightness)
    policy = ", ".join([f'"{layer.name}";q={layer.limit};w={layer.window_seconds}' for layer in layers])
    present = ", ".join([f'"{layer.name}";r={layer.remaining};t={layer.reset_seconds}' for layer in layers])
    headers = [(b"ratelimit-policy", policy.encode()), (b"ratelimit", present.encode())]
    if decision.degraded:
        headers.append((b"ratelimit-mode", b"degraded"))
    return headers


def _tightness(layer: Layer) -> float:
    return layer.remaining / layer.limit


class Frame:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, services: Services, render_page: RenderPage) -> None:
        self._app = app
        self._services = services
        self._render_page = render_page
        self._trusted = tuple(parse_network(text, strict=False) for text in services.settings.trusted_proxies)
        self._request_log = RequestLog(services.redis, services.engine, services.pipe)
        self._late_answers = LateAnswers()

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope["headers"])
        state: dict[str, Any] = {"request_id": make_request_id(), "headers": headers}
        state["client_ip"] = self._client_ip(scope, headers)
        scope["state"] = state
        watch = _Watch(scope, send, self._log_request, self._render_page, self._services.settings.public_url)
        length = _read_length(headers)
        self._late_answers.begin(watch, length)
        if length > LARGE_BODY_BYTES:
            receive = self._late_answers.hear_all(watch, receive)
        try:
            if leaked := find_keys_in_address(scope["path"], scope.get("query_string", b"")):
                await watch.refuse(await end_keys_in_address(self._services, leaked, describe_place(scope)))
            elif (refusal := find_frame_flaw(scope)) is not None:
                await watch.refuse(refusal, last=True)
            else:
                await self._app(scope, receive, watch.send)
        finally:
            self._late_answers.end(watch)
            await watch.end()

    async def close(self) -> None:
        """Wait for entries still being written."""
        await self._request_log.close()

    def _client_ip(self, scope: HttpScope, headers: Headers) -> str:
        """The nearest address that is not a trusted proxy; forwarding headers of strangers change nothing."""
        client = scope.get("client")
        address = client[0] if client else ""
        if not is_within(address, self._trusted):
            return address
        forwarded = headers.all(b"x-forwarded-for")
        hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",") if hop.strip()]
        return next((hop for hop in reversed(hops) if not is_within(hop, self._trusted)), address)

    async def _log_request(self, scope: HttpScope, watch: "_Watch") -> None:
        """Before the answer's last byte leaves, so that whoever has an answer finds it in the log.

        A refusal belongs to the organisation whose key was sent, even where the key is revoked or no route was found.
        """
        if not scope["path"].startswith(API_PREFIX):
            return
        actor: Actor | None = scope["state"].get("actor")
        if actor is None:
            headers: Headers = scope["state"]["headers"]
            actor = await self._services.authenticator.identify(headers.first(b"authorization"), watch.status)
        if actor is None:
            if watch.status >= 400:  # a pre-flight is nobody's and no refusal
                _log.info("refused %s %s %s", watch.status, scope["method"], redact_keys(scope["path"])[:200])
            return
        await self._request_log.append(watch.describe(actor))


class _Watch:
    """Adds the headers every answer has, and remembers what the log wants to know."""

    def __init__(
        self,
        scope: HttpScope,
        send: Send,
        log: Callable[[HttpScope, "_Watch"], Awaitable[None]],
        render_page: RenderPage,
        public_url: str,
    ) -> None:
        self._scope = scope
        self._send = send
        self._log = log
        self._render_page = render_page
        self._logged = False
        self._public_url = public_url
        self._started = time.perf_counter()
        self._at = utc_now()
        self._bytes = 0
        self._latency_ms = 0.0
        self._is_late = False
        self.status = 0

    def is_answered(self) -> bool:
        return self.status != 0

    async def answer_late(self) -> None:
        """Answer for a handler that is still under way; what it says afterwards is heard by nobody.

        The log may be what is waited for, so it comes after the answer.
        """
        self._is_late = True
        _log.warning("late %s %s", self._scope["method"], redact_keys(self._scope["path"])[:200])
        await self.refuse(ServiceUnavailable())
        await self.end()

    async def refuse(self, refusal: PortalError, *, last: bool = False) -> None:
        """Answer with a problem document, or a page; the `last` of its connection if it is in doubt what follows it."""
        self._scope["state"]["refusal"] = refusal
        named = problem_headers(refusal)
        body = self._render_page(self._scope, refusal)
        if body is None:
            body = encode_problem(refusal, public_url=self._public_url, request_id=self._scope["state"]["request_id"])
        else:
            named["content-type"] = "text/html; charset=utf-8"
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        headers.append((b"content-length", str(len(body)).encode()))
        if last:
            headers.append((b"connection", b"close"))
        await self._pass({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._pass({"type": "http.response.body", "body": body, "more_body": False})

    async def send(self, message: Message) -> None:
        """What a handler answers, unless it was answered for."""
        if not self._is_late:
            await self._pass(message)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            headers.append((b"x-request-id", self._scope["state"]["request_id"].encode()))
            headers.extend(self._version_headers())
            decision: Decision | None = self._scope["state"].get("decision")
            if decision is not None:
                headers.extend(limit_headers(decision))
            if (origin := self._scope["state"].get("shared_with")) is not None:
                headers.extend(sharing_headers(origin))
            message["headers"] = headers
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
            if not message.get("more_body") and not self._is_late:
                await self.end()
        await self._send(message)

    def _version_headers(self) -> list[tuple[bytes, bytes]]:
        state = self._scope["state"]
        if not self._scope["path"].startswith(API_PREFIX):
            return []
        headers = [(b"api-version", state.get("version", VERSIONS[0]).encode())]
        deprecated: Deprecation | None = state.get("deprecated")
        return headers + (deprecation_headers(deprecated, self._public_url) if deprecated else [])

    async def end(self) -> None:
        """Log the call, once: before the last piece of its answer, or when it broke off."""
        if not self._logged:
            self._logged = True
            self._latency_ms = (time.perf_counter() - self._started) * 1000
            await self._log(self._scope, self)

    def describe(self, actor: Actor) -> LogEntry:
        scope = self._scope
        path = _CONTROL.sub("?", redact_keys(scope["path"]))[:500]
        refusal: PortalError | None = scope["state"].get("refusal")
        return LogEntry(
            id=new_id(),
            org_id=actor.org_id,
            group_id=actor.group_id,
            key_id=actor.key_id,
            actor_id=actor.id,
            key_thing_id=encode_id("thing", actor.key_id) if actor.key_id else None,
            at=self._at,
            request_id=scope["state"]["request_id"],
            method=scope["method"],
            endpoint=scope["state"].get("endpoint", path),
            status=self.status,
            latency_ms=self._latency_ms,
            payload_bytes=self._bytes,
            ip=scope["state"]["client_ip"],
            user_agent=_read_agent(scope["state"]["headers"]),
            path=path,
            error_code=refusal.code if refusal else None,
            error_places=tuple(flaw.location for flaw in refusal.flaws[:PLACES_MAX]) if refusal else (),
        )


def find_frame_flaw(scope: HttpScope) -> PortalError | None:
    """What is refused before routing: addresses and headers no operation could mean."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query: bytes = scope.get("query_string", b"")
    if len(raw_path) + len(query) > URI_LENGTH_MAX:
        return UriTooLong()
    if raw_path[:1] != b"/" or _BAD_ESCAPE.search(raw_path) or "\x00" in scope["path"] or "�" in scope["path"]:
        return InvalidRequest(flaws=[Flaw("path", "is not a valid address", "percent-encode UTF-8 text")])
    headers: Headers = scope["state"]["headers"]
    if headers.count > HEADERS_MAX:
        return InvalidRequest(flaws=[Flaw("header", f"there are more than {HEADERS_MAX} headers", "send fewer")])
    return _find_framing_flaw(headers, scope["http_version"]) or _find_size_flaw(headers, scope["path"])


def _find_framing_flaw(headers: Headers, http_version: str) -> PortalError | None:
    """Two readings of where a request goes or where its body ends (RFC 9112, sections 3.2 and 6.1)."""
    hosts = headers.all(b"host")
    lengths = headers.all(b"content-length")
    encodings = headers.all(b"transfer-encoding")
    # For a request without Host the server puts an empty one, which only HTTP/1.0 may send.
    if len(hosts) > 1 or (hosts == [b""] and http_version == "1.1"):
        return InvalidRequest(flaws=[Flaw("header.Host", "must stand exactly once", "send one")])
    if len(encodings) > 1 or (encodings and lengths) or any(each.strip().lower() != b"chunked" for each in encodings):
        flaw = Flaw("header.Transfer-Encoding", "contradicts another header", "send one way to tell the body's length")
        return InvalidRequest(flaws=[flaw])
    return None


def _find_size_flaw(headers: Headers, path: str) -> PortalError | None:
    """A page that takes files says itself, as a page, what is too large for it."""
    if path.startswith(API_PREFIX) and _read_length(headers) > BODY_BYTES_MAX:
        return PayloadTooLarge()
    return None


def _read_length(headers: Headers) -> int:
    """The bytes of the body as far as they are announced."""
    return max((int(value[:18]) for value in headers.all(b"content-length") if value.isdigit()), default=0)


def _read_agent(headers: Headers) -> str:
    return _CONTROL.sub("?", redact_keys(headers.first(b"user-agent")))[:300]
