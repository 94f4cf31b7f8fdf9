"""Templates to answers: one Jinja environment, and what every page is given.

A page is a frozen dataclass made by its handler; templates query nothing. An undefined name is an error, not a gap.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.datastructures import Cookie

from ontology.accounts import SignedIn
from ontology.roles import ROLE_TITLES, Role

ROOT = Path(__file__).parent.parent
STATIC_DIR = ROOT / "static"
VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Site:
    """What the frame of every page shows."""

    signed_in: SignedIn | None
    csrf: str
    path: str
    development: bool
    public_url: str
    version: str = VERSION


@cache
def static_url(path: str) -> str:
    """A static file's address with its content's hash, so that it may be kept for ever."""
    digest = hashlib.sha256((STATIC_DIR / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={digest}"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static_url=static_url)  # pyright: ignore[reportUnknownMemberType]
    made.filters.update(role_title=_title_role)  # pyright: ignore[reportUnknownMemberType]
    return made


def _title_role(name: str) -> str:
    return ROLE_TITLES[Role(name)]


def render(
    template: str, site: Site, page: Any, *, status: int = 200, cookies: tuple[Cookie, ...] = ()
) -> Response[str]:
    """A page as an answer; pages are never kept by shared caches."""
    text = environment().get_template(template).render(site=site, page=page)
    headers = {"cache-control": "no-store"}
    return Response(text, status_code=status, media_type="text/html", headers=headers, cookies=list(cookies))
