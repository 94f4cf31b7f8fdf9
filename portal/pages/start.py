"""`/start`: organisation, key, first call."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get, post

from api.examples import ENTITY_CREATE
from ontology.database import open_transaction
from ontology.ids import encode_id
from ontology.key_shapes import ApiKeyCreate
from ontology.scopes import Preset, Scope
from ontology.thing_lists import count_things
from portal.pages.keys import ENDED, NewKey, list_own_keys, make_key
from portal.rendering import render
from portal.sessions import Visitor, read_form, read_visitor

START = "/start"


@dataclass(frozen=True, slots=True)
class StartPage:
    """The three steps; `created` is set in the one answer that shows the key.

    `has_keys`: one of them works. `called`: an entity is stored, or a key has been used.
    """

    organisation_name: str
    organisation_id: str
    handle: str
    has_keys: bool
    called: bool
    created: NewKey | None
    body_example: str
    public_url: str
    curl: str


@get("/start", opt={"public": True})
async def start_page(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    return await show_start(visitor, None)


@post("/start/key", opt={"public": True})
async def start_key(request: Request[Any, Any, Any]) -> Response[str]:
    visitor = await read_visitor(request)
    visitor.member_who_may(Scope.API_KEYS_MANAGE)
    await read_form(request, visitor)
    name = f"Key {len(await list_own_keys(visitor)) + 1}"
    new = ApiKeyCreate.model_validate({"name": "First key" if name == "Key 1" else name, "preset": Preset.ADMIN.value})
    return await show_start(visitor, await make_key(visitor, new), status=201)


async def show_start(visitor: Visitor, created: NewKey | None, *, status: int = 200) -> Response[str]:
    member = visitor.member()
    public_url = visitor.services.settings.public_url
    manages = member.may(Scope.API_KEYS_MANAGE)
    keys = await list_own_keys(visitor) if manages else []
    page = StartPage(
        organisation_name=member.organisation_name,
        organisation_id=encode_id("group", member.actor.org_id),
        handle=member.handle,
        has_keys=any(key.status not in ENDED for key in keys),
        called=any(key.last_used_at for key in keys) or (manages and await _has_entities(visitor)),
        created=created,
        body_example=json.dumps(ENTITY_CREATE, indent=2),
        public_url=public_url,
        curl=(
            f"export ONE_API_KEY={shlex.quote(created.text if created else 'org_…_key_…')}\n\n"
            f"curl -sS {public_url}/v1/entities \\\n"
            '  -H "Authorization: Bearer $ONE_API_KEY" \\\n'
            "  -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(json.dumps(ENTITY_CREATE))}"
        ),
    )
    return render("start.html", visitor.site, page, status=status, cookies=visitor.cookies)


async def _has_entities(visitor: Visitor) -> bool:
    """The first call stores one, which is seen at once; the use of its key only when the worker has told it."""
    actor = visitor.member().actor
    async with open_transaction(visitor.services.engine, actor) as session:
        return await count_things(session, actor, at_most=1) > 0


handlers = [start_page, start_key]
