"""Victims and attackers: two organisations, one of them a tree, and in every victim a word that nobody else may read.

```
A (root)                 B (root)
└── north                └── branch
    ├── mine  ← the attacker's key
    │   └── child
    └── sibling
        └── nephew
```
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from knowledge.answerability import Likeness, list_examples
from knowledge.protocol import RankedDocument, SearchRequest
from ontology.database import open_duty, open_transaction
from ontology.ids import decode_id, encode_id
from ontology.key_shapes import KeyUse
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import metadata, utc_now
from ontology.roles import Role
from tests.program import Caller, Program, eventually
from worker.request_log import drain_request_log


@dataclass
class Belongings:
    """What one group holds, by kind of id; `canary` stands in every text of it."""

    relation: str
    group_id: str
    canary: str
    ids: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *ids: str) -> None:
        self.ids.setdefault(kind, []).extend(ids)


@dataclass
class World:
    """Everyone in place, everything written."""

    root_key: Caller
    mine_key: Caller
    stranger_key: Caller
    victims: list[Belongings]
    mine: Belongings
    superuser_url: str

    def key_of(self, attacker: str) -> Caller:
        return self.root_key if attacker == "root" else self.mine_key

    def victims_of(self, attacker: str) -> list[Belongings]:
        """The root key reaches its whole organisation, so only strangers are its victims."""
        strangers = [victim for victim in self.victims if victim.relation.startswith("foreign")]
        return strangers if attacker == "root" else self.victims

    def snapshot(self) -> dict[str, list[Any]]:
        """Every row of every victim, as somebody sees it whom no wall stops."""
        groups = [decode_id(victim.group_id)[1] for victim in self.victims]
        return {name: self._rows(name, groups) for name in sorted(metadata.tables)}

    def _rows(self, table: str, groups: list[UUID]) -> list[Any]:
        columns = metadata.tables[table].c
        column = next((name for name in ("group_id", "descendant_id") if name in columns), "org_id")
        column = "id" if table == "groups" else column
        where = f"{column} = ANY(%s)"
        if column == "org_id" and "person_id" in columns:
            where = "person_id IN (SELECT id FROM people WHERE group_id = ANY(%s))"
        if table == "search_log":  # what an attacker searches for itself is written behind the answers
            where += " AND query LIKE 'canary%%'"
        with psycopg.connect(self.superuser_url, row_factory=dict_row) as connection:
            query = f"SELECT to_jsonb(t) AS row FROM {table} t WHERE {where} ORDER BY to_jsonb(t)::text"
            return [row["row"] for row in connection.execute(query.encode(), [groups]).fetchall()]


class LeakyIndex:
    """A search index that forgot every filter: it names each document there is, and the database has to refuse."""

    def __init__(self, superuser_url: str) -> None:
        self._superuser_url = superuser_url

    async def search(self, request: SearchRequest) -> list[RankedDocument]:
        return await asyncio.to_thread(self._name_all)

    async def weigh(self, request: SearchRequest) -> Likeness:
        """Everything is answered, from whatever is named."""
        return Likeness((1.0,), dict.fromkeys(list_examples(), (0.0,)))

    async def compare(self, question: str, texts: Sequence[str], owner: UUID) -> list[float]:
        return [1.0] * len(texts)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def _name_all(self) -> list[RankedDocument]:
        query = "SELECT document_id, id FROM knowledge_items WHERE knowledge_type = 'chunk'"
        with psycopg.connect(self._superuser_url) as connection:
            return [RankedDocument(document, passage, 0.5) for document, passage in connection.execute(query)]


async def add_lost_victims(program: Program, world: World) -> list[Belongings]:
    """Two that were near the attacker: a group that was below its own and was moved away, and one that is archived."""
    north = (await world.root_key.get(f"/v1/groups/{world.mine.group_id}")).json()["parentGroupId"]
    sibling = next(victim for victim in world.victims if victim.relation == "sibling")
    found: list[Belongings] = []
    for relation, parent in (("moved", world.mine.group_id), ("archived", north)):
        word = _canary()
        group = await _make_group(world.root_key, parent, word)
        found.append(await _furnish(program, world.root_key, group, relation, word))
    await _use_keys(program, found)
    place = f"/v1/groups/{found[0].group_id}/parent"
    moved = await world.root_key.call("PUT", place, json={"parentGroupId": sibling.group_id})
    assert moved.status_code == 200, moved.text
    archived = await world.root_key.delete(f"/v1/groups/{found[1].group_id}")
    assert archived.status_code == 200, archived.text
    await _collect_events(world.root_key, found)
    return found


async def build_world(program: Program, superuser_url: str) -> World:
    """Write it through the API, with the keys of those to whom it belongs."""
    await program.redis.flushall()
    root = await program.register("Acme")
    stranger = await program.register(f"Stranger {(foreign_word := _canary())}")
    tree = {"root": root.group_id}
    words = {"root": _canary()}
    for name, parent in (
        ("north", "root"),
        ("mine", "north"),
        ("child", "mine"),
        ("sibling", "north"),
        ("nephew", "sibling"),
    ):
        words[name] = _canary()
        tree[name] = await _make_group(root, tree[parent], words[name])
    branch_word = _canary()
    branch = await _make_group(stranger, stranger.group_id, branch_word)
    victims = [
        await _furnish(program, stranger, stranger.group_id, "foreign root", foreign_word),
        await _furnish(program, stranger, branch, "foreign branch", branch_word),
        await _furnish(program, root, tree["root"], "grandparent", words["root"]),
        await _furnish(program, root, tree["north"], "parent", words["north"]),
        await _furnish(program, root, tree["sibling"], "sibling", words["sibling"]),
        await _furnish(program, root, tree["nephew"], "nephew", words["nephew"]),
    ]
    mine = await _furnish(program, root, tree["mine"], "mine", words["mine"])
    mine.add("group", tree["child"])
    await _reveal_actors(stranger, victims[0])
    mine_key = await program.issue(root, group_id=tree["mine"])
    await _use_keys(program, victims)
    await _collect_events(root, victims[2:])
    await _collect_events(stranger, victims[:2])
    return World(root, mine_key, stranger, victims, mine, superuser_url)


def _canary() -> str:
    return f"canary{uuid4().hex[:12]}"


async def _make_group(owner: Caller, parent: str, word: str) -> str:
    made = await owner.make(
        "/v1/groups",
        name=f"Group {word}",
        slug=f"slug-{word}",
        description=word,
        metadata={"note": word},
        settings={"theme": word},
        parentGroupId=parent,
    )
    return made["_id"]


async def _furnish(program: Program, owner: Caller, group: str, relation: str, word: str) -> Belongings:
    """One of everything, under the canary's name; the call itself is logged with it."""
    found = Belongings(relation, group, word)
    found.add("group", group)
    things = [
        await owner.make_thing(
            f"Course {word}", groupId=group, properties={"title": word, "extra": {word: [word]}}, type=type
        )
        for type in ("course", "lesson", "course")
    ]
    ids = [thing["_id"] for thing in things]
    assert (await owner.delete(f"/v1/entities/{ids[2]}")).status_code == 200
    found.add("thing", *ids)
    ends = {"fromId": ids[1], "toId": ids[0], "groupId": group}
    connection = await owner.make("/v1/connections", relationshipType="part_of", metadata={"note": word}, **ends)
    found.add("connection", connection["_id"])
    document = await owner.make(
        "/v1/knowledge/documents",
        title=f"Page {word}",
        text=f"# {word}\n\n{word}",
        labels=[word],
        externalId=word,
        url=f"/{word}",
        groupId=group,
    )
    found.add("knowledge", document["_id"])
    await _store_passage(program, document["_id"], word)
    key = await program.issue(owner, group_id=group)
    found.add("thing", key.key_id)
    application = await owner.make("/v1/applications", name=f"Application {word}", description=word, groupId=group)
    found.add("thing", application["_id"])
    found.add("person", await _store_person(program, owner, group, word))
    invited = await owner.make("/v1/invitations", email=f"invited-{word}@example.com", role="customer", groupId=group)
    found.add("invitation", invited["_id"])
    await _search(key, word)
    called = await key.get("/v1/whoami", headers={"User-Agent": word})
    found.add("request", called.headers["x-request-id"])
    rotated = await owner.make(f"/v1/api-keys/{key.key_id}/rotation", graceHours=24)
    found.add("thing", rotated["_id"])
    return found


async def _search(key: Caller, word: str) -> None:
    """Until it is in the log, which is written behind the answer."""
    assert (await key.post("/v1/knowledge/search", {"query": word})).status_code == 200

    async def is_logged() -> bool:
        return word in (await key.get("/v1/knowledge/searches")).text

    await eventually(is_logged)


async def _store_passage(program: Program, document_id: str, word: str) -> None:
    """As the worker would."""
    async with open_duty(program.engine, "indexing") as session:
        document = await session.get_one(KnowledgeItem, decode_id(document_id)[1])
        session.add(
            KnowledgeItem(
                org_id=document.org_id,
                group_id=document.group_id,
                knowledge_type="chunk",
                document_id=document.id,
                position=0,
                text=word,
                title=word,
                heading_path=[word],
                visibility=document.visibility,
                created_by=document.created_by,
            )
        )


async def _store_person(program: Program, owner: Caller, group: str, word: str) -> str:
    person = Person(
        org_id=owner.org_id,
        group_id=decode_id(group)[1],
        name=word,
        email=f"{word}@example.com",
        role=Role.CUSTOMER,
        created_by=owner.owner.id,
    )
    async with open_transaction(program.engine, owner.owner) as session:
        session.add(person)
    return encode_id("person", person.id)


async def _reveal_actors(stranger: Caller, found: Belongings) -> None:
    """The service account a stranger's keys act as, and the person who owns the organisation."""
    found.add("thing", (await stranger.get("/v1/whoami")).json()["actor"]["_id"])
    found.add("person", stranger.owner.id)


async def _use_keys(program: Program, victims: list[Belongings]) -> None:
    """Move the logged calls to the database, and see that the keys' last use names the canary too."""
    while await drain_request_log(program.engine, program.redis):
        continue
    words = {decode_id(victim.group_id)[1]: victim.canary for victim in victims}
    async with open_duty(program.engine, "request_log") as session:
        key_ids = {decode_id(victim.ids["thing"][3])[1] for victim in victims}
        for key_id in key_ids:
            use = await session.get_one(KeyUse, key_id)
            use.last_used_at, use.last_used_ip = utc_now(), words[use.group_id]


async def _collect_events(owner: Caller, victims: list[Belongings]) -> None:
    for victim in victims:
        events = await owner.all_rows("/v1/events", groupId=victim.group_id, limit="1000")
        assert {event["groupId"] for event in events} == {victim.group_id}
        victim.add("event", *(event["_id"] for event in events))
