"""`/join`: from an invitation's link to a member.

The link carries the code in its fragment, which browsers keep to themselves; a script of the page moves it into the
form, and without scripts people paste the link. From there on it travels in the bodies of forms only.
"""

from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response, get, post
from litestar.response import Redirect

from ontology.accounts import (
    find_account,
    open_session,
    verify_password,
)
from ontology.database import open_lookup
from ontology.errors import Conflict, NotFound, PortalError, RateLimitExceeded
from ontology.invitations import digest_code, find_invitation
from ontology.joining import join_with_account, join_with_new_account
from ontology.limits import count_attempt
from ontology.passwords import PASSWORD_LENGTH_MAX, find_weakness, hash_password
from ontology.records import utc_now
from portal.pages.start import START
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor, session_cookie

# Attempts in a window of seconds: for one invitation, and for one network address.
PER_CODE, PER_ADDRESS, WINDOW_SECONDS = 10, 100, 900


@dataclass(frozen=True, slots=True)
class Invited:
    """What an invitation says to who has its code."""

    code: str
    organisation_name: str
    group_name: str
    role: str
    email: str
    is_signed_in: bool
    """Whether the visitor has signed in with the invited address already."""


@dataclass(frozen=True, slots=True)
class JoinPage:
    invited: Invited | None = None
    values: dict[str, str] = field(default_factory=lambda: {"name": "", "code": ""})
    problems: dict[str, str] = field(default_factory=dict[str, str])


@get("/join", opt={"public": True})
async def join_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    return render("join.html", visitor.site, JoinPage(), cookies=visitor.cookies)


@post("/join", opt={"public": True}, status_code=200)
async def show_invitation(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    form = await read_form(request, visitor)
    await _limit(request, visitor, "")
    try:
        invited = await _find(visitor, _read_code(form))
    except (NotFound, Conflict) as refusal:
        return _refuse(visitor, refusal)
    return render("join.html", visitor.site, JoinPage(invited))


@post("/join/accept", opt={"public": True})
async def accept(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    form = await read_form(request, visitor)
    code, name = _read_code(form), (form.get("name") or [""])[0].strip()
    password = (form.get("password") or [""])[0]
    await _limit(request, visitor, code)
    try:
        invited = await _find(visitor, code)
        token = await _join(visitor, invited, name, password)
    except _Unfit as unfit:
        page = JoinPage(unfit.invited, {"name": name, "code": ""}, unfit.problems)
        return render("join.html", visitor.site, page, status=422)
    except (NotFound, Conflict) as refusal:
        return _refuse(visitor, refusal)
    return Redirect(START, status_code=303, cookies=[session_cookie(visitor.services, token)])


class _Unfit(Exception):
    """The form cannot be accepted as it is filled in."""

    def __init__(self, invited: Invited, problems: dict[str, str]) -> None:
        self.invited = invited
        self.problems = problems
        super().__init__()


async def _join(visitor: Visitor, invited: Invited, name: str, password: str) -> str:
    """The token of the new member's session.

    Raises:
        _Unfit: the password does not match, or a new account lacks something. NotFound, Conflict: the invitation.
    """
    engine, now = visitor.services.engine, utc_now()
    known = {"invitation_digest": digest_code(invited.code).hex(), "email": invited.email}
    async with open_lookup(engine, **known) as session:
        account = await find_account(session, invited.email)
        if account is not None and not invited.is_signed_in:
            matches = len(password) <= PASSWORD_LENGTH_MAX and await verify_password(session, invited.email, password)
            if not matches:
                raise _Unfit(invited, {"password": "This address has an account; enter its password."})
        if account is not None:
            return await open_session(session, await join_with_account(session, invited.code, account, now), now)
    problems: dict[str, str] = {}
    if not 1 <= len(name) <= 200:
        problems["name"] = "Tell us your name, in up to 200 characters."
    if weakness := find_weakness(password, invited.email):
        problems["password"] = weakness
    if problems:
        raise _Unfit(invited, problems)
    password_hash = await hash_password(password)
    async with open_lookup(engine, **known) as session:
        person = await join_with_new_account(session, invited.code, name=name, password_hash=password_hash, now=now)
        return await open_session(session, person, now)


async def _find(visitor: Visitor, code: str) -> Invited:
    """Raises: NotFound, Conflict."""
    async with open_lookup(visitor.services.engine, invitation_digest=digest_code(code).hex()) as session:
        invitation, organisation, group = await find_invitation(session, code)
    member = visitor.signed_in
    return Invited(
        code=code,
        organisation_name=organisation.name,
        group_name=group.name,
        role=invitation.role,
        email=invitation.email,
        is_signed_in=member is not None and member.email == invitation.email,
    )


def _refuse(visitor: Visitor, refusal: PortalError) -> Response[str]:
    return render("join.html", visitor.site, JoinPage(problems={"": refusal.detail}), status=422)


def _read_code(form: dict[str, list[str]]) -> str:
    """The code, also out of a whole link."""
    return (form.get("code") or [""])[0].strip().rpartition("#")[2]


async def _limit(request: Request[Any, Any, Any], visitor: Visitor, code: str) -> None:
    """Raises: RateLimitExceeded."""
    names = {f"join:{request.scope['state']['client_ip']}": PER_ADDRESS}
    if code:
        names[f"join:{digest_code(code).hex()}"] = PER_CODE
    for name, limit in names.items():
        if not await count_attempt(visitor.services.redis, name, limit=limit, seconds=WINDOW_SECONDS):
            message = "Too many attempts; wait a few minutes and try again."
            raise RateLimitExceeded(message, retry_after_seconds=WINDOW_SECONDS)


handlers = [join_page, show_invitation, accept]
