"""Answers that are sent piece by piece, for as long as somebody listens."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send


class StreamedAnswer(Response[bytes]):
    """Pieces as they are made; an empty one is a chance to notice that the caller has hung up.

    Nothing is cancelled when they do: a piece that is being made may hold a connection of the pool.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(b"", media_type=media_type, headers=dict(headers))
        self.pieces = pieces

    def to_asgi_response(self, *arguments: Any, **options: Any) -> ASGIResponse:
        """The framework's hook; what it would add to an answer at once is not for one in pieces."""
        headers = {str(name): str(value) for name, value in self.headers.items()}
        return _Pieces(self.pieces, media_type=self.media_type, headers=headers, status_code=200)


class _Pieces(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, pieces: AsyncGenerator[bytes], **options: Any) -> None:
        super().__init__(**options)
        self._pieces = pieces

    async def send_body(self, send: Send, receive: Receive) -> None:
        gone = asyncio.create_task(_wait_for_hang_up(receive))
        try:
            async for piece in self._pieces:
                if gone.done():
                    return
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._pieces.aclose()
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


async def _wait_for_hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
