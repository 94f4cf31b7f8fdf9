"""What an operation takes, with values to choose from: those its OpenAPI document lists, and ids the caller may see.

No value comes from anybody else's calls: the log has none, and ids are read as the caller.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.openapi_parts import as_mapping, as_sequence, resolve
from ontology.actors import Actor
from ontology.recent_ids import RecentId, list_recent_ids
from ontology.records import Record

RECENT_IDS = 5
CHOICES_MAX, PARAMETERS_MAX = 100, 60
_ID_PATTERN = re.compile(r"\^\(?([a-z]+(?:\|[a-z]+)*)\)?_\[0-7\]")
# Names that say more than the kind of their id.
_KINDS = {"keyId": ("key",), "applicationId": ("application",)}
# Alternatives within alternatives.
_ALTERNATIVES_MAX = 4


class Parameter(Record):
    """A parameter or a field of the body, with what may stand there."""

    place: str
    name: str
    type: str
    required: bool
    description: str
    choices: list[str]
    recent: list[RecentId]


class Completer:
    """Completes operations of one OpenAPI document for one caller; ids of a kind are read once."""

    def __init__(self, session: AsyncSession, actor: Actor, openapi: Mapping[str, Any], now: datetime) -> None:
        self._session = session
        self._actor = actor
        self._openapi = openapi
        self._now = now
        self._recent: dict[str, list[RecentId]] = {}

    async def list_parameters(self, method: str, path: str) -> list[Parameter]:
        """Path, query and body of an operation, required ones first; none of what the document does not have."""
        item = as_mapping(as_mapping(self._openapi.get("paths")).get(path))
        about = as_mapping(item.get(method.lower()))
        found = [*self._read_parameters(about), *self._read_body(about)]
        found.sort(key=lambda entry: not entry[2])
        return [await self._complete(*entry) for entry in found[:PARAMETERS_MAX]]

    def _read_parameters(self, about: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, Mapping[str, Any], str]]:
        for parameter in as_sequence(about.get("parameters")):
            if (place := parameter.get("in")) in ("path", "query"):
                schema, said = self._resolve(parameter.get("schema")), parameter.get("description", "")
                yield place, parameter["name"], bool(parameter.get("required")), schema, said

    def _read_body(self, about: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, Mapping[str, Any], str]]:
        contents = as_mapping(as_mapping(about.get("requestBody")).get("content"))
        schema = self._resolve(as_mapping(next(iter(contents.values()), None)).get("schema"))
        required = as_sequence(schema.get("required"))
        for name, field in as_mapping(schema.get("properties")).items():
            yield "body", name, name in required, self._resolve(field), as_mapping(field).get("description", "")

    async def _complete(self, place: str, name: str, required: bool, schema: Mapping[str, Any], said: str) -> Parameter:
        kinds = _KINDS.get(name) or _list_kinds(schema)
        return Parameter(
            place=place,
            name=name,
            type=" or ".join(f"{kind} id" for kind in kinds) or _name_type(schema),
            required=required,
            description=said or str(schema.get("description") or ""),
            choices=self._list_choices(schema),
            recent=[found for kind in kinds for found in await self._find_recent(kind)],
        )

    def _list_choices(self, schema: Mapping[str, Any]) -> list[str]:
        if items := schema.get("items"):
            return self._list_choices(self._resolve(items))
        listed = as_sequence(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])
        return [str(value) for value in listed if value is not None][:CHOICES_MAX]

    async def _find_recent(self, kind: str) -> list[RecentId]:
        if kind not in self._recent:
            found = await list_recent_ids(self._session, self._actor, kind, self._now, limit=RECENT_IDS)
            self._recent[kind] = found
        return self._recent[kind]

    def _resolve(self, given: object) -> Mapping[str, Any]:
        """The schema itself: references followed, and of alternatives the one that is not null."""
        schema = resolve(self._openapi, as_mapping(given))
        for _ in range(_ALTERNATIVES_MAX):
            options = [each for each in map(as_mapping, as_sequence(schema.get("anyOf"))) if each != {"type": "null"}]
            if not options:
                break
            schema = resolve(self._openapi, options[0])
        return schema


def _list_kinds(schema: Mapping[str, Any]) -> Sequence[str]:
    found = _ID_PATTERN.match(str(schema.get("pattern") or ""))
    return found[1].split("|") if found else ()


def _name_type(schema: Mapping[str, Any]) -> str:
    given = schema.get("type", "any")
    return " or ".join(map(str, cast("list[object]", given))) if isinstance(given, list) else str(given)
