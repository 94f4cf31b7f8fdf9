"""The text of an API key: made once, shown once, and from then on known by its HMAC only.

`org_<handle>_key_<secret>`: the secret is 32 random bytes in base62 followed by six base62 characters of CRC-32, so a
mistyped or invented key is refused without any I/O, and a key that stands in a text is found without guessing.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, Uuid
from sqlmodel import Field

from ontology.errors import InvalidApiKey
from ontology.records import TenantRow

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_BYTES, SECRET_LENGTH, CHECKSUM_LENGTH, PREFIX_LENGTH = 32, 43, 6, 8
# What every key's text holds: a cheap test before the expression below is tried.
MARK = "_key_"
_KEY = rf"org_([0-9a-z]{{4,32}})_key_([0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}})"
_KEY_FORM = re.compile(_KEY, re.ASCII)
_KEY_INSIDE = re.compile(rf"{_KEY}(?![0-9A-Za-z])", re.ASCII)
REDACTED = "org_***_key_***"


class KeySecret(TenantRow, table=True):
    """The HMAC of a key's text. Row-level security shows a row only to who knows the digest, or to its group."""

    __tablename__ = "api_key_secrets"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
        Index("ix_api_key_secrets_org_id_key_id", "org_id", "key_id"),
    )
    digest: bytes = Field(primary_key=True, sa_type=LargeBinary, exclude=True)
    group_id: UUID = Field(sa_type=Uuid)
    key_id: UUID = Field(sa_type=Uuid)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret and the text of its key; never stored, never logged."""

    text: str
    secret: str

    @property
    def prefix(self) -> str:
        return self.secret[:PREFIX_LENGTH]


def make_secret(handle: str) -> NewSecret:
    """A new key for the organisation of that handle."""
    body = _base62(int.from_bytes(secrets.token_bytes(SECRET_BYTES), "big"), SECRET_LENGTH)
    secret = body + _checksum(handle, body)
    return NewSecret(f"org_{handle}_key_{secret}", secret)


def digest_key(text: str, pepper: str) -> bytes:
    """The HMAC under which a key is stored.

    Raises:
        InvalidApiKey: not of a key's form, or its checksum is wrong; costs no I/O.
    """
    match = _KEY_FORM.fullmatch(text)
    if match is None or not _is_whole(match):
        raise InvalidApiKey
    return hmac.digest(pepper.encode(), text.encode(), hashlib.sha256)


def find_keys(text: str) -> list[str]:
    """Every key that stands in a text, once each, in order; what only looks like one is left out by its checksum."""
    if MARK not in text:
        return []
    return list(dict.fromkeys(match.group() for match in _KEY_INSIDE.finditer(text) if _is_whole(match)))


def redact_keys(text: str) -> str:
    """The text with every key in it made unreadable, for logs and events."""
    if MARK not in text:
        return text
    return _KEY_INSIDE.sub(_hide, text)


def _hide(match: re.Match[str]) -> str:
    return REDACTED if _is_whole(match) else match.group()


def _is_whole(match: re.Match[str]) -> bool:
    handle, secret = match.groups()
    body, checksum = secret[:SECRET_LENGTH], secret[SECRET_LENGTH:]
    return hmac.compare_digest(checksum, _checksum(handle, body))


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _checksum(handle: str, body: str) -> str:
    return _base62(zlib.crc32(f"{handle}_{body}".encode()), CHECKSUM_LENGTH)
