"""`/members`: who belongs to the organisation and as what; invite, change roles, remove."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.response import Redirect
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.api_keys import raise_epoch
from api.parameters import parse_path_id
from ontology.database import open_transaction
from ontology.errors import InvalidCursor, PortalError
from ontology.groups import ACTIVE, get_group, list_groups
from ontology.ids import encode_id
from ontology.invitations import (
    Invitation,
    InvitationCreate,
    NewInvitation,
    cancel_invitation,
    create_invitation,
    list_invitations,
)
from ontology.memberships import remove_person, update_person
from ontology.pagination import PageRequest
from ontology.people import Person, PersonUpdate, list_people
from ontology.records import utc_now
from ontology.roles import MEMBER_ROLES, ROLES, Role
from ontology.scopes import Scope
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor

ROWS_SHOWN = 200
DONE = {
    "cancelled": "The invitation is withdrawn; its link opens nothing any more.",
    "changed": "The role is changed. It holds from their next request on.",
    "removed": "The member is removed and signed out everywhere.",
}


@dataclass(frozen=True, slots=True)
class RoleChoice:
    value: str
    summary: str


@dataclass(frozen=True, slots=True)
class GroupChoice:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class MemberView:
    """`may_change`: the visitor's role allows to change or remove them."""

    id: str
    name: str
    email: str
    role: str
    group_name: str | None
    since: str
    since_iso: str
    is_visitor: bool
    may_change: bool


@dataclass(frozen=True, slots=True)
class InvitationView:
    id: str
    email: str
    role: str
    group_name: str | None
    expires: str
    expires_iso: str


@dataclass(frozen=True, slots=True)
class NewLink:
    """An invitation just made; its link is in this one answer and nowhere else."""

    email: str
    text: str


@dataclass(frozen=True, slots=True)
class MembersPage:
    members: tuple[MemberView, ...]
    invitations: tuple[InvitationView, ...]
    roles: tuple[RoleChoice, ...]
    groups: tuple[GroupChoice, ...]
    may_invite: bool
    older: str | None = None
    created: NewLink | None = None
    done: str = ""
    values: dict[str, str] = field(default_factory=dict[str, str])
    problems: dict[str, str] = field(default_factory=dict[str, str])


_BLANK = {"email": "", "role": Role.ORG_USER.value, "group": ""}


@get("/members", opt={"public": True})
async def members_page(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.PEOPLE_READ)
    done = DONE.get(request.query_params.get("done", ""), "")
    try:
        return await _show(visitor, done=done, cursor=request.query_params.get("cursor"))
    except InvalidCursor:
        return Redirect("/members", status_code=303)


@post("/members/invitations", opt={"public": True})
async def invite(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.PEOPLE_WRITE).actor
    form = await read_form(request, visitor)
    values = {name: _single(form, name) for name in _BLANK}
    given = {"email": values["email"], "role": values["role"]}
    if values["group"]:
        given["groupId"] = values["group"]
    settings = visitor.services.settings
    try:
        new = InvitationCreate.model_validate(given)
        async with open_transaction(visitor.services.engine, actor) as session:
            made = await create_invitation(session, actor, new, public_url=settings.public_url, now=utc_now())
    except ValidationError:
        problems = {"email": "Enter an e-mail address such as ada@example.com."}
        return await _show(visitor, values=values, problems=problems)
    except PortalError as refusal:
        return await _show(visitor, values=values, problems={"": refusal.detail})
    return await _show(visitor, created=made)


@post("/members/invitations/{invitation_id:str}/cancel", opt={"public": True})
async def cancel(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor, identity, _ = await _read_change(request, "invitation")
    actor = visitor.member().actor
    return await _change(visitor, lambda session: cancel_invitation(session, actor, identity, utc_now()), "cancelled")


@post("/members/{person_id:str}/role", opt={"public": True})
async def change_role(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor, identity, form = await _read_change(request, "person")
    actor = visitor.member().actor
    try:
        change = PersonUpdate.model_validate({"role": _single(form, "role")})
    except ValidationError:
        return await _show(visitor, problems={"": "Choose one of the roles."})
    return await _change(visitor, lambda session: update_person(session, actor, identity, change, utc_now()), "changed")


@post("/members/{person_id:str}/remove", opt={"public": True})
async def remove(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor, identity, _ = await _read_change(request, "person")
    actor = visitor.member().actor
    return await _change(visitor, lambda session: remove_person(session, actor, identity, utc_now()), "removed")


async def _read_change(request: Request[Any, Any, Any], kind: str) -> tuple[Visitor, UUID, dict[str, list[str]]]:
    """Who changes which row by which form. Raises: NotSignedIn, NotAllowed, ForgedForm, InvalidId."""
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.PEOPLE_WRITE)
    form = await read_form(request, visitor)
    name = f"{kind}_id"
    return visitor, parse_path_id(name, kind, request.path_params[name]), form


async def _change(visitor: Visitor, act: Callable[[AsyncSession], Awaitable[object]], done: str) -> Response[Any]:
    """Do it and make it hold on every process, then say so; or show the page with why it cannot be done."""
    actor = visitor.member().actor
    try:
        async with open_transaction(visitor.services.engine, actor) as session:
            await act(session)
    except PortalError as refusal:
        return await _show(visitor, problems={"": refusal.detail})
    await raise_epoch(visitor.services, actor)
    return Redirect(f"/members?done={done}", status_code=303)


async def _show(
    visitor: Visitor,
    *,
    values: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    created: NewInvitation | None = None,
    done: str = "",
    cursor: str | None = None,
) -> Response[str]:
    """Raises: InvalidCursor."""
    actor = visitor.member().actor
    request = PageRequest(visitor.services.settings.secret_key, limit=ROWS_SHOWN)
    now = utc_now()
    async with open_transaction(visitor.services.engine, actor) as session:
        members = await list_people(session, actor, replace(request, cursor=cursor), status=ACTIVE)
        invited = (await list_invitations(session, actor, request, now, status="pending")).rows
        groups = (await list_groups(session, actor, request, status=ACTIVE)).rows
        names = {group.id: group.name for group in groups}
        for group_id in {row.group_id for row in (*members.rows, *invited)} - names.keys():
            names[group_id] = (await get_group(session, actor, group_id)).name
    names.pop(actor.group_id, None)
    page = MembersPage(
        members=tuple(_view_member(visitor, person, names) for person in members.rows),
        invitations=tuple(_view_invitation(invitation, names) for invitation in invited),
        roles=tuple(
            RoleChoice(role.value, ROLES[role].summary) for role in MEMBER_ROLES if ROLES[role].scopes <= actor.scopes
        ),
        groups=tuple(
            GroupChoice(encode_id("group", group.id), group.name) for group in groups if group.id != actor.group_id
        ),
        may_invite=Scope.PEOPLE_WRITE in actor.scopes,
        created=NewLink(created.email, created.link) if created else None,
        done=done,
        values=values or _BLANK,
        problems=problems or {},
        older=f"/members?{urlencode({'cursor': members.next_cursor})}" if members.next_cursor else None,
    )
    status = 201 if created else 422 if problems else 200
    return render("members.html", visitor.site, page, status=status)


def _view_member(visitor: Visitor, person: Person, names: dict[UUID, str]) -> MemberView:
    member = visitor.member()
    rights = ROLES[Role(person.role)]
    identity = encode_id("person", person.id)
    return MemberView(
        id=identity,
        name=person.name,
        email=person.email,
        role=person.role,
        group_name=names.get(person.group_id),
        since=_day(person.created_at),
        since_iso=person.created_at.isoformat(),
        is_visitor=identity == member.actor.id,
        may_change=Scope.PEOPLE_WRITE in member.actor.scopes and rights.scopes <= member.actor.scopes,
    )


def _view_invitation(invitation: Invitation, names: dict[UUID, str]) -> InvitationView:
    return InvitationView(
        id=encode_id("invitation", invitation.id),
        email=invitation.email,
        role=invitation.role,
        group_name=names.get(invitation.group_id),
        expires=_day(invitation.expires_at),
        expires_iso=invitation.expires_at.isoformat(),
    )


def _single(form: dict[str, list[str]], name: str) -> str:
    return (form.get(name) or [""])[0].strip()


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


handlers = [members_page, invite, cancel, change_role, remove]
