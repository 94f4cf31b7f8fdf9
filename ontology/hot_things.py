"""The hot statements on things: read one, list with the common filters, create one with its event.

The same rules as in `ontology.things`, in SQL and bytes; tests hold the answers equal to the byte. Whatever is not
said here (`Unserved`) is done there: other filters, quotas, refusals of a group.
"""

import json
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement
from sqlalchemy.dialects import postgresql

from ontology.actors import Actor
from ontology.errors import NotFound
from ontology.fast_database import (
    JSONB_TYPE,
    TEXT_TYPE,
    TIMESTAMPTZ_TYPE,
    UUID_TYPE,
    FastDatabase,
    HotStatement,
    Unserved,
    uuid_text,
)
from ontology.groups import ACTIVE, Group
from ontology.ids import encode_id, encode_suffix, new_id
from ontology.pagination import PageRequest, describe_list, make_cursor, read_cursor
from ontology.plans import PLAN_LIMITS
from ontology.records import to_epoch_ms
from ontology.thing_rows import MANAGED_TYPES, Thing, require_readable_type
from ontology.things import ThingCreate, check_new_thing
from ontology.vocabulary import THING_TYPES, get_thing_type

# Each is a prepared statement of its own: Postgres plans a list well only when it knows how far it goes.
LIMITS = frozenset({10, 20, 25, 50, 100})
_ORG, _GROUP = UUID("00000000-0000-7000-8000-00000000000a"), UUID("00000000-0000-7000-8000-00000000000b")
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_HIDING_TYPES = frozenset(name.encode() for name, kind in THING_TYPES.items() if kind.sensitive_names)

# JSON text by Postgres, but for ids; the fields in the order of `ThingFields`.
_COLUMNS = """
    things.id, things.group_id, things.type, things.updated_at,
    concat('"type":', to_json(things.type), ',"name":', to_json(things.name), ',"properties":', things.properties::text,
        ',"status":', to_json(things.status),
        ',"createdAt":', floor(extract(epoch FROM things.created_at) * 1000)::bigint,
        ',"updatedAt":', floor(extract(epoch FROM things.updated_at) * 1000)::bigint,
        ',"deletedAt":', coalesce(floor(extract(epoch FROM things.deleted_at) * 1000)::bigint::text, 'null'),
        ',"createdBy":', to_json(things.created_by), '}')"""


async def read_thing(database: FastDatabase, actor: Actor, thing_id: UUID) -> tuple[bytes, datetime]:
    """A thing within reach as JSON, deleted ones included, and when it last changed.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach. InsufficientScope: of its type. Unserved.
    """
    statement = _read_statement(_reach_of(actor, Thing))
    rows = await database.read(
        actor, statement, (uuid_text(actor.org_id), uuid_text(actor.group_id), str(thing_id).encode())
    )
    if not rows:
        raise NotFound
    require_readable_type(actor, cast("bytes", rows[0][2]).decode())
    return _squeeze(_encode(rows[0])), _read_moment(cast("bytes", rows[0][3]))


async def read_things(
    database: FastDatabase, actor: Actor, page: PageRequest, *, type: str | None, include_deleted: bool
) -> bytes:
    """Things of a type, or of all that are not managed, newest first, as a page in JSON.

    Only for an actor who reaches the whole organisation: for others no index serves the list in every case.

    Raises:
        UnknownType, InsufficientScope, InvalidCursor. Unserved.
    """
    if actor.group_id != actor.org_id or page.limit not in LIMITS:
        raise Unserved
    name = get_thing_type(type, "query.type").name if type else None
    if name is not None:
        require_readable_type(actor, name)
    purpose = _list_purpose(type, include_deleted)
    after = read_cursor(page, actor, purpose)
    statement = _list_statement(_reach_of(actor, Thing), page.limit, name is not None, include_deleted)
    values = (
        uuid_text(actor.org_id),
        uuid_text(actor.group_id),
        name.encode() if name is not None else None,
        str(after).encode() if after is not None else b"ffffffff-ffff-ffff-ffff-ffffffffffff",
    )
    rows = await database.read(actor, statement, values)
    shown = b",".join([_encode(row) for row in rows[: page.limit]])
    if len(rows) <= page.limit:
        return _squeeze(b'{"data":[%b],"pagination":{"nextCursor":null,"hasMore":false}}' % shown)
    last = cast("bytes", rows[page.limit - 1][0])
    cursor = make_cursor(page, actor, purpose, UUID(bytes=last))
    return _squeeze(b'{"data":[%b],"pagination":{"nextCursor":"%b","hasMore":true}}' % (shown, cursor.encode()))


async def write_thing(database: FastDatabase, actor: Actor, new: ThingCreate, now: datetime) -> bytes:
    """Create a thing and its event in one statement; the thing as JSON.

    Raises:
        UnknownType, ManagedType, FeatureDisabled, InvalidProperties.
        ServiceUnavailable: it may have been created, or not.
        Unserved: the group is counted, archived or out of reach.
    """
    kind = check_new_thing(actor, new)
    if PLAN_LIMITS[actor.plan].things_per_group_max is not None:
        raise Unserved
    thing_id, event_id = new_id(), new_id()
    group_id = new.group_id or actor.group_id
    target = f"thing_{encode_suffix(thing_id.int)}"
    happened = {"thingType": kind.name, "entityName": new.name, "status": new.status}
    values = (
        uuid_text(actor.org_id),
        uuid_text(actor.group_id),
        uuid_text(group_id),
        str(thing_id).encode(),
        kind.name.encode(),
        new.name.encode(),
        json.dumps(new.properties).encode(),
        new.status.encode(),
        now.isoformat().encode(),
        actor.id.encode(),
        str(event_id).encode(),
        target.encode(),
        json.dumps(happened).encode(),
        actor.request_id.encode() if actor.request_id is not None else None,
        uuid_text(actor.key_id) if actor.key_id is not None else None,
    )
    if not await database.write(actor, _create_statement(_reach_of(actor, Group)), values):
        raise Unserved
    moment = to_epoch_ms(now)
    hidden = kind.sensitive_names
    public = {
        "_id": target,
        "groupId": encode_id("group", group_id),
        "type": kind.name,
        "name": new.name,
        "properties": {name: value for name, value in new.properties.items() if name not in hidden},
        "status": new.status,
        "createdAt": moment,
        "updatedAt": moment,
        "deletedAt": None,
        "createdBy": actor.id,
    }
    return _dump(public)


def _reach_of(actor: Actor, model: type[Thing] | type[Group]) -> str:
    """Wall one, as SQL on the parameters $1 (organisation) and $2 (group)."""
    return _reach_sql(model.__name__, model.reach.__func__, actor.group_id == actor.org_id)


@lru_cache
def _reach_sql(name: str, _rule: Hashable, whole: bool) -> str:
    """The very condition of `TenantRow.reach`; a different rule is a different statement."""
    example = Actor(id="", org_id=_ORG, group_id=_ORG if whole else _GROUP, scopes=frozenset())
    model = Thing if name == Thing.__name__ else Group
    condition: ColumnElement[bool] = model.reach(example)
    dialect = postgresql.dialect()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    text = str(condition.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return text.replace(f"'{_ORG}'", "$1").replace(f"'{_GROUP}'", "$2")


@lru_cache
def _read_statement(reach: str) -> HotStatement:
    sql = f"SELECT {_COLUMNS} FROM things WHERE {reach} AND things.id = $3"  # noqa: S608 - nothing of a caller's
    return _statement(sql, (UUID_TYPE, UUID_TYPE, UUID_TYPE))


@lru_cache
def _list_statement(reach: str, limit: int, of_one_type: bool, include_deleted: bool) -> HotStatement:
    """Served by ix_things_org_id_type_id or uq_things_org_id_id, backwards."""
    managed = ", ".join(f"'{name}'" for name in MANAGED_TYPES)
    of_type = "things.type = $3" if of_one_type else f"things.type NOT IN ({managed})"
    live = "" if include_deleted else "AND things.deleted_at IS NULL"
    condition = f"{reach} AND {of_type} {live} AND things.id < $4"
    order = f"ORDER BY things.id DESC LIMIT {limit + 1}"
    sql = f"SELECT {_COLUMNS} FROM things WHERE {condition} {order}"  # noqa: S608 - nothing of a caller's
    return _statement(sql, (UUID_TYPE, UUID_TYPE, TEXT_TYPE, UUID_TYPE))


@lru_cache
def _create_statement(reach: str) -> HotStatement:
    """Nothing is written unless the group is within reach and active."""
    return _statement(
        f"""
        WITH place AS (SELECT groups.id FROM groups WHERE {reach} AND groups.id = $3 AND groups.status = '{ACTIVE}'),
        made AS (
            INSERT INTO things
                (org_id, id, group_id, type, name, properties, status, created_at, updated_at, created_by)
            SELECT $1, $4, place.id, $5, $6, $7, $8, $9, $9, $10 FROM place RETURNING group_id
        )
        INSERT INTO events
            (org_id, id, group_id, type, actor_id, target_id, timestamp, metadata, request_id, key_id)
        SELECT $1, $11, made.group_id, 'thing_created', $10, $12, $9, $13, $14, $15 FROM made RETURNING id
        """,  # noqa: S608 - nothing of a caller's
        (
            *(UUID_TYPE, UUID_TYPE, UUID_TYPE, UUID_TYPE, TEXT_TYPE, TEXT_TYPE, JSONB_TYPE, TEXT_TYPE),
            *(TIMESTAMPTZ_TYPE, TEXT_TYPE, UUID_TYPE, TEXT_TYPE, JSONB_TYPE, TEXT_TYPE, UUID_TYPE),
        ),
    )


def _statement(sql: str, types: tuple[int, ...]) -> HotStatement:
    """Named by its text, so that a changed text is never taken for the one that was prepared."""
    return HotStatement(f"hot_{hash(sql) & 0xFFFFFFFFFFFFFFFF:x}".encode(), sql.encode(), types)


@lru_cache
def _list_purpose(type: str | None, include_deleted: bool) -> str:
    return describe_list("things", type=type, status=None, q=None, group=None, deleted=include_deleted)


def _encode(row: tuple[bytes | None, ...]) -> bytes:
    thing_id, group_id, type, _, rest = cast("tuple[bytes, ...]", row)
    if type in _HIDING_TYPES or b"0.0000" in rest:
        rest = _read_again(type.decode(), rest)
    suffix = encode_suffix(int.from_bytes(thing_id, "big")).encode()
    return b'{"_id":"thing_%b","groupId":"%b",%b' % (suffix, _encode_group(group_id), rest)


def _read_again(type: str, rest: bytes) -> bytes:
    """Where something is hidden, or a small number reads differently in Postgres, the long way's own encoder writes."""
    found: dict[str, Any] = json.loads(b"{" + rest)
    hidden = THING_TYPES[type].sensitive_names
    found["properties"] = {name: value for name, value in found["properties"].items() if name not in hidden}
    return _dump(found)[1:]


def _read_moment(value: bytes) -> datetime:
    """Postgres counts microseconds from 2000 on."""
    return _POSTGRES_EPOCH + timedelta(microseconds=int.from_bytes(value, "big", signed=True))


def _squeeze(text: bytes) -> bytes:
    """JSON without the spaces that Postgres puts between things."""
    return msgspec.json.format(text, indent=-1)


@lru_cache(maxsize=10_000)
def _encode_group(value: bytes) -> bytes:
    return encode_id("group", UUID(bytes=value)).encode()


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
