"""Who looks at a page: the session cookie, and the token that binds every form to it.

A visitor who is not signed in has a cookie too, made with the first form, so that signing in and up are bound like
every other form. The session's id is new at every sign-in; an id nobody was given is worth nothing.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Cookie

from api.problems import translate
from api.services import Services
from ontology.accounts import SESSION_LIFE, SignedIn, digest_token, find_session
from ontology.database import open_lookup
from ontology.errors import InsufficientScope, ServiceUnavailable
from ontology.records import utc_now
from ontology.roles import ROLE_TITLES
from ontology.scopes import Scope
from portal.rendering import Site

SAME_SITE = frozenset({"same-origin", "none"})
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"


class NotSignedIn(Exception):
    """The page is for members; the handler of this exception leads to the sign-in."""


class NotAllowed(InsufficientScope):
    """The page is for members whose role allows what it does."""

    title = "Your role does not allow this"


class ForgedForm(Exception):
    """The form was not sent from one of our own pages, or its session has ended."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks for a page; `token` is the cookie's value, `new_cookie` is set when this answer must bring it.

    `unknown`: the database could not say. Public pages are shown as to anybody; a member's page has to wait.
    """

    services: Services
    signed_in: SignedIn | None
    token: str
    new_cookie: Cookie | None
    path: str
    unknown: ServiceUnavailable | None = None

    @property
    def csrf(self) -> str:
        key = self.services.settings.secret_key.encode()
        return hmac.new(key, f"csrf|{self.token}".encode(), hashlib.sha256).hexdigest()

    @property
    def site(self) -> Site:
        settings = self.services.settings
        return Site(self.signed_in, self.csrf, self.path, settings.environment == "development", settings.public_url)

    @property
    def cookies(self) -> tuple[Cookie, ...]:
        return (self.new_cookie,) if self.new_cookie else ()

    def member(self) -> SignedIn:
        """Raises: NotSignedIn, ServiceUnavailable."""
        if self.unknown is not None:
            raise self.unknown
        if self.signed_in is None:
            raise NotSignedIn
        return self.signed_in

    def member_who_may(self, scope: Scope) -> SignedIn:
        """Raises: NotSignedIn, NotAllowed."""
        member = self.member()
        if scope not in member.actor.scopes:
            role = ROLE_TITLES[member.role].lower()
            raise NotAllowed(f"You are here as a {role}. Ask an owner of {member.organisation_name} for more.")
        return member

    def find_member_who_may(self, *scopes: Scope) -> SignedIn | None:
        """For a page that is public too: who lacks a scope is nobody to it, and sees what anybody does."""
        member = self.signed_in
        return member if member and member.actor.scopes.issuperset(scopes) else None


def _is_secure(services: Services) -> bool:
    return services.settings.public_url.startswith("https:")


def cookie_name(services: Services) -> str:
    """`__Host-` keeps sibling hosts from setting it, which browsers honour over https only."""
    return "__Host-one_session" if _is_secure(services) else "one_session"


def session_cookie(services: Services, token: str) -> Cookie:
    return Cookie(
        key=cookie_name(services),
        value=token,
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(services),
        max_age=int(SESSION_LIFE.total_seconds()),
    )


async def read_visitor(request: Request[Any, Any, Any]) -> Visitor:
    """Who asks; one look-up, and none for who has no cookie."""
    services: Services = request.app.state.services
    token = request.cookies.get(cookie_name(services), "")
    signed_in, unknown = await _find_member(services, token) if token else (None, None)
    cookie = None
    if not token:
        token = secrets.token_urlsafe(32)
        cookie = session_cookie(services, token)
    return Visitor(services, signed_in, token, cookie, request.url.path, unknown)


async def _find_member(services: Services, token: str) -> tuple[SignedIn | None, ServiceUnavailable | None]:
    """The documentation can be read while the database is away, by who has a session too."""
    try:
        async with open_lookup(services.engine, session_digest=digest_token(token).hex()) as session:
            return await find_session(session, token, utc_now()), None
    except Exception as error:
        refusal = translate(error)
        if isinstance(refusal, ServiceUnavailable):
            return None, refusal
        raise


async def read_form(request: Request[Any, Any, Any], visitor: Visitor) -> dict[str, list[str]]:
    """The fields of a form that was sent from one of our own pages.

    Raises:
        ForgedForm: from elsewhere, or without the token of this session.
    """
    form = await request.form()
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value.replace("\x00", ""))
    check_origin(request, visitor, (fields.get(CSRF_FIELD) or [""])[0])
    return fields


def check_origin(request: Request[Any, Any, Any], visitor: Visitor, field: str = "") -> None:
    """Raises: ForgedForm unless the browser says it comes from here and the token is this session's."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    given = request.headers.get(CSRF_HEADER, "") or field
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if (site is not None and site not in SAME_SITE) or foreign:
        raise ForgedForm
    if visitor.new_cookie is not None or not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise ForgedForm
