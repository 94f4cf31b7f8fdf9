"""`/settings`: one's own password, and for administrators the organisation's plan and feature sets."""

from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response, get, post
from litestar.response import Redirect

from api.api_keys import raise_epoch
from ontology.accounts import SignedIn, set_password, verify_password
from ontology.database import open_lookup, open_transaction
from ontology.features import FeaturesUpdate, update_features
from ontology.limits import count_attempt
from ontology.passwords import PASSWORD_LENGTH_MAX, find_weakness, hash_password
from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, FEATURE_SETS, THING_TYPES
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor

# Guesses at one's own present password, from all of one's sessions together.
GUESSES, GUESSES_SECONDS = 10, 900


@dataclass(frozen=True, slots=True)
class FeatureView:
    name: str
    summary: str
    enabled: bool
    thing_types: tuple[str, ...]
    connection_types: int
    event_types: int


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """`administers`: the visitor sees what holds for the organisation. `may_change`: the whole of it, not a group."""

    organisation: str
    handle: str
    plan: str
    email: str
    features: tuple[FeatureView, ...]
    administers: bool
    may_change: bool
    saved: str = ""
    problems: dict[str, str] = field(default_factory=dict[str, str])


@get("/settings", opt={"public": True})
async def settings_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    return _show(visitor, visitor.member(), saved=request.query_params.get("saved", ""))


def _show(visitor: Visitor, member: SignedIn, *, status: int = 200, **more: Any) -> Response[str]:
    page = SettingsPage(
        organisation=member.organisation_name,
        handle=member.handle,
        plan=member.actor.plan,
        email=member.email,
        features=tuple(_view_feature(name, member.actor.feature_sets) for name in FEATURE_SETS),
        administers=member.may(Scope.GROUPS_WRITE),
        may_change=member.actor.group_id == member.actor.org_id,
        **more,
    )
    return render("settings.html", visitor.site, page, status=status)


@post("/settings/password", opt={"public": True})
async def change_password(request: Request[Any, Any, Any]) -> Response[Any]:
    """Sets the account's password and ends its other sessions, for who knows the present one."""
    visitor = await read_visitor(request)
    member = visitor.member()
    form = await read_form(request, visitor)
    present, chosen = ((form.get(name) or [""])[0] for name in ("present", "password"))
    if not await count_attempt(
        visitor.services.redis, f"password:{member.email}", limit=GUESSES, seconds=GUESSES_SECONDS
    ):
        answer = _show(
            visitor, member, status=429, problems={"present": "Too many attempts. Wait a few minutes, then try again."}
        )
        answer.headers["retry-after"] = str(GUESSES_SECONDS)
        return answer
    problems: dict[str, str] = {}
    if weakness := find_weakness(chosen, member.email):
        problems["password"] = weakness
    async with open_lookup(visitor.services.engine, email=member.email) as session:
        known = present if len(present) <= PASSWORD_LENGTH_MAX else ""
        account = await verify_password(session, member.email, known)
        if account is None:
            problems["present"] = "This is not your present password."
        elif not problems:
            await set_password(session, account, await hash_password(chosen), kept=visitor.token)
    if problems:
        return _show(visitor, member, status=422, problems=problems)
    return Redirect("/settings?saved=password", status_code=303)


@post("/settings/features", opt={"public": True})
async def save_features(request: Request[Any, Any, Any]) -> Response[Any]:
    """The form names the sets that are to be on; the others are off from then on."""
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.GROUPS_WRITE).actor
    wanted = set((await read_form(request, visitor)).get("feature", ()))
    change = FeaturesUpdate(features={name: name in wanted for name in FEATURE_SETS})
    async with open_transaction(visitor.services.engine, actor) as session:
        await update_features(session, actor, change)
    await raise_epoch(visitor.services, actor)
    return Redirect("/settings?saved=features", status_code=303)


def _view_feature(name: str, on: frozenset[str]) -> FeatureView:
    return FeatureView(
        name=name,
        summary=FEATURE_SETS[name],
        enabled=name in on,
        thing_types=tuple(kind.name for kind in THING_TYPES.values() if kind.feature == name),
        connection_types=sum(kind.feature == name for kind in CONNECTION_TYPES.values()),
        event_types=sum(kind.feature == name for kind in EVENT_TYPES.values()),
    )


handlers = [settings_page, change_password, save_features]
