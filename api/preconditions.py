"""Conditional requests (RFC 9110, section 13): entity tags, `If-Match` and `If-None-Match`, for every resource alike.

A tag is the moment of a row's last change, so that it costs no second look at the row; where the answer shows more
than its row (a document's indexing, a key's last use) a digest of the answer follows it. A write with `If-Match` locks
the row before it compares, so of several writers with one tag exactly one succeeds.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.connection_rows import Connection
from ontology.errors import Flaw, InvalidRequest, PreconditionFailed
from ontology.groups import Group
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import Record, to_epoch_ms
from ontology.thing_rows import Thing

ANY = "*"
HEADER_LENGTH_MAX = 1_000
# What may stand in either header, for the OpenAPI document too.
TAGS_PATTERN = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
_TAG = re.compile(r'(W/)?("[!#-~]*")')
_ROWS: dict[str, type[Thing | Connection | Group | Person | KnowledgeItem]] = {
    "thing": Thing,
    "connection": Connection,
    "group": Group,
    "person": Person,
    "knowledge": KnowledgeItem,
}
# What has states to name; an invitation, for one, is only cancelled.
CONDITIONAL_KINDS = frozenset(_ROWS)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The tags a request names; None where it has no such header."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def check_read(self, tag: str) -> bool:
        """Whether the answer is what the caller has already.

        Raises:
            PreconditionFailed: `If-Match` names other states.
        """
        if self.match is not None and not self.match & {ANY, tag}:
            raise _changed(tag)
        return self.none_match is not None and bool(self.none_match & {ANY, tag})

    def check_write(self, changed: datetime) -> None:
        """Raises: PreconditionFailed when the row is not, or no longer, in the state the caller names."""
        if self.match is not None and not any(_names(tag, changed) for tag in self.match):
            raise _changed(f'"{version_of(changed)}"')
        if self.none_match is not None and any(_names(tag, changed) for tag in self.none_match):
            flaw = Flaw("header.If-None-Match", "names what is stored", "leave the header out to change it")
            raise PreconditionFailed(flaws=[flaw])


def parse_tags(name: str, value: str | None, *, strong: bool) -> frozenset[str] | None:
    """The tags of one header. Strong comparison (`If-Match`) leaves weak ones out, since they match nothing.

    Raises:
        InvalidRequest: neither `*` nor tags in quotation marks.
    """
    if value is None:
        return None
    if len(value) > HEADER_LENGTH_MAX or not re.match(TAGS_PATTERN, value):
        flaw = Flaw(f"header.{name}", "is not a list of entity tags", "send an `ETag` as it was given, or `*`")
        raise InvalidRequest(flaws=[flaw])
    if value == ANY:
        return frozenset({ANY})
    return frozenset(tag for weak, tag in _TAG.findall(value) if not (strong and weak))


def make_tag(result: Any, content: bytes) -> str:
    """The entity tag of an answer."""
    if isinstance(result, Record):
        moment = cast("datetime", getattr(result, "updated_at"))  # noqa: B009 - rows have it, their base does not
        if not result.shows_more_than_its_row:
            return f'"{version_of(moment)}"'
        # In milliseconds, which is what public forms that are made from a row have left of the moment.
        changed = to_epoch_ms(moment)
    else:
        changed = cast("dict[str, int]", result).get("updatedAt")
    version = f"{changed:x}" if changed else ""
    return f'"{version}.{hashlib.sha256(content).hexdigest()[:16]}"'


def version_of(changed: datetime) -> str:
    """Microseconds since 1970, in hexadecimal."""
    return f"{int(changed.timestamp()) * 1_000_000 + changed.microsecond:x}"


async def check_preconditions(
    session: AsyncSession, actor: Actor, asked: Preconditions, kind: str, identity: UUID
) -> None:
    """Lock the row a write is about and compare; one that is not there is left to the operation to refuse.

    Raises:
        PreconditionFailed.
    """
    if asked.match is None and asked.none_match is None:
        return
    row = _ROWS[kind]
    query = row.visible_to(actor).where(col(row.id) == identity).with_for_update()
    if (found := (await session.exec(query)).first()) is not None:
        asked.check_write(found.updated_at)


def _names(tag: str, changed: datetime) -> bool:
    """Whether a tag means this version of a row, whatever else the answer showed."""
    version, more, _ = tag.strip('"').partition(".")
    return tag == ANY or version == (f"{to_epoch_ms(changed):x}" if more else version_of(changed))


def _changed(present: str) -> PreconditionFailed:
    flaw = Flaw("header.If-Match", "names another state", f"read the resource again; it is at {present}")
    return PreconditionFailed(flaws=[flaw])
