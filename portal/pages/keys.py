"""`/keys`: create a key and see it once, see when and from where each was used, rename, limit, rotate, revoke."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.response import Redirect
from pydantic import ValidationError

from api.api_keys import raise_epoch
from api.parameters import parse_path_id
from ontology.database import open_transaction
from ontology.errors import Conflict, PortalError, PrivilegeEscalation
from ontology.ids import encode_id
from ontology.key_issuing import EXPLORER_NAME, create_key
from ontology.key_shapes import ApiKey, ApiKeyCreate, ApiKeyUpdate
from ontology.keys import list_keys, revoke_key, update_key
from ontology.pagination import PageRequest
from ontology.records import to_epoch_ms, utc_now
from ontology.rotations import RotationCreate, rotate_key
from ontology.scopes import Preset, Scope
from ontology.usage import KEYS_MAX, KeyUsage, list_key_usage
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor

KEYS_SHOWN, KEYS_PER_QUERY = 200, 200
# A person's own key may have the explorer's name; it does not end within the hour.
_EXPLORER_LIFE_MAX = timedelta(hours=1, minutes=1)
ENDED = ("expired", "revoked")
DONE = {
    "revoked": "The key is revoked. Every request sent with it is refused from now on.",
    "changed": "The key is changed. It holds from its next request on.",
}
LIVES_IN_DAYS = ("", "7", "30", "90", "365")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just created; its text is in this one answer and nowhere else."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyView:
    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    status: str
    created: str
    created_iso: str
    last_used: str | None
    last_used_iso: str | None
    last_used_ip: str | None
    expires: str | None
    rotating_until: str | None = None
    week: int = 0
    month: int = 0
    per_minute: str = ""
    per_day: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The form of one key as it was filled in, and why it was not accepted."""

    key_id: str
    values: dict[str, str]
    problem: str


@dataclass(frozen=True, slots=True)
class KeysPage:
    """`scopes`: the verbs of each resource, as `read` of `entities`."""

    keys: tuple[KeyView, ...]
    scopes: dict[str, list[str]]
    created: NewKey | None = None
    done: str = ""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: dict[str, str] = field(default_factory=dict[str, str])
    refusal: Refusal | None = None

    @property
    def may_lack_older(self) -> bool:
        return len(self.keys) == KEYS_SHOWN


_BLANK: dict[str, Any] = {"name": "", "access": Preset.READ_ONLY.value, "scopes": [], "expires_days": ""}


@get("/keys", opt={"public": True})
async def keys_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.API_KEYS_MANAGE)
    return await _show(visitor, values=_BLANK, done=DONE.get(request.query_params.get("done", ""), ""))


@post("/keys", opt={"public": True})
async def create(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.API_KEYS_MANAGE)
    form = await read_form(request, visitor)
    values = {
        "name": (form.get("name") or [""])[0].strip(),
        "access": (form.get("access") or [""])[0],
        "scopes": form.get("scopes", []),
        "expires_days": (form.get("expires_days") or [""])[0],
    }
    try:
        created = await make_key(visitor, _read_key(values, utc_now()))
    except ValidationError as error:
        return await _show(visitor, values=values, problems=_describe_flaws(error), status=422)
    except PortalError as refusal:
        return await _show(visitor, values=values, problems={"": refusal.detail}, status=422)
    return await _show(visitor, values=_BLANK, created=created, status=201)


@post("/keys/{key_id:str}/change", opt={"public": True})
async def change(request: Request[Any, Any, Any]) -> Response[Any]:
    """Rename a key and set its own limits; a limit left empty is the plan's alone."""
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.API_KEYS_MANAGE).actor
    form = await read_form(request, visitor)
    values = {name: (form.get(name) or [""])[0].strip() for name in ("name", "per_minute", "per_day")}
    identity = parse_path_id("keyId", "thing", request.path_params["key_id"])
    try:
        wanted = _read_change(values)
        async with open_transaction(visitor.services.engine, actor) as session:
            await update_key(session, actor, identity, wanted, utc_now())
    except ValidationError:
        problem = "Give the key a name, and both limits as whole numbers from 1 on, or neither."
    except (Conflict, PrivilegeEscalation) as refusal:
        problem = refusal.detail
    else:
        await raise_epoch(visitor.services, actor)
        return Redirect("/keys?done=changed", status_code=303)
    refused = Refusal(request.path_params["key_id"], values, problem)
    return await _show(visitor, values=_BLANK, refusal=refused, status=422)


@post("/keys/{key_id:str}/revoke", opt={"public": True})
async def revoke(request: Request[Any, Any, Any]) -> Response[Any]:
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.API_KEYS_MANAGE).actor
    await read_form(request, visitor)
    identity = parse_path_id("keyId", "thing", request.path_params["key_id"])
    async with open_transaction(visitor.services.engine, actor) as session:
        await revoke_key(session, actor, identity, utc_now())
    await raise_epoch(visitor.services, actor)
    return Redirect("/keys?done=revoked", status_code=303)


@post("/keys/{key_id:str}/rotate", opt={"public": True})
async def rotate(request: Request[Any, Any, Any]) -> Response[str]:
    """Replace a key by one with the same rights; the old one goes on for a day."""
    visitor = await read_visitor(request)
    actor = visitor.member_who_may(Scope.API_KEYS_MANAGE).actor
    await read_form(request, visitor)
    identity = parse_path_id("keyId", "thing", request.path_params["key_id"])
    pepper = visitor.services.settings.key_pepper
    try:
        async with open_transaction(visitor.services.engine, actor) as session:
            made = await rotate_key(session, actor, identity, RotationCreate(), pepper=pepper, now=utc_now())
    except Conflict as refusal:
        return await _show(visitor, values=_BLANK, problems={"": refusal.detail}, status=422)
    await raise_epoch(visitor.services, actor)
    return await _show(visitor, values=_BLANK, created=NewKey(made.name, made.key), status=201)


async def make_key(visitor: Visitor, new: ApiKeyCreate) -> NewKey:
    """Create a key for the member, and hand over its text."""
    actor = visitor.member_who_may(Scope.API_KEYS_MANAGE).actor
    pepper = visitor.services.settings.key_pepper
    async with open_transaction(visitor.services.engine, actor) as session:
        key = await create_key(session, actor, new, pepper=pepper, now=utc_now())
    return NewKey(key.name, key.key)


def _read_key(values: dict[str, Any], now: datetime) -> ApiKeyCreate:
    """Raises: ValidationError."""
    given: dict[str, Any] = {"name": values["name"]}
    if values["access"] == "custom":
        given["scopes"] = values["scopes"]
    else:
        given["preset"] = values["access"]
    if values["expires_days"] in LIVES_IN_DAYS and values["expires_days"]:
        given["expiresAt"] = to_epoch_ms(now + timedelta(days=int(values["expires_days"])))
    return ApiKeyCreate.model_validate(given)


def _read_change(values: dict[str, str]) -> ApiKeyUpdate:
    """Raises: ValidationError."""
    named = {"requestsPerMinute": values["per_minute"], "requestsPerDay": values["per_day"]}
    limits = {name: int(text) if text.isdecimal() else text for name, text in named.items() if text}
    return ApiKeyUpdate.model_validate({"name": values["name"], "rateLimit": limits or None})


def _describe_flaws(error: ValidationError) -> dict[str, str]:
    places = {str(flaw["loc"][0]) if flaw["loc"] else "" for flaw in error.errors()}
    problems = {
        "name": "Give the key a name of up to 200 characters.",
        "scopes": "Choose at least one scope.",
        "preset": "Choose what the key may do.",
    }
    return {place: text for place, text in problems.items() if place in places} or {"": "This key cannot be created."}


async def list_own_keys(visitor: Visitor) -> list[ApiKey]:
    """The organisation's newest keys, without the explorer's, however many of those came and went."""
    actor = visitor.member().actor
    found: list[ApiKey] = []
    cursor: str | None = None
    async with open_transaction(visitor.services.engine, actor) as session:
        while len(found) < KEYS_SHOWN:
            request = PageRequest(visitor.services.settings.secret_key, KEYS_PER_QUERY, cursor)
            page = await list_keys(session, actor, request, utc_now())
            found += [key for key in page.rows if not _is_explorers(key)]
            cursor = page.next_cursor
            if cursor is None:
                break
    return found[:KEYS_SHOWN]


async def _count_calls(visitor: Visitor) -> dict[UUID, KeyUsage]:
    actor = visitor.member().actor
    page = PageRequest(visitor.services.settings.secret_key, KEYS_MAX)
    async with open_transaction(visitor.services.engine, actor) as session:
        found = await list_key_usage(session, actor, page, utc_now())
    return {usage.key_id: usage for usage in found.rows}


def _is_explorers(key: ApiKey) -> bool:
    brief = key.expires_at is not None and key.expires_at - key.created_at <= _EXPLORER_LIFE_MAX
    return key.name == EXPLORER_NAME and brief


async def _show(
    visitor: Visitor,
    *,
    values: dict[str, Any],
    problems: dict[str, str] | None = None,
    created: NewKey | None = None,
    done: str = "",
    refusal: Refusal | None = None,
    status: int = 200,
) -> Response[str]:
    used = await _count_calls(visitor)
    listed = sorted(await list_own_keys(visitor), key=lambda key: key.status in ENDED)
    keys = tuple(_view(key, used.get(key.id)) for key in listed)
    page = KeysPage(keys, _group_scopes(), created, done, values, problems or {}, refusal)
    return render("keys.html", visitor.site, page, status=status)


def _group_scopes() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for scope in Scope:
        resource, _, verb = scope.value.partition(":")
        groups.setdefault(resource, []).append(verb)
    return groups


def _view(key: ApiKey, used: KeyUsage | None) -> KeyView:
    return KeyView(
        id=encode_id("thing", key.id),
        name=key.name,
        prefix=key.prefix,
        scopes=tuple(key.scopes),
        status=key.status,
        created=_day(key.created_at),
        created_iso=key.created_at.isoformat(),
        last_used=_minute(key.last_used_at) if key.last_used_at else None,
        last_used_iso=key.last_used_at.isoformat() if key.last_used_at else None,
        last_used_ip=key.last_used_ip,
        expires=_day(key.expires_at) if key.expires_at else None,
        rotating_until=_minute(key.rotating_until) if key.rotating_until else None,
        week=used.last7_days if used else 0,
        month=used.this_month if used else 0,
        per_minute=str((key.rate_limit or {}).get("requestsPerMinute") or ""),
        per_day=str((key.rate_limit or {}).get("requestsPerDay") or ""),
    )


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def _minute(moment: datetime) -> str:
    return f"{_day(moment)}, {moment:%H:%M} UTC"


handlers = [keys_page, create, change, revoke, rotate]
