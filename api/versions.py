"""Which behaviour a caller gets, and how they learn that something will end.

Within `/v1` nothing breaks. Where an improvement would still surprise a program, it gets a date: a caller who names a
date in `API-Version` keeps the behaviour of that date. Every answer names the version that made it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from ontology.errors import Flaw, InvalidRequest

# Newest first. A version stays for at least a year after the next one.
VERSIONS = ("2026-11-24",)
POLICY_PATH = "/docs/guides/versioning"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Since when an operation should no longer be used, from when on it may be gone, and what to use instead."""

    since: date
    sunset: date
    successor: str | None = None
    """The id of the operation to use instead."""


def read_version(header: str | None) -> str:
    """The version a caller asks for; the newest unless they name one.

    Raises:
        InvalidRequest: there is no such version; the flaw names those there are.
    """
    if header is None:
        return VERSIONS[0]
    if header not in VERSIONS:
        fix = f"send one of {', '.join(f'`{version}`' for version in VERSIONS)}, or leave the header out"
        raise InvalidRequest(flaws=[Flaw("header.API-Version", "is not a version of this API", fix)])
    return header


def deprecation_headers(about: Deprecation, public_url: str) -> list[tuple[bytes, bytes]]:
    """`Deprecation` (RFC 9745), `Sunset` (RFC 8594), and links to the policy and to the successor."""
    links = [f'<{public_url}{POLICY_PATH}>; rel="deprecation"; type="text/html"']
    if about.successor:
        links.append(f'<{public_url}/reference/{about.successor}>; rel="successor-version"; type="text/html"')
    return [
        (b"deprecation", f"@{int(_midnight(about.since).timestamp())}".encode()),
        (b"sunset", format_datetime(_midnight(about.sunset), usegmt=True).encode()),
        (b"link", ", ".join(links).encode()),
    ]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
