"""What must hold after a fault, judged from what the clients were told and what the database holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from benchmarks.faults.inflict import Fault
from benchmarks.faults.load import UNAVAILABLE, Sent, create_once, new_client
from benchmarks.program import RunningProgram
from ontology.ids import decode_id, encode_id

SECONDS_MAX = 10.0
RETURN_SECONDS_MAX = 5.0
REPEATS_MAX = 20
# What a client is told by its own side when the process it talked to is gone.
_LOST_CONNECTION = {"ReadError", "ConnectError", "RemoteProtocolError", "WriteError"}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of a run."""

    things: dict[str, list[str]]
    """Ids of things by name."""

    events: Counter[str]
    """How many events of creation there are, by id of thing."""

    calls: Counter[str]
    """How often each request stands in the log of calls."""

    counted: int
    """How many calls the usage figures of the organisation add up to."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault's outcome; `broken` says what did not hold."""

    fault: str
    requests: int
    acknowledged: int
    failures: dict[str, int]
    ambiguous: int
    """Creations without an answer or with a 5xx."""

    carried_out: int
    """Those of them that had been carried out all the same."""

    failing_seconds: float
    """From the first failed request to the last."""

    late_seconds: float
    """From the part's return to the last request that failed; 0 when none did."""

    slowest_seconds: float
    unlogged: int
    broken: list[str] = field(default_factory=list[str])

    @property
    def holds(self) -> bool:
        return not self.broken


async def repeat_ambiguous(program: RunningProgram, key: str, sent: Sequence[Sent]) -> list[str]:
    """Repeat with its idempotency key whatever has one and an unknown outcome, and some that were acknowledged.

    Gives ids to those that had none; returns what is wrong.
    """
    broken: list[str] = []
    once = [each for each in sent if each.kind == "create once"]
    acknowledged = [each for each in once if each.is_acknowledged]
    async with new_client(f"http://127.0.0.1:{program.port}", key) as client:
        for each in [each for each in once if each.is_ambiguous] + acknowledged[-REPEATS_MAX:]:
            answer = await _repeat(client, each.name)
            if answer.status_code != 201:
                broken.append(f"repeating {each.name} was answered {answer.status_code} {answer.text[:200]}")
                continue
            found = answer.json()["_id"]
            if each.is_acknowledged and (found != each.thing_id or "idempotent-replayed" not in answer.headers):
                broken.append(f"repeating {each.name} was not answered as the first time")
            each.thing_id = found
    return broken


async def _repeat(client: httpx.AsyncClient, name: str) -> httpx.Response:
    answer = await create_once(client, name)
    for _ in range(REPEATS_MAX):
        if answer.status_code not in (409, 503):
            break
        answer = await create_once(client, name)
    return answer


def read_stored(program: RunningProgram, organisation_id: str, run: str) -> Stored:
    """Everything of a run, read around the program."""
    program.settle()
    org_id = str(decode_id(organisation_id)[1])
    with program.owner_connection() as connection:
        connection.execute(
            "SELECT set_config('app.org_id', %s, true), set_config('app.group_id', %s, true)", [org_id] * 2
        )
        things: dict[str, list[str]] = {}
        rows: list[tuple[str, UUID]] = connection.execute(
            "SELECT name, id FROM things WHERE name LIKE %s", [f"{run}-%"]
        ).fetchall()
        for name, identity in rows:
            things.setdefault(name, []).append(encode_id("thing", identity))
        query = "SELECT target_id, count(*) FROM events WHERE type = 'thing_created' GROUP BY 1"
        events: list[tuple[str, int]] = connection.execute(query).fetchall()
        calls: list[tuple[str, int]] = connection.execute(
            "SELECT request_id, count(*) FROM request_log WHERE org_id = %s GROUP BY 1", [org_id]
        ).fetchall()
        counted = connection.execute("SELECT coalesce(sum(calls), 0)::int FROM usage_days").fetchone()
    return Stored(things, Counter(dict(events)), Counter(dict(calls)), counted[0] if counted else 0)


def judge(fault: Fault, sent: Sequence[Sent], stored: Stored, returned_at: float, broken: Sequence[str]) -> Verdict:
    """Everything that has to hold; `sent` after `repeat_ambiguous`."""
    failed = [each for each in sent if each.failure]
    ambiguous = [each for each in sent if each.is_ambiguous]
    unlogged = [each for each in sent if each.status in (200, 201) and stored.calls[each.request_id] == 0]
    last_failed = max((each.sent_at for each in failed), default=0.0)
    first_failed = min((each.sent_at for each in failed), default=0.0)
    verdict = Verdict(
        fault=fault.name,
        requests=len(sent),
        acknowledged=sum(each.is_acknowledged for each in sent),
        failures=dict(Counter(each.failure for each in failed)),
        ambiguous=len(ambiguous),
        carried_out=sum(each.name in stored.things for each in ambiguous if each.kind == "create"),
        failing_seconds=round(last_failed - first_failed, 1),
        late_seconds=round(max(0.0, last_failed - returned_at), 1),
        slowest_seconds=round(max((each.seconds for each in sent), default=0.0), 1),
        unlogged=len(unlogged),
    )
    verdict.broken.extend(broken)
    verdict.broken.extend(_find_broken_effects(sent, stored))
    verdict.broken.extend(_find_broken_answers(fault, verdict))
    if unlogged and not fault.forgets_calls:
        verdict.broken.append(f"{len(unlogged)} answered calls are missing in the log")
    if any(count > 1 for count in stored.calls.values()):
        verdict.broken.append("a call stands twice in the log")
    if stored.counted != stored.calls.total():
        verdict.broken.append(f"the log holds {stored.calls.total()} calls, and usage counts {stored.counted}")
    return verdict


def _find_broken_effects(sent: Sequence[Sent], stored: Stored) -> list[str]:
    """Acknowledged is stored, refused is not, and everything is there once, with its event."""
    broken: list[str] = []
    for each in sent:
        found = stored.things.get(each.name, [])
        if each.thing_id and each.name and found != [each.thing_id]:
            broken.append(f"{each.name} was answered {each.thing_id}; stored is {found}")
        if len(found) > 1:
            broken.append(f"{each.name} is stored {len(found)} times")
        if 400 <= each.status < 500 and found:
            broken.append(f"{each.name} was refused with {each.status} and is stored")
    for name, ids in stored.things.items():
        counts = [stored.events[identity] for identity in ids]
        if counts != [1] * len(ids):
            broken.append(f"{name} has {counts} events")
    return broken


def _find_broken_answers(fault: Fault, verdict: Verdict) -> list[str]:
    broken: list[str] = []
    allowed = {UNAVAILABLE} | (_LOST_CONNECTION if fault.breaks_connections else set())
    if other := {kind: count for kind, count in verdict.failures.items() if kind not in allowed}:
        broken.append(f"failures that should not be: {other}")
    if verdict.slowest_seconds > SECONDS_MAX:
        broken.append(f"a request took {verdict.slowest_seconds} s")
    if verdict.late_seconds > RETURN_SECONDS_MAX:
        broken.append(f"a request failed {verdict.late_seconds} s after the part was back")
    if not verdict.acknowledged:
        broken.append("nothing was acknowledged")
    return broken
