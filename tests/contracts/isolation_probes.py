"""Every probe of one attacker: each place that takes an id, a text, a cursor or an idempotency key, with a victim's.

Each compares the answer for what is a victim's with the answer for what never existed; they have to be equal, nothing
of the victim may stand in them, and no row of a victim may have changed. What never existed is asked for once at each
place. Requests that only read are sent all at once, those that change something place by place.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx

from tests.contracts.isolation_design import ENDS, choose_ends, choose_ids, choose_victims
from tests.contracts.isolation_findings import Aim, Findings
from tests.contracts.isolation_requests import (
    Attempt,
    Slot,
    attempts,
    fill,
    filters,
    lists,
    never_existed,
    own_ids,
    paged,
    repeatable,
    slots,
    stream_rows,
)
from tests.contracts.isolation_world import Attacker, Belongings, World

# Different in two answers of equal meaning.
_CHANGING_HEADERS = frozenset({"x-request-id", "ratelimit", "ratelimit-policy", "date", "etag"})
# Without walls deleting a victim's document hides it from later probes, and archiving a group above the attacker's own
# ends the attack.
_LAST = {"deleteDocument": 1, "archiveGroup": 2}
# What a text that is filtered by may be a part of.
_FORMS = ("{}", "{}@example.com", "invited-{}@example.com")
# Answered when somebody else's, or nobody's, is sent.
_NO_CURSOR = "invalid_cursor"

Own = dict[tuple[str, str], dict[str, str]]
"""Rows of the attackers' own, by group and operation; no probe that is refused uses them up."""


@dataclass(frozen=True)
class _Attack:
    """One attacker at work."""

    world: World
    attacker: Attacker
    own: Own
    findings: Findings
    tail: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def prepare(self, operation: str) -> None:
        """Have what the operation may do its work on."""
        key = (self.attacker.group_id, operation)
        if key not in self.own:
            owner = replace(self.world.root_key, client=self.attacker.caller.client)
            self.own[key] = await own_ids(owner, self.attacker.group_id, operation)

    def ready(self, attempt: Attempt, slot: Slot | None = None) -> Attempt:
        """With ids of the attacker's own in every place but one."""
        return fill(attempt, self.own[self.attacker.group_id, attempt.operation], slot)

    async def ask(self, attempt: Attempt) -> httpx.Response:
        """Tails one after the other, since an organisation may have but a few at once."""
        async with self.tail if attempt.operation == "tailEvents" else nullcontext():
            return await attempt.send(self.attacker.caller)

    def judge_twin(self, place: str, operation: str, twin: httpx.Response, *, is_nothing: bool) -> None:
        """What is sent for nobody's has to be answered so, or refused if that is what the attacker has coming."""
        refused = _code(twin) == self.attacker.refusal
        if refused != (operation in self.attacker.refused) or not (refused or is_nothing):
            self.findings.complain(place, f"{twin.status_code} {twin.text}")


async def attack(world: World, attacker: Attacker, own: Own, aim: Aim) -> Findings:
    """Send every probe that is aimed at."""
    attacker = replace(attacker, victims=aim.choose(attacker.victims), within=aim.choose(attacker.within))
    attacked = [*attacker.victims, *attacker.within]
    running = _Attack(world, attacker, own, Findings(attacker.name))
    before = world.snapshot(attacked)
    await _send_all(running, aim)
    after = world.snapshot(attacked)
    changed = [f"rows of a victim in {table} have changed" for table, rows in before.items() if rows != after[table]]
    running.findings.told["the database"] = changed
    return running.findings


async def _send_all(running: _Attack, aim: Aim) -> None:
    places = [(turn, slot) for turn, slot in enumerate(slots()) if aim.takes(slot.operation, slot.where)]
    pages = [(turn, attempt) for turn, attempt in enumerate(paged()) if aim.takes(attempt.operation, "cursor")]
    needed = {slot.operation for _, slot in places} | {attempt.operation for _, attempt in pages}
    await together(running.prepare(operation) for operation in needed)
    reading = [_probe_slot(running, slot, turn) for turn, slot in places if _only_reads(slot)]
    reading += [_probe_list(running, attempt) for attempt in lists() if aim.takes(attempt.operation, "list")]
    for turn, (attempt, name) in enumerate(filters()):
        if aim.takes(attempt.operation, "filter"):
            reading.append(_probe_filter(running, attempt, name, turn))
    await together([*reading, *(_probe_cursor(running, attempt, turn) for turn, attempt in pages)])
    again = [(turn, attempt.operation) for turn, attempt in enumerate(repeatable())]
    again = [each for each in again if aim.takes(each[1], "idempotency key")]
    for end in ENDS:
        if not running.attacker.is_barred:
            running.world.forget_answers(running.attacker.caller)
        await together(_probe_idempotency_key(running, operation, turn, end) for turn, operation in again)
    changing = [(turn, slot) for turn, slot in places if not _only_reads(slot)]
    for turn, slot in sorted(changing, key=lambda each: _LAST.get(each[1].operation, 0)):
        await _probe_slot(running, slot, turn)


async def together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Take all steps at once; how many requests that makes is for the door to say."""
    async with asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(step)


def _only_reads(slot: Slot) -> bool:
    return attempts()[slot.operation].method == "GET"


async def _probe_slot(running: _Attack, slot: Slot, turn: int) -> None:
    attacker, place = running.attacker, str(slot)
    ready = running.ready(attempts()[slot.operation], slot)
    running.findings.told.setdefault(place, [])

    async def probe(victim: Belongings, value: str, twin: httpx.Response, nobody: str) -> None:
        answer = await running.ask(ready.with_id(slot, value))
        leaks = _compare(answer, value, twin, nobody)
        leaks += _find_words(answer.text.replace(value, ""), attacker.victims)
        running.findings.note(place, slot.where, victim.relation, leaks)

    for kind in slot.kinds:
        nobody = never_existed(kind)
        twin = await running.ask(ready.with_id(slot, nobody))
        running.judge_twin(place, slot.operation, twin, is_nothing=_is_nothing(twin))
        await together(
            probe(victim, value, twin, nobody)
            for more, victim in enumerate(choose_victims(attacker, slot.operation, turn, partial(_has, kind)))
            for value in choose_ids(attacker, victim, slot, kind, turn + more)
        )


def _has(kind: str, victim: Belongings) -> bool:
    return kind in victim.ids


async def _probe_list(running: _Attack, attempt: Attempt) -> None:
    attacker, place = running.attacker, f"{attempt.operation} {attempt.query}"
    text = ""
    while True:
        answer = await running.ask(attempt)
        text += answer.text
        running.judge_twin(place, attempt.operation, answer, is_nothing=answer.status_code == 200)
        cursor = _read(answer).get("pagination", {}).get("nextCursor")
        if cursor is None:
            break
        attempt = attempt.with_query(cursor=cursor)
    for victim in attacker.victims:
        running.findings.note(place, "list", victim.relation, _find_words(text, [victim]))


async def _probe_filter(running: _Attack, attempt: Attempt, name: str, turn: int) -> None:
    """By the texts of a victim: finding none of its rows must look as it does for a text that nobody wrote."""
    place, nobody = f"{attempt.operation} filter {name}", f"canary{secrets.token_hex(6)}"
    for form in _FORMS:
        twin = await running.ask(attempt.with_query(**{name: form.format(nobody)}))
        running.judge_twin(place, attempt.operation, twin, is_nothing=_is_nothing(twin))
        for victim in choose_victims(running.attacker, attempt.operation, turn):
            answer = await running.ask(attempt.with_query(**{name: form.format(victim.canary)}))
            leaks = _compare(answer, victim.canary, twin, nobody)
            running.findings.note(place, "filter", victim.relation, leaks)


async def _probe_cursor(running: _Attack, attempt: Attempt, turn: int) -> None:
    attacker, place = running.attacker, f"{attempt.operation} cursor"
    ready = running.ready(attempt).with_query(limit="1")
    nobody = base64.urlsafe_b64encode(secrets.token_bytes(28)).decode().rstrip("=")
    twin = await running.ask(ready.with_query(cursor=nobody))
    running.judge_twin(place, attempt.operation, twin, is_nothing=_code(twin) == _NO_CURSOR)
    for victim in choose_victims(attacker, attempt.operation, turn, lambda each: attempt.operation in each.cursors):
        cursor = victim.cursors[attempt.operation]
        answer = await running.ask(ready.with_query(cursor=cursor))
        leaks = _compare(answer, cursor, twin, nobody) + _find_words(answer.text, attacker.victims)
        running.findings.note(place, "cursor", victim.relation, leaks)


async def _probe_idempotency_key(running: _Attack, operation: str, turn: int, end: bytes) -> None:
    """The victim's request, with `end` behind it, under the key that the victim used."""
    place = f"{operation} idempotency key"
    victims = choose_victims(running.attacker, operation, turn, lambda each: operation in each.sent)
    for more, victim in enumerate(victims):
        if end in choose_ends(turn + more):
            attempt, name, first = victim.sent[operation]
            leaks = await _ask_again(partial(attempt.send, running.attacker.caller, end=end), name, first)
            running.findings.note(place, "idempotency key", victim.relation, leaks)


async def _ask_again(ask: Callable[..., Awaitable[httpx.Response]], name: str, first: bytes) -> list[str]:
    """A request may change what the next one is answered, so the twin is asked before and, if need be, after."""
    before = await ask(idempotency_key=secrets.token_hex(16))
    answer = await ask(idempotency_key=name)
    # What everybody is answered says nothing of the victim.
    if (answer.content == first and before.content != first) or "idempotent-replayed" in answer.headers:
        return ["the answer that the victim was given"]
    if answer.is_success and before.is_success:
        return []
    leaks = _compare(answer, name, before, name)
    return leaks and _compare(answer, name, await ask(idempotency_key=secrets.token_hex(16)), name)


def _compare(answer: httpx.Response, probed: str, twin: httpx.Response, nobody: str) -> list[str]:
    if _describe(answer, probed) == _describe(twin, nobody):
        return []
    return [f"{probed}: {answer.status_code} instead of {twin.status_code}, or another answer"]


def _is_nothing(twin: httpx.Response) -> bool:
    """Not found, an empty list, or a batch in which nothing was found for any item."""
    if twin.status_code != 200:
        return twin.status_code == 404
    data = _read(twin).get("data")
    return isinstance(data, list) and all(entry.get("status") == 404 for entry in data)


def _code(answer: httpx.Response) -> str | None:
    return None if answer.is_success else answer.json().get("code")


def _read(answer: httpx.Response) -> dict[str, Any]:
    """A document; or the rows of an answer that comes in pieces, as a list."""
    if "json" in (media_type := answer.headers["content-type"]) and "ndjson" not in media_type:
        return answer.json()
    return {"data": stream_rows(answer)}


def _find_words(text: str, victims: list[Belongings]) -> list[str]:
    """Canaries and ids of victims. A group above may be named as a parent: that much its children know."""
    told: list[str] = []
    for victim in victims:
        if victim.canary in text:
            told.append(f"the canary of {victim.relation}")
        for kind, ids in victim.ids.items():
            if kind == "group" and victim.relation in ("parent", "grandparent"):
                continue
            told.extend(f"{value} of {victim.relation}" for value in ids if value in text)
    return told


def _describe(answer: httpx.Response, probed: str) -> tuple[int, Any, dict[str, str]]:
    """An answer without what differs between any two: the request's id, and what was asked for."""
    text = json.dumps(_read(answer)).replace(probed, "<probed>")
    content = json.loads(text.replace(answer.headers["x-request-id"], "<request>"))
    headers = {name: value for name, value in answer.headers.items() if name not in _CHANGING_HEADERS}
    return answer.status_code, content, headers
