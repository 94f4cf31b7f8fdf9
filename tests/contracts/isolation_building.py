"""Writes the world that isolation is attacked in, through the API, with the keys of those to whom it belongs."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg

from ontology.database import open_duty, open_transaction
from ontology.ids import decode_id, encode_id
from ontology.key_shapes import KeyUse
from ontology.knowledge_items import KnowledgeItem
from ontology.people import Person
from ontology.records import to_epoch_ms, utc_now
from ontology.roles import Role
from ontology.scopes import PRESETS, Preset
from tests.contracts.isolation_requests import fill, own_ids, paged, repeatable
from tests.contracts.isolation_world import Belongings, World
from tests.program import Caller, Program, eventually
from worker.request_log import drain_request_log

# Reporting a leak ends the key that was reported, whoever reports it: tests/api/test_key_leaks.py.
_NOT_REPEATED = frozenset({"reportLeak"})
# Each below the one named after it. What was moved lay below the attackers' group.
_TREE = {
    "foreign branch": "foreign root",
    "foreign spare": "foreign root",
    "parent": "grandparent",
    "mine": "parent",
    "child": "mine",
    "sibling": "parent",
    "nephew": "sibling",
    "moved": "mine",
    "archived": "parent",
    "spare": "grandparent",
}


async def build_world(program: Program, superuser_url: str) -> World:
    """Write it through the API, with the keys of those to whom it belongs."""
    await program.redis.flushall()
    words = {"foreign root": _canary(), "grandparent": _canary()}
    stranger, root = await program.register(f"Group {words['foreign root']}"), await program.register("Acme")
    groups = {"foreign root": stranger.group_id, "grandparent": root.group_id}
    _lift_limits(superuser_url)
    owners = {name: stranger if name.startswith("foreign") else root for name in (*words, *_TREE)}
    for name, above in _TREE.items():
        words[name] = _canary()
        groups[name] = await _make_group(owners[name], groups[above], words[name])
    for name in ("foreign root", "grandparent"):
        texts = _texts(words[name])
        assert (await owners[name].call("PATCH", f"/v1/groups/{groups[name]}", json=texts)).status_code == 200
    belongings = {
        name: await _furnish(program, owners[name], groups[name], name, word)
        for name, word in words.items()
        if not name.endswith("spare")
    }
    await _reveal_actors(stranger, belongings["foreign root"])
    world = World(root, await _issue_keys(program, root, groups), groups, belongings, superuser_url)
    await _end_keys(program, world)
    await _use_keys(program, list(belongings.values()))
    await _move_and_archive(root, groups)
    for name, each in belongings.items():
        await _collect_events(owners[name], each)
    return world


def _lift_limits(superuser_url: str) -> None:
    """A run asks more in a minute than any plan allows; before the first request, since credentials are kept."""
    limits = json.dumps({"requestsPerMinute": 10_000_000, "requestsPerDay": 1_000_000_000})
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("UPDATE groups SET custom_limits = %s WHERE id = org_id", [limits])


async def _issue_keys(program: Program, root: Caller, groups: dict[str, str]) -> dict[str, Caller]:
    """One for each kind of attacker; those that end had every right in the whole organisation."""
    return {
        "root admin": root,
        "admin": await program.issue(root, group_id=groups["mine"]),
        "child key": await program.issue(root, group_id=groups["child"]),
        "read-only": await program.issue(root, *PRESETS[Preset.READ_ONLY], group_id=groups["mine"]),
        "expired": await program.issue(root),
        "revoked": await program.issue(root),
        "archived": await program.issue(root, group_id=groups["archived"]),
        "anonymous": replace(root, key=""),
    }


async def _end_keys(program: Program, world: World) -> None:
    """Have one key expire and one be revoked, after each was given and has sent what it may want to come back to."""
    for name in ("expired", "revoked"):
        world.ended[name] = Belongings("itself", world.callers[name], _canary())
        await _call_with_key(world.root_key, world.ended[name])
    revoked = world.callers["revoked"]
    assert (await world.root_key.delete(f"/v1/api-keys/{revoked.key_id}")).status_code == 200
    change = "UPDATE things SET properties = jsonb_set(properties, '{expiresAt}', to_jsonb(%s::bigint)) WHERE id = %s"
    with psycopg.connect(world.superuser_url, autocommit=True) as connection:
        connection.execute(change, [to_epoch_ms(utc_now()), decode_id(world.callers["expired"].key_id)[1]])
    await program.raise_epoch(world.root_key)


async def _move_and_archive(root: Caller, groups: dict[str, str]) -> None:
    place = f"/v1/groups/{groups['moved']}/parent"
    moved = await root.call("PUT", place, json={"parentGroupId": groups["sibling"]})
    assert moved.status_code == 200, moved.text
    archived = await root.delete(f"/v1/groups/{groups['archived']}")
    assert archived.status_code == 200, archived.text


async def _call_with_key(owner: Caller, found: Belongings) -> None:
    """Have the key ask for the first page of every list, and send everything that can be repeated safely."""
    key = found.key
    for attempt in paged():
        ready = fill(attempt, {"groupId": key.group_id}).with_query(limit="1")
        answer = await ready.send(key)
        assert answer.status_code == 200, answer.text
        if cursor := answer.json()["pagination"]["nextCursor"]:
            found.cursors[attempt.operation] = cursor
    for attempt in repeatable():
        if attempt.operation not in _NOT_REPEATED:
            ids = await own_ids(owner, key.group_id, attempt.operation)
            ready, name = fill(attempt, ids), uuid4().hex
            if ready.body and "email" in ready.body:
                ready = replace(ready, body=ready.body | {"email": f"{name}@example.com"})
            answer = await ready.send(key, name)
            assert answer.is_success, f"{attempt.operation}: {answer.text}"
            found.sent[attempt.operation] = (ready, name, answer.content)


def _canary() -> str:
    return f"canary{uuid4().hex[:12]}"


async def _make_group(owner: Caller, parent: str, word: str) -> str:
    made = await owner.make(
        "/v1/groups",
        name=f"Group {word}",
        slug=f"slug-{word}",
        parentGroupId=parent,
        **_texts(word),
    )
    return made["_id"]


def _texts(word: str) -> dict[str, Any]:
    return {"description": word, "metadata": {"note": word}, "settings": {"theme": word}}


async def _furnish(program: Program, owner: Caller, group: str, relation: str, word: str) -> Belongings:
    """One of everything, under the canary's name; the call itself is logged with it."""
    key = await program.issue(owner, group_id=group)
    found = Belongings(relation, key, word)
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
    found.add("thing", key.key_id)
    event = {"type": "course_enrolled", "targetId": ids[0], "metadata": {"note": word}, "groupId": group}
    await key.make("/v1/events", **event)
    application = await owner.make("/v1/applications", name=f"Application {word}", description=word, groupId=group)
    found.add("thing", application["_id"])
    found.useful |= {"restoreEntity": ids[2], "keyId": key.key_id, "applicationId": application["_id"]}
    found.add("person", await _store_person(program, owner, group, word))
    for name in ("invited", "also-invited"):
        invited = await owner.make(
            "/v1/invitations", email=f"{name}-{word}@example.com", role="customer", groupId=group
        )
        found.add("invitation", invited["_id"])
    called = await key.get("/v1/whoami", headers={"User-Agent": word})
    found.add("request", called.headers["x-request-id"])
    for words in (word, f"more {word}"):
        await _search(key, words)
    await _call_with_key(owner, found)
    rotated = await owner.make(f"/v1/api-keys/{key.key_id}/rotation", graceHours=24)
    found.add("thing", rotated["_id"])
    return found


async def _search(key: Caller, words: str) -> None:
    """Until it is in the log, which is written behind the answer."""
    assert (await key.post("/v1/knowledge/search", {"query": words})).status_code == 200

    async def is_logged() -> bool:
        return words in (await key.get("/v1/knowledge/searches")).text

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
                metadata_={"note": word},
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
        key_ids = {decode_id(victim.key.key_id)[1] for victim in victims}
        for key_id in key_ids:
            use = await session.get_one(KeyUse, key_id)
            use.last_used_at, use.last_used_ip, use.last_used_agent = utc_now(), *(words[use.group_id],) * 2


async def _collect_events(owner: Caller, victim: Belongings) -> None:
    events = await owner.all_rows("/v1/events", groupId=victim.group_id, limit="1000")
    assert {event["groupId"] for event in events} >= {victim.group_id}
    victim.add("event", *(event["_id"] for event in events if event["groupId"] == victim.group_id))
