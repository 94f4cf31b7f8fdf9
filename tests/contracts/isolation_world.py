"""Victims and attackers: two organisations, one of them a tree, and in every victim a word that nobody else may read.

```
A (root)                            B (root)
├── north                           ├── branch
│   ├── mine  ← most attackers' key └── spare
│   │   └── child
│   ├── sibling
│   │   ├── nephew
│   │   └── moved  (was below mine)
│   └── archived
└── spare  ← rows that belong to nobody's test
```
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import TupleRow

from api.operations import find_operations
from api.routes import operation_handlers
from ontology.ids import decode_id
from ontology.records import metadata
from ontology.scopes import PRESETS, Preset
from tests.contracts.isolation_requests import Attempt, attempts
from tests.program import Caller

# Refused with these, whatever they ask for, are callers whose key is no longer good, or who have none.
BARRED = {
    "expired": "expired_api_key",
    "revoked": "invalid_api_key",
    "archived": "group_archived",
    "anonymous": "missing_api_key",
}
ATTACKERS = ("admin", "root admin", "child key", "read-only", *BARRED)
FOREIGN = ("foreign root", "foreign branch")


@dataclass
class Belongings:
    """What one group holds, by kind of id; `canary` stands in every text of it.

    `cursors` and `sent` are what its `key` was given and has sent: pages it was to go on from, by operation, and
    requests under an idempotency key, with the answer. `useful` names the thing that is more than any other at a place,
    by operation or name of the place.
    """

    relation: str
    key: Caller
    canary: str
    ids: dict[str, list[str]] = field(default_factory=dict)
    useful: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    sent: dict[str, tuple[Attempt, str, bytes]] = field(default_factory=dict)

    @property
    def group_id(self) -> str:
        return self.key.group_id

    def add(self, kind: str, *ids: str) -> None:
        self.ids.setdefault(kind, []).extend(ids)


@dataclass(frozen=True)
class Attacker:
    """A key, what it must not learn of, and where it has rows of its own.

    Operations in `refused` are to be refused with the code `refusal`, whatever they are asked: all of them where the
    key is no good, or those that it has no scope for. What lies `within` its reach is attacked with the latter only.
    """

    name: str
    caller: Caller
    group_id: str
    victims: list[Belongings]
    within: list[Belongings] = field(default_factory=list)
    refused: frozenset[str] = frozenset()
    refusal: str = "insufficient_scope"

    @property
    def is_barred(self) -> bool:
        return self.name in BARRED


@dataclass(frozen=True)
class World:
    """Everyone in place, everything written."""

    root_key: Caller
    callers: dict[str, Caller]
    groups: dict[str, str]
    belongings: dict[str, Belongings]
    superuser_url: str
    ended: dict[str, Belongings] = field(default_factory=dict)

    def behind(self, client: httpx.AsyncClient, superuser_url: str) -> "World":
        """The same in a copy of the database, behind the door that `client` talks to."""
        callers = {name: replace(caller, client=client) for name, caller in self.callers.items()}
        return replace(
            self, root_key=replace(self.root_key, client=client), callers=callers, superuser_url=superuser_url
        )

    def attacker(self, name: str, client: httpx.AsyncClient | None = None) -> Attacker:
        """One of `ATTACKERS`, at the door that `client` talks to."""
        caller = self.callers[name] if client is None else replace(self.callers[name], client=client)
        match name:
            case "root admin":  # it reaches its whole organisation
                strangers = [self.belongings[each] for each in FOREIGN]
                return Attacker(name, caller, self.groups["spare"], strangers)
            case "admin":
                return Attacker(name, caller, self.groups["mine"], self._all_but("mine", "child"))
            case "read-only":
                victims, within = self._all_but("mine", "child"), [self.belongings["child"]]
                return Attacker(name, caller, self.groups["mine"], victims, within, _beyond(Preset.READ_ONLY))
            case "child key":
                victims = self._all_but("child", mine="parent", parent="grandparent")
                return Attacker(name, caller, self.groups["child"], victims)
            case _:
                victims = [*self._all_but(), *(each for ended, each in self.ended.items() if ended == name)]
                everything = frozenset(attempts())
                return Attacker(name, caller, self.groups["spare"], victims, [], everything, BARRED[name])

    def _all_but(self, *names: str, **renamed: str) -> list[Belongings]:
        others = {name: each for name, each in self.belongings.items() if name not in names}
        return [replace(each, relation=renamed.get(name, name)) for name, each in others.items()]

    def snapshot(self, some: Iterable[Belongings]) -> dict[str, list[Any]]:
        """Every row of these, as somebody sees it whom no wall stops."""
        groups = [decode_id(each.group_id)[1] for each in some]
        with psycopg.connect(self.superuser_url) as connection:
            return {name: _rows(connection, name, groups) for name in sorted(metadata.tables)}

    def forget_answers(self, caller: Caller) -> None:
        """What a key has sent under an idempotency key is new again."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            key_id = decode_id(caller.key_id)[1]
            connection.execute("DELETE FROM idempotency_records WHERE key_id = %s", [key_id])


def _rows(connection: psycopg.Connection[TupleRow], table: str, groups: list[UUID]) -> list[Any]:
    columns = metadata.tables[table].c
    column = next((name for name in ("group_id", "descendant_id") if name in columns), "org_id")
    column = "id" if table == "groups" else column
    where = f"{column} = ANY(%s)"
    if table == "events":  # that one of its keys was refused, its organisation is told
        where += " AND type <> 'api_auth_failed'"
    if table == "search_log":  # what somebody searches for is written behind the answers
        where += " AND query LIKE '%%canary%%'"
    if column == "org_id" and "person_id" in columns:
        where = "person_id IN (SELECT id FROM people WHERE group_id = ANY(%s))"
    query = f"SELECT to_jsonb(t) FROM {table} t WHERE {where} ORDER BY to_jsonb(t)::text"
    return [row for (row,) in connection.execute(query.encode(), [groups])]


def _beyond(preset: Preset) -> frozenset[str]:
    """The operations that a key with these scopes may not call."""
    about = find_operations(operation_handlers)
    return frozenset(each.id for each in about if each.scope is not None and each.scope not in PRESETS[preset])
