"""Whole lists as lines, page by page: memory holds one page, and no transaction is open while the caller reads."""

import json
from collections.abc import AsyncGenerator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.actors import Actor
from ontology.database import open_transaction
from ontology.events import EventFields, EventFilter, read_events

LINES_PER_PAGE = 500


async def write_lines(
    engine: AsyncEngine, actor: Actor, wanted: EventFilter, after: UUID | None = None
) -> AsyncGenerator[bytes]:
    """The wanted events, newest first, as newline-delimited JSON; those behind `after`, if it is named."""
    while True:
        async with open_transaction(engine, actor) as session:
            rows = await read_events(session, actor, wanted, after=after, limit=LINES_PER_PAGE)
        if rows:
            yield b"".join(encode_line(row) for row in rows)
        if len(rows) < LINES_PER_PAGE:
            return
        after = rows[-1].id


def encode_line(event: EventFields) -> bytes:
    return json.dumps(event.as_json(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
