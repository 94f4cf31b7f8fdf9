"""Every probe of one attacker: each place that takes an id, a text, a cursor or an idempotency key, with each victim's.

Each compares the answer for what is a victim's with the answer for what never existed; they have to be equal, nothing
of the victim may stand in them, and no row of a victim may have changed.
"""

import base64
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx

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
    slots,
    stream_rows,
)
from tests.contracts.isolation_world import Attacker, Belongings, World

WHERE = ("path", "query", "body", "list", "filter", "cursor", "idempotency key")
# Of one kind and victim: all but most of the events. Who is refused whatever they ask for asks for one.
_IDS_MAX = 5
# Different in two answers of equal meaning.
_CHANGING_HEADERS = frozenset({"x-request-id", "ratelimit", "ratelimit-policy", "date", "etag"})
_LAST = ("deleteDocument", "archiveGroup")
# Answered when somebody else's, or nobody's, is sent.
_NO_CURSOR = "invalid_cursor"

SENT: Counter[tuple[str, str, str]] = Counter()
"""How many probes the whole run has sent, by attacker, place and relation of the victim."""


@dataclass
class Findings:
    """What one attacker sent and what it was told: of each place, and of each kind of place and relation."""

    attacker: str
    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    sent: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    found: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def note(self, place: str, where: str, relation: str, leaks: Collection[str]) -> None:
        """One probe, and what it found."""
        self.told.setdefault(place, []).extend(f"{relation}: {leak}" for leak in leaks)
        self.sent[where, relation] += 1
        self.found[where, relation] += bool(leaks)
        SENT[self.attacker, where, relation] += 1

    def complain(self, place: str, what: str) -> None:
        """The probe itself is no good."""
        self.told.setdefault(place, []).append(f"the probe does not reach its place: {what[:300]}")

    @property
    def leaks(self) -> list[str]:
        return [f"{self.attacker}, {place}: {told}" for place, all_told in self.told.items() for told in all_told]

    @property
    def operations(self) -> set[str]:
        """Those that told anything."""
        return {place.partition(" ")[0] for place, told in self.told.items() if told}


@dataclass(frozen=True)
class _Attack:
    """One attacker at work."""

    world: World
    attacker: Attacker
    findings: Findings
    operations: Collection[str]
    own: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def is_wanted(self, operation: str) -> bool:
        return not self.operations or operation in self.operations

    async def ready(self, attempt: Attempt, slot: Slot | None = None) -> Attempt:
        """With ids of the attacker's own in every place but one."""
        if attempt.operation not in self.own:
            owner = replace(self.world.root_key, client=self.attacker.caller.client)
            self.own[attempt.operation] = await own_ids(owner, self.attacker.group_id, attempt.operation)
        return fill(attempt, self.own[attempt.operation], slot)

    def judge_twin(self, place: str, operation: str, twin: httpx.Response, *, is_nothing: bool) -> None:
        """What is sent for nobody's has to be answered so, or refused if that is what the attacker has coming."""
        refused = _code(twin) == self.attacker.refusal
        if refused != (operation in self.attacker.refused) or not (refused or is_nothing):
            self.findings.complain(place, f"{twin.status_code} {twin.text}")


async def attack(
    world: World, attacker: Attacker, operations: Collection[str] = (), relations: Collection[str] = ()
) -> Findings:
    """Send every probe, or those of some operations on some victims."""
    if relations:
        attacker = replace(attacker, victims=[each for each in attacker.victims if each.relation in relations])
    attacked = [*attacker.victims, *attacker.within]
    running = _Attack(world, attacker, Findings(attacker.name), operations)
    before = world.snapshot(attacked)
    for attempt in [each for each in lists() if running.is_wanted(each.operation)]:
        await _probe_list(running, attempt)
    for attempt, name in [each for each in filters() if running.is_wanted(each[0].operation)]:
        await _probe_filter(running, attempt, name)
    for attempt in [each for each in paged() if running.is_wanted(each.operation)]:
        await _probe_cursor(running, attempt)
    await _probe_idempotency_keys(running)
    # Without walls deleting a victim's document hides it from later probes, and archiving a group above the attacker's
    # own ends the attack, so these come last.
    wanted = [slot for slot in slots() if running.is_wanted(slot.operation)]
    for slot in sorted(wanted, key=lambda slot: _LAST.index(slot.operation) if slot.operation in _LAST else -1):
        await _probe_slot(running, slot)
    after = world.snapshot(attacked)
    changed = [f"rows of a victim in {table} have changed" for table, rows in before.items() if rows != after[table]]
    running.findings.told["the database"] = changed
    return running.findings


async def _probe_slot(running: _Attack, slot: Slot) -> None:
    attacker, findings, place = running.attacker, running.findings, str(slot)
    ready = await running.ready(attempts()[slot.operation], slot)
    findings.told.setdefault(place, [])
    for kind in slot.kinds:
        nobody = never_existed(kind)
        twin = await ready.with_id(slot, nobody).send(attacker.caller)
        running.judge_twin(place, slot.operation, twin, is_nothing=_is_nothing(twin))
        for victim in [*attacker.victims, *(attacker.within if slot.operation in attacker.refused else ())]:
            for value in victim.ids.get(kind, [])[: 1 if attacker.is_barred else _IDS_MAX]:
                answer = await ready.with_id(slot, value).send(attacker.caller)
                leaks = _compare(answer, value, twin, nobody)
                leaks += _find_words(answer.text.replace(value, ""), attacker.victims)
                findings.note(place, slot.where, victim.relation, leaks)


async def _probe_list(running: _Attack, attempt: Attempt) -> None:
    attacker, place = running.attacker, f"{attempt.operation} {attempt.query}"
    text = ""
    while True:
        answer = await attempt.send(attacker.caller)
        text += answer.text
        running.judge_twin(place, attempt.operation, answer, is_nothing=answer.status_code == 200)
        cursor = _read(answer).get("pagination", {}).get("nextCursor")
        if cursor is None:
            break
        attempt = attempt.with_query(cursor=cursor)
    for victim in attacker.victims:
        running.findings.note(place, "list", victim.relation, _find_words(text, [victim]))


async def _probe_filter(running: _Attack, attempt: Attempt, name: str) -> None:
    """By the texts of a victim: finding none of its rows must look as it does for a text that nobody wrote."""
    attacker, place = running.attacker, f"{attempt.operation} filter {name}"
    for victim in attacker.victims:
        for form in ("{}", "{}@example.com", "invited-{}@example.com"):
            told: list[httpx.Response] = []
            words = (victim.canary, f"canary{secrets.token_hex(6)}")
            for word in words:
                told.append(await attempt.with_query(**{name: form.format(word)}).send(attacker.caller))
            running.judge_twin(place, attempt.operation, told[1], is_nothing=_is_nothing(told[1]))
            leaks = _compare(told[0], words[0], told[1], words[1])
            running.findings.note(place, "filter", victim.relation, leaks)


async def _probe_cursor(running: _Attack, attempt: Attempt) -> None:
    attacker, place = running.attacker, f"{attempt.operation} cursor"
    ready = (await running.ready(attempt)).with_query(limit="1")
    nobody = base64.urlsafe_b64encode(secrets.token_bytes(28)).decode().rstrip("=")
    twin = await ready.with_query(cursor=nobody).send(attacker.caller)
    running.judge_twin(place, attempt.operation, twin, is_nothing=_code(twin) == _NO_CURSOR)
    for victim in attacker.victims:
        if cursor := victim.cursors.get(attempt.operation):
            answer = await ready.with_query(cursor=cursor).send(attacker.caller)
            leaks = _compare(answer, cursor, twin, nobody) + _find_words(answer.text, attacker.victims)
            running.findings.note(place, "cursor", victim.relation, leaks)


async def _probe_idempotency_keys(running: _Attack) -> None:
    """The victim's very request, and one that says the same in other bytes, under the key that the victim used."""
    attacker = running.attacker
    for end in (b"", b" "):
        if not attacker.is_barred:
            running.world.forget_answers(attacker.caller)
        for victim in attacker.victims:
            for operation, (attempt, name, first) in victim.sent.items():
                if running.is_wanted(operation):
                    leaks = await _ask_again(partial(attempt.send, attacker.caller, end=end), name, first)
                    running.findings.note(f"{operation} idempotency key", "idempotency key", victim.relation, leaks)


async def _ask_again(ask: Callable[..., Awaitable[httpx.Response]], name: str, first: bytes) -> list[str]:
    """A request may change what the next one is answered, so the twin is asked before and after."""
    before = await ask(idempotency_key=secrets.token_hex(16))
    answer = await ask(idempotency_key=name)
    if answer.content == first or "idempotent-replayed" in answer.headers:
        return ["the answer that the victim was given"]
    if answer.is_success and before.is_success:
        return []
    twins = (before, await ask(idempotency_key=secrets.token_hex(16)))
    leaks = [_compare(answer, name, twin, name) for twin in twins]
    return [] if [] in leaks else leaks[0]


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
