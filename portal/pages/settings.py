"""`/settings`: the organisation's names and plan, and which feature sets it has switched on."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get, post
from litestar.response import Redirect

from api.api_keys import raise_epoch
from ontology.database import open_transaction
from ontology.features import FeaturesUpdate, update_features
from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, FEATURE_SETS, THING_TYPES
from portal.rendering import render
from portal.sessions import read_form, read_visitor


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
    """`may_change`: the visitor administers the whole organisation, not just a group of it."""

    organisation: str
    handle: str
    plan: str
    features: tuple[FeatureView, ...]
    may_change: bool
    saved: bool


@get("/settings", opt={"public": True})
async def settings_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    member = visitor.member_who_may(Scope.GROUPS_WRITE)
    page = SettingsPage(
        organisation=member.organisation_name,
        handle=member.handle,
        plan=member.actor.plan,
        features=tuple(_view_feature(name, member.actor.feature_sets) for name in FEATURE_SETS),
        may_change=member.actor.group_id == member.actor.org_id,
        saved="saved" in request.query_params,
    )
    return render("settings.html", visitor.site, page)


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
    return Redirect("/settings?saved", status_code=303)


def _view_feature(name: str, on: frozenset[str]) -> FeatureView:
    return FeatureView(
        name=name,
        summary=FEATURE_SETS[name],
        enabled=name in on,
        thing_types=tuple(kind.name for kind in THING_TYPES.values() if kind.feature == name),
        connection_types=sum(kind.feature == name for kind in CONNECTION_TYPES.values()),
        event_types=sum(kind.feature == name for kind in EVENT_TYPES.values()),
    )


handlers = [settings_page, save_features]
