"""HEAD, wherever there is GET: the same status and headers, and no body (RFC 9110, section 9.3.2)."""

from collections.abc import Iterable
from typing import Any

from litestar.types import Message, Receive, Send


def read_for_head(scope: Any, send: Send) -> tuple[Any, Receive, Send]:
    """The GET behind a HEAD, as a connection on which nobody waits for a body: what is sent in pieces ends at once."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return scope | {"method": "GET"}, receive, send_head


def list_methods(names: Iterable[str]) -> str:
    """The value of `Allow` for a path with handlers for these methods."""
    return ", ".join(sorted({*names, "HEAD"} if "GET" in names else set(names)))
