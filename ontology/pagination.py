"""Pages and their cursors: keyset on the id, newest first, so rows created meanwhile neither repeat nor hide any.

A cursor is signed and bound to who asks and to what is listed; worthless for another key's group or filters.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import Actor
from ontology.errors import Flaw, InvalidCursor

Row = TypeVar("Row")

LIMIT_DEFAULT, LIMIT_MAX = 50, 1000
_SIGNATURE_BYTES = 12


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many rows, and after which; `secret` signs the cursors."""

    secret: str
    limit: int = LIMIT_DEFAULT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in order, and the cursor of what follows if there is more."""

    rows: Sequence[Row]
    next_cursor: str | None


def _sign(request: PageRequest, actor: Actor, purpose: str, last: bytes) -> bytes:
    bound = f"{actor.org_id}|{actor.group_id}|{purpose}|".encode() + last
    return hmac.digest(request.secret.encode(), bound, hashlib.sha256)[:_SIGNATURE_BYTES]


def make_cursor(request: PageRequest, actor: Actor, purpose: str, last: UUID) -> str:
    signed = last.bytes + _sign(request, actor, purpose, last.bytes)
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def read_cursor(request: PageRequest, actor: Actor, purpose: str) -> UUID | None:
    """The id after which to go on.

    Raises:
        InvalidCursor: altered, of another list, or of another key's group.
    """
    if request.cursor is None:
        return None
    try:
        raw = base64.b64decode(request.cursor + "=" * (-len(request.cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    last, signature = raw[:16], raw[16:]
    if len(last) != 16 or not hmac.compare_digest(signature, _sign(request, actor, purpose, last)):
        raise InvalidCursor(flaws=[Flaw("query.cursor", "not a cursor of this list", "start again without a cursor")])
    return UUID(bytes=last)


def describe_list(name: str, **filters: Any) -> str:
    """The purpose a cursor is bound to: the list and its filters."""
    return name + json.dumps(filters, sort_keys=True, default=str)


async def fetch_page(
    session: AsyncSession,
    actor: Actor,
    query: SelectOfScalar[Row],
    identity: Any,
    request: PageRequest,
    purpose: str,
) -> Page[Row]:
    """Run `query` newest first; `identity` is the id column the keyset runs on."""
    after = read_cursor(request, actor, purpose)
    if after is not None:
        query = query.where(col(identity) < after)
    found = (await session.exec(query.order_by(col(identity).desc()).limit(request.limit + 1))).all()
    rows = found[: request.limit]
    if len(found) <= request.limit:
        return Page(rows, None)
    last: UUID = getattr(rows[-1], identity.key)
    return Page(rows, make_cursor(request, actor, purpose, last))
