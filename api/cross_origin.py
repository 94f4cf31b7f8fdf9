"""Cross-origin requests: pages of the origins that a key allows may call the API with it (CORS, Fetch standard, 3.2).

The pre-flight comes without a key and is answered alike for every origin: it allows the request to be sent. Whether
the page may read the answer is told by the answer itself, once its key has been found to allow the page's origin. Keys
without `allowedOrigins` are for programs, and a browser shows their answers to no page. No cookie opens the API, so
nothing that a page did not bring itself speaks for it.
"""

REQUEST_HEADERS = (
    *("authorization", "content-type", "idempotency-key", "if-match", "if-none-match"),
    *("api-version", "last-event-id"),
)
ANSWER_HEADERS = (
    *("x-request-id", "api-version", "ratelimit", "ratelimit-policy", "ratelimit-mode", "retry-after"),
    *("etag", "idempotent-replayed", "dry-run", "deprecation", "sunset", "link"),
)
PREFLIGHT_SECONDS = 7_200
_EXPOSED = ", ".join(ANSWER_HEADERS).encode()


def preflight_headers(methods: str) -> dict[str, str]:
    """What an OPTIONS answer adds, given the path's methods."""
    return {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": methods,
        "access-control-allow-headers": ", ".join(REQUEST_HEADERS),
        "access-control-max-age": str(PREFLIGHT_SECONDS),
    }


def sharing_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """What lets pages of `origin`, which the request's key allows, read its answer."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]
