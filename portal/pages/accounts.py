"""Sign up, sign in, sign out."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from litestar import Request, Response, get, post
from litestar.response import Redirect

from api.parameters import parse_path_id
from ontology.accounts import (
    SignedIn,
    close_session,
    digest_token,
    find_home,
    normalise_email,
    open_session,
    switch_session,
    verify_password,
)
from ontology.database import open_lookup, open_transaction
from ontology.errors import Conflict
from ontology.limits import count_attempt
from ontology.passwords import PASSWORD_LENGTH_MAX, find_weakness, hash_password
from ontology.records import utc_now
from ontology.registration import Applicant, register_organisation
from portal.pages.keys import NewKey
from portal.pages.start import START, show_start
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor, session_cookie

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,63}")
_SAFE_NEXT = re.compile(r"/(?![/\\])[^\s\\]*")
# Attempts in a window of seconds: from one network address at one e-mail address, from one network address, and at one
# e-mail address from everywhere. The last is wide, so that a stranger who guesses does not keep the owner out.
SIGN_INS_PER_PAIR, SIGN_INS_PER_ADDRESS, SIGN_INS_PER_EMAIL, SIGN_IN_SECONDS = 10, 100, 100, 900
# A taken e-mail address costs as many sign-ups as make ten hits an hour: see decision 8.
SIGN_UPS_PER_ADDRESS, SIGN_UPS_OF_TAKEN, SIGN_UP_SECONDS = 60, 6, 3600
_TOO_MANY = {"": "Too many attempts. Wait a few minutes, then try again."}


@dataclass(frozen=True, slots=True)
class SignUpPage:
    values: dict[str, str] = field(default_factory=dict[str, str])
    problems: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class SignInPage:
    values: dict[str, str] = field(default_factory=dict[str, str])
    problems: dict[str, str] = field(default_factory=dict[str, str])
    next: str = START


@get("/sign-up", opt={"public": True})
async def sign_up_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    if visitor.signed_in:
        return Redirect(START, status_code=303)
    return render(
        "sign_up.html", visitor.site, SignUpPage(_blank("organisation", "name", "email")), cookies=visitor.cookies
    )


@post("/sign-up", opt={"public": True})
async def sign_up(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    if visitor.signed_in:
        return Redirect(START, status_code=303)
    form = await read_form(request, visitor)
    values = {name: _single(form, name) for name in ("organisation", "name", "email")}
    password = (form.get("password") or [""])[0]
    problems = _check_sign_up(values, password)
    if not problems:
        limits = {f"sign-up:{_address(request)}": SIGN_UPS_PER_ADDRESS}
        if not await _count_attempts(visitor, limits, SIGN_UP_SECONDS):
            return _ask_to_wait(render("sign_up.html", visitor.site, SignUpPage(values, _TOO_MANY)), SIGN_UP_SECONDS)
        try:
            return await _register(visitor, values, password)
        except Conflict:
            for _ in range(SIGN_UPS_OF_TAKEN - 1):
                await _count_attempts(visitor, limits, SIGN_UP_SECONDS)
            problems = {"email": "This address has an account already. Sign in instead."}
    return render("sign_up.html", visitor.site, SignUpPage(values, problems), status=422)


async def _register(visitor: Visitor, values: dict[str, str], password: str) -> Response[Any]:
    """The answer is the start page itself: the one place that shows the first key."""
    services = visitor.services
    applicant = Applicant(
        values["organisation"], values["name"], values["email"], password_hash=await hash_password(password)
    )
    async with open_lookup(services.engine, email=normalise_email(values["email"])) as session:
        made = await register_organisation(session, applicant, pepper=services.settings.key_pepper)
        token = await open_session(session, made.owner, utc_now())
    member = SignedIn(made.actor, made.owner.name, made.owner.email, made.organisation.name, made.handle)
    welcomed = replace(visitor, signed_in=member, token=token, new_cookie=session_cookie(services, token))
    return await show_start(welcomed, NewKey(made.key.name, made.key.key), status=201)


@get("/sign-in", opt={"public": True})
async def sign_in_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    after = _safe_next(request.query_params.get("next", ""))
    if visitor.signed_in:
        return Redirect(after, status_code=303)
    page = SignInPage(_blank("email"), {}, after)
    return render("sign_in.html", visitor.site, page, cookies=visitor.cookies)


@post("/sign-in", opt={"public": True})
async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    after = _safe_next(str((await request.form()).get("next", "")))
    if visitor.signed_in:  # in another tab, since this form was loaded
        return Redirect(after, status_code=303)
    form = await read_form(request, visitor)
    email, password = _single(form, "email"), (form.get("password") or [""])[0]
    address, name = _address(request), normalise_email(email)
    limits = {
        f"sign-in:{address}": SIGN_INS_PER_ADDRESS,
        f"sign-in:{name}": SIGN_INS_PER_EMAIL,
        f"sign-in:{name}:{address}": SIGN_INS_PER_PAIR,
    }
    if not await _count_attempts(visitor, limits, SIGN_IN_SECONDS):
        page = SignInPage({"email": email}, _TOO_MANY, after)
        return _ask_to_wait(render("sign_in.html", visitor.site, page), SIGN_IN_SECONDS)
    services = visitor.services
    token, problem = "", "E-mail address and password do not match."
    if 0 < len(password) <= PASSWORD_LENGTH_MAX:
        async with open_lookup(services.engine, email=normalise_email(email)) as session:
            account = await verify_password(session, email, password)
            home = await find_home(session, account) if account is not None else None
            if home is not None:
                token = await open_session(session, home, utc_now())
            elif account is not None:
                problem = "This account belongs to no organisation any more. Ask for an invitation."
    if not token:
        page = SignInPage({"email": email}, {"": problem}, after)
        return render("sign_in.html", visitor.site, page, status=422)
    return _welcome(visitor, token, after)


@post("/sign-out", opt={"public": True})
async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    if visitor.signed_in is None and visitor.unknown is None:  # signed out in another tab
        return Redirect("/", status_code=303)
    actor = visitor.member().actor
    await read_form(request, visitor)
    async with open_transaction(visitor.services.engine, actor) as session:
        await close_session(session, actor, visitor.token)
    cookie = session_cookie(visitor.services, "")
    cookie.max_age = 0
    return Redirect("/", status_code=303, cookies=[cookie])


@post("/switch", opt={"public": True})
async def switch(request: Request[Any, Any, Any]) -> Response[Any]:
    """Go on in another organisation or group that the account belongs to, under a new session."""
    visitor = await read_visitor(request)
    member = visitor.member()
    form = await read_form(request, visitor)
    person_id = parse_path_id("person", "person", _single(form, "person"))
    digest = digest_token(visitor.token).hex()
    async with open_lookup(visitor.services.engine, session_digest=digest) as session:
        token = await switch_session(session, member, visitor.token, person_id, utc_now())
    return _welcome(visitor, token, START)


def _welcome(visitor: Visitor, token: str, after: str) -> Response[Any]:
    return Redirect(after, status_code=303, cookies=[session_cookie(visitor.services, token)])


def _check_sign_up(values: dict[str, str], password: str) -> dict[str, str]:
    problems: dict[str, str] = {}
    if not 1 <= len(values["organisation"]) <= 200:
        problems["organisation"] = "Give your organisation a name of up to 200 characters."
    if not 1 <= len(values["name"]) <= 200:
        problems["name"] = "Tell us your name, in up to 200 characters."
    if not _EMAIL.fullmatch(values["email"]):
        problems["email"] = "Enter an e-mail address such as ada@example.com."
    if weakness := find_weakness(password, values["email"]):
        problems["password"] = weakness
    return problems


def _safe_next(given: str) -> str:
    """Only paths of this site."""
    return given if _SAFE_NEXT.fullmatch(given) else START


def _single(form: dict[str, list[str]], name: str) -> str:
    return (form.get(name) or [""])[0].strip()


def _blank(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "")


def _address(request: Request[Any, Any, Any]) -> str:
    return request.scope["state"]["client_ip"]


async def _count_attempts(visitor: Visitor, limits: dict[str, int], seconds: int) -> bool:
    """False when any of the names has had its attempts."""
    counted = [
        await count_attempt(visitor.services.redis, name, limit=limit, seconds=seconds)
        for name, limit in limits.items()
    ]
    return all(counted)


def _ask_to_wait(form: Response[str], seconds: int) -> Response[str]:
    """The form with what was typed, and when to send it again."""
    form.status_code = 429
    form.headers["retry-after"] = str(seconds)
    return form


handlers = [sign_up_page, sign_up, sign_in_page, sign_in, sign_out, switch]
