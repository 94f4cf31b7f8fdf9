"""Answers as bytes: how rows become JSON, and how an answer that is complete is sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar.types import Receive, Send

from api.preconditions import version_of
from ontology.pagination import Page
from ontology.records import Record

# What is not there has neither a type nor a length.
_WITHOUT_CONTENT = (204, 304)
_HEADERS = ((b"cache-control", b"no-store"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, as an ASGI application."""

    content: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = list(self.headers)
        if self.status not in _WITHOUT_CONTENT:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.content))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


@dataclass(frozen=True, slots=True)
class FastAnswer:
    """What a short way answers; `changed` is when the row last did, where the answer is one row."""

    content: bytes
    changed: datetime | None = None

    @property
    def tag(self) -> str | None:
        """The tag that `make_tag` gives the row."""
        return None if self.changed is None else f'"{version_of(self.changed)}"'


def make_answer(
    content: bytes, status: int, *, tag: str | None = None, replayed: bool = False, dry_run: bool = False
) -> Answer:
    """An answer in JSON that nobody keeps."""
    headers = _HEADERS
    if tag is not None:
        headers += ((b"etag", tag.encode()),)
    if replayed:
        headers += ((b"idempotent-replayed", b"true"),)
    if dry_run:
        headers += ((b"dry-run", b"true"),)
    return Answer(content, status, headers)


def encode_answer(result: Any) -> bytes:
    """A row, a page of rows, or plain data, as JSON."""
    if isinstance(result, Record):
        value: Any = result.as_json()
    elif isinstance(result, Page):
        rows: Sequence[Record] = result.rows  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        cursor: str | None = result.next_cursor
        pagination: dict[str, Any] = {"nextCursor": cursor, "hasMore": cursor is not None}
        if result.total is not None:
            pagination["totalCount"] = result.total
        value = {"data": [row.as_json() for row in rows], "pagination": pagination}
    else:
        value = result
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
