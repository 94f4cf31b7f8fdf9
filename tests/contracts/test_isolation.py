"""Nobody sees, names, counts or changes what is beyond reach: every operation, every place, every kind of stranger.

The places are ids in path, query and body, lists and the texts they are filtered by, cursors, and idempotency keys;
the victims are foreign, above, beside, below, were moved away or archived; the attackers are keys of every kind, those
that no longer are any, and nobody. Each probe compares the answer for what is a victim's with the answer for what
never existed; they must be equal. How many were sent of which is told at the end of the run.

`make test` attacks with every attacker through every place, and every victim; where an attacker is refused whatever it
asks for, one victim stands for all at each place, since that wall comes before the id is looked at. `isolation_design`
says exactly what is left out, and `make isolation` leaves out nothing.

The suite is run with both walls, with either of them alone, and with none, where every probe has to find something:
a probe that stays silent there proves nothing anywhere.
"""

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import true
from sqlmodel import select

from ontology.knowledge_items import KnowledgeItem
from ontology.records import TenantRow
from tests.contracts.isolation_findings import Findings
from tests.contracts.isolation_ground import Ground, Original
from tests.contracts.isolation_probes import together
from tests.contracts.isolation_requests import Slot, attempts, fill, filters, lists, own_ids, paged, repeatable, slots
from tests.contracts.isolation_world import ATTACKERS, Attacker, Belongings

pytestmark = pytest.mark.timeout(600)

# Keys that are good, whose probes the walls have to stop.
LIVING = ("admin", "root admin")
# They show rows of nobody: the caller's own names, counts, the vocabulary, what has not happened yet, and operations of
# this API, which are looked for as by somebody without a key. The list of documents leaves out what is not the
# organisation's in a condition of its own, since the platform's are visible to everybody.
_NO_ROWS = {"whoami {}", "getQuota {}", "getOntology {}", "aggregateEvents {}", "listTypes {}", "getUsage {}"}
_NO_ROWS |= {"getFeatures {}", "suggestOperations {}", "tailEvents {'seconds': '0'}"}
SILENT = {
    "admin": _NO_ROWS,
    "root admin": _NO_ROWS
    | {"listDocuments {'limit': '1000'}", "listDocuments filter label", "listDocuments filter externalId"},
}
# No wall stops these but a signature and the key in the name of what is kept: tests/contracts/test_planted_holes.py.
UNWALLED = ("cursor", "idempotency key")
# Columns that hold no text of anybody: one of few words, an id, a moment, a digest, or what the program counts by.
NO_TEXTS = {
    *("id", "type", "status", "role", "kind", "format", "visibility", "knowledge_type", "relationship_type"),
    *("digest", "content_hash", "endpoint", "operation", "day", "timestamp", "valid_from"),
    *("created_by", "plan", "handle", "custom_limits", "kinds", "purpose", "source", "day_calls"),
}
# Browsers' digests, and names of operations with how often they were called: tests/api/test_suggesting.py.
NOT_FILLED = {"portal_sessions", "usage_patterns", "usage_sessions", "pattern_changes"}
# What is kept for repeated requests is sealed; accounts belong to no organisation.
NO_ROWS: dict[str, list[dict[str, object]]] = {"idempotency_records": [{}], "accounts": [{}]}


def _remove_reach(patch: pytest.MonkeyPatch) -> None:
    """Wall one: what every query begins with."""
    patch.setattr(TenantRow, "reach", classmethod(lambda cls, actor: true()))
    patch.setattr(KnowledgeItem, "visible_to", classmethod(lambda cls, actor: select(cls)))


def _places() -> Iterator[tuple[str, str, Callable[[Belongings], object]]]:
    """Every place, its operation, and what a victim has to be attacked with there."""
    for slot in slots():
        yield str(slot), slot.operation, lambda victim, slot=slot: set(slot.kinds) & victim.ids.keys()
    for attempt in lists():
        yield f"{attempt.operation} {attempt.query}", attempt.operation, lambda victim: victim.canary
    for attempt, name in filters():
        yield f"{attempt.operation} filter {name}", attempt.operation, lambda victim: victim.canary
    for attempt in paged():
        name = attempt.operation
        yield f"{name} cursor", name, lambda victim, name=name: victim.cursors.get(name)
    for attempt in repeatable():
        name = attempt.operation
        if name != "reportLeak":  # it is not sent by the victims: tests/contracts/isolation_building.py
            yield f"{name} idempotency key", name, lambda victim, name=name: victim.sent.get(name)


def _promised(attacker: Attacker) -> set[tuple[str, str]]:
    """Pairs of place and relation that every run has to attack: see `isolation_design`."""
    pairs = {("anywhere", victim.relation) for victim in (*attacker.victims, *attacker.within)}
    for place, operation, find in _places():
        pairs.add((place, "anybody"))
        if operation not in attacker.refused:
            pairs |= {(place, victim.relation) for victim in attacker.victims if find(victim)}
    return pairs


def _attacked(findings: Findings) -> set[tuple[str, str]]:
    pairs = {(place, relation) for place, _, relation in findings.sent}
    return pairs | {(place, "anybody") for place, _ in pairs} | {("anywhere", relation) for _, relation in pairs}


async def test_every_text_of_a_victim_holds_its_canary(ground: Ground) -> None:
    """What has no canary in it could leak unseen."""
    empty, unmarked = set[str](), set[tuple[str, str, str]]()
    for victim in ground.world.belongings.values():
        for table, rows in (ground.world.snapshot([victim]) | NO_ROWS).items():
            if not rows:
                empty.add(table)
            texts = {(name, json.dumps(text)) for row in rows for name, text in row.items() if _is_text(name, text)}
            marked = {name for name, text in texts if victim.canary in text}
            unmarked |= {(victim.relation, table, name) for name, _ in texts if name not in marked}
    # The name of an organisation is shown to each of its keys.
    known = {("grandparent", "groups", "name"), ("grandparent", "groups", "slug")}
    assert (empty, unmarked) == (NOT_FILLED, known)


def _is_text(name: str, value: object) -> bool:
    return isinstance(value, str | dict | list) and not name.endswith(("_id", "_at")) and name not in NO_TEXTS


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_what_is_beyond_reach_looks_like_what_never_existed(ground: Ground, attacker: str) -> None:
    findings = await ground.attack(ground.whole, attacker)
    assert findings.leaks == []
    assert _promised(ground.attacker(attacker)) - _attacked(findings) == set(), "places and victims without a probe"


@pytest.mark.parametrize("attacker", LIVING)
async def test_wall_one_holds_alone(ground: Ground, attacker: str) -> None:
    """A superuser is not bound by row-level security."""
    findings = await ground.attack(ground.wall_one_only, attacker)
    assert findings.leaks == []


@pytest.mark.parametrize("attacker", LIVING)
async def test_wall_two_holds_alone(ground: Ground, attacker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _remove_reach(monkeypatch)
    findings = await ground.attack(ground.whole, attacker)
    assert findings.leaks == []


@pytest.mark.parametrize("attacker", LIVING)
async def test_every_probe_finds_something_when_both_walls_are_gone(
    original: Original, attacker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as taking away the wall that the two tests above leave standing: each of them fails without it."""
    async with original.copy() as ground:
        _remove_reach(monkeypatch)
        findings = await ground.attack(ground.wall_one_only, attacker)
    silent = {place for place, told in findings.told.items() if not told}
    assert {place for place in silent if not place.endswith(UNWALLED)} == SILENT[attacker]
    assert {cell for cell in _silent_cells(findings) if cell[0] not in UNWALLED} == set()


def _silent_cells(findings: Findings) -> set[tuple[str, str]]:
    return {cell for cell in findings.cells if not findings.found[cell]}


@pytest.mark.parametrize("name", ["admin", "root admin", "child key"])
async def test_every_probe_succeeds_on_what_is_the_attackers_own(ground: Ground, name: str) -> None:
    """So that a refusal is the id's doing and not that of a request which never works; what is below is one's own."""
    attacker = ground.attacker(name)
    group_id = ground.world.groups["child"] if name == "admin" else attacker.group_id

    async def probe(slot: Slot) -> None:
        ids = await own_ids(ground.world.root_key, group_id, slot.operation)
        answer = await fill(attempts()[slot.operation], ids, slot).with_id(slot, ids[slot.name]).send(attacker.caller)
        assert answer.is_success, f"{slot}: {answer.text}"

    tails = [slot for slot in slots() if slot.operation == "tailEvents"]
    await together(probe(slot) for slot in slots() if slot not in tails)
    for slot in tails:  # an organisation may have but a few at once
        await probe(slot)
    probed = {attempt.operation for attempt in lists()} | {slot.operation for slot in slots()}
    # Neither is given an id: the first has the text of a key (tests/api/test_key_leaks.py attacks it with strangers'),
    # the second the names of feature sets (tests/api/test_feature_sets.py).
    assert probed | {"reportLeak", "updateFeatures"} == set(attempts())


async def test_every_filter_finds_what_is_ones_own(ground: Ground) -> None:
    caller, mine = ground.attacker("admin").caller, ground.world.belongings["mine"]
    for attempt, name in filters():
        forms = ("{}", "{}@example.com")
        answers = [await attempt.with_query(**{name: form.format(mine.canary)}).send(caller) for form in forms]
        assert any(answer.json()["data"] for answer in answers), f"{attempt.operation} {name}"
