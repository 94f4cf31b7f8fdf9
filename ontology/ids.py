"""Typed ids: UUIDv7 in the database, `<kind>_<26 base32 characters>` in the API (TypeID 0.3).

A wrong kind or a mistyped id is refused before any query. Ids made by one process sort in the order they were made.
"""

import os
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
SUFFIX_LENGTH = 26
_MILLISECONDS_MAX = 253_402_214_400_000  # 9999-12-31, the last that a datetime can hold
_SHIFTS = range(120, -1, -10)
_ENTROPY_BYTES = 1_024
KINDS = ("group", "person", "thing", "connection", "event", "knowledge", "invitation", "search")
_EXAMPLE_SUFFIX = "01jd8kq3v5e9ra7t2m4xw6yz0c"


class _Entropy:
    """Random bits of the system's, fetched many at a time: a request needs few, and every fetch is a system call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def take(self, length: int) -> int:
        """So many bytes as a number; no byte is given twice."""
        with self._lock:
            if self._at + length > len(self._bytes):
                self._bytes, self._at = os.urandom(_ENTROPY_BYTES), 0
            start, self._at = self._at, self._at + length
            return int.from_bytes(self._bytes[start : self._at], "big")

    def _forget(self) -> None:
        """In a new process, which must not give what its parent gives."""
        self._bytes, self._at = b"", 0


_take_random = _Entropy().take


class _Clock:
    """Makes UUIDv7 that rise within the process, even when several fall into one millisecond or time steps back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next_uuid(self) -> UUID:
        random = _take_random(8)
        with self._lock:
            # 48 bits of milliseconds and 12 bits of their fraction (RFC 9562, method 3).
            now = time.time_ns() * 4096 // 1_000_000
            self._last = max(now, self._last + 1)
            stamp = self._last
        milliseconds, fraction = stamp >> 12, stamp & 0xFFF
        value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random >> 2
        return UUID(int=value)


new_id = _Clock().next_uuid


def first_id(moment: datetime) -> UUID:
    """The least id that could have been made in the millisecond of `moment`: bounds a time by the index on ids."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def moment_of(identity: UUID) -> datetime:
    """When an id was made, to the millisecond; of an id that nobody made, some moment."""
    return datetime.fromtimestamp(min(identity.int >> 80, _MILLISECONDS_MAX) / 1000, UTC)


# Two characters for every ten bits: half the steps.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


@lru_cache(maxsize=10_000)
def encode_id(kind: str, value: UUID) -> str:
    """The text form the API shows; few ids (of groups, keys, actors) are shown again and again."""
    return f"{kind}_{encode_suffix(value.int)}"


def random_suffix() -> str:
    """24 characters of 120 random bits."""
    return encode_suffix(_take_random(15))[2:]


def encode_suffix(number: int) -> str:
    """128 bits as 26 characters."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode_id(text: str, kind: str | None = None) -> tuple[str, UUID]:
    """Kind and UUID of a typed id.

    Raises:
        ValueError: malformed, or of another kind than asked for.
    """
    found, _, suffix = text.rpartition("_")
    if found not in KINDS or (kind is not None and found != kind):
        raise ValueError(f"expected an id that begins with `{kind or 'one of ' + ', '.join(KINDS)}_`")
    if len(suffix) != SUFFIX_LENGTH or suffix[0] > "7" or any(c not in _VALUES for c in suffix):
        raise ValueError(f"`{found}_` must be followed by {SUFFIX_LENGTH} characters of lower-case base32")
    number = 0
    for character in suffix:
        number = number << 5 | _VALUES[character]
    return found, UUID(int=number)


class TypedId:
    """Pydantic annotation: typed text outside, UUID inside."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _parse(self, value: Any) -> UUID:
        if isinstance(value, UUID):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("typed_id", "must be a text such as {example}", {"example": self.example})
        try:
            return decode_id(value, self.kind)[1]
        except ValueError as error:
            raise PydanticCustomError("typed_id", "{reason}", {"reason": str(error)}) from None

    @property
    def example(self) -> str:
        return f"{self.kind}_{_EXAMPLE_SUFFIX}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: encode_id(self.kind, value), return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": f"^{self.kind}_[0-7][{ALPHABET}]{{25}}$",
            "examples": [self.example],
        }


GroupId = Annotated[UUID, TypedId("group")]
PersonId = Annotated[UUID, TypedId("person")]
ThingId = Annotated[UUID, TypedId("thing")]
ConnectionId = Annotated[UUID, TypedId("connection")]
EventId = Annotated[UUID, TypedId("event")]
InvitationId = Annotated[UUID, TypedId("invitation")]
KnowledgeId = Annotated[UUID, TypedId("knowledge")]
SearchId = Annotated[UUID, TypedId("search")]
