"""The verdict on a fault, fed with what it must not let pass; and one fault on the real program."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from benchmarks.faults.__main__ import main, try_fault
from benchmarks.faults.inflict import FAULTS
from benchmarks.faults.load import UNAVAILABLE, Sent, describe_failure
from benchmarks.faults.report import write_verdicts
from benchmarks.faults.verdict import Stored, Verdict, judge
from benchmarks.program import RunningProgram, lift_limits, register
from benchmarks.report import describe_conditions
from portal.installation import assemble_installation
from tests.parts import RunningPortal

BACK_AT = 20.0
PROBLEM = {"content-type": "application/problem+json"}


def _sent() -> list[Sent]:
    return [
        Sent("create once", 1.0, "a", 0.1, 201, "", "thing_a", "req_a"),
        Sent("create once", 2.0, "b", 0.1, 503, UNAVAILABLE, "thing_b", "req_b"),
        Sent("create", 3.0, "c", 0.1, 503, UNAVAILABLE, "", "req_c"),
        Sent("create", 4.0, "d", 0.1, 422, "", "", "req_d"),
        Sent("read", 5.0, "", 0.1, 200, "", "", "req_e"),
    ]


def _stored() -> Stored:
    things = {"a": ["thing_a"], "b": ["thing_b"], "c": ["thing_c"]}
    return Stored(things, Counter(["thing_a", "thing_b", "thing_c"]), Counter(["req_a", "req_e"]), 2)


def _judge(sent: list[Sent], stored: Stored, fault: str = "database") -> Verdict:
    return judge(FAULTS[fault], sent, stored, BACK_AT, [])


def test_what_was_told_and_what_is_stored_agree() -> None:
    verdict = _judge(_sent(), _stored())
    assert verdict.broken == []
    assert (verdict.acknowledged, verdict.ambiguous, verdict.carried_out) == (1, 2, 1)
    assert verdict.failures == {UNAVAILABLE: 2}
    assert _judge(_sent(), replace(_stored(), things={k: v for k, v in _stored().things.items() if k != "c"})).holds


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda told, kept: kept.things.pop("a"), "stored is []"),
        (lambda told, kept: kept.things.pop("b"), "stored is []"),
        (lambda told, kept: kept.things["c"].append("thing_x"), "stored 2 times"),
        (lambda told, kept: kept.things.update(d=["thing_d"]), "was refused with 422 and is stored"),
        (lambda told, kept: kept.events.update(["thing_a"]), "a has [2] events"),
        (lambda told, kept: kept.events.pop("thing_c"), "c has [0] events"),
        (lambda told, kept: kept.calls.pop("req_e"), "1 answered calls are missing"),
        (lambda told, kept: kept.calls.update(["req_a"]), "twice in the log"),
        (lambda told, kept: kept.calls.update(["req_f"]), "holds 3 calls, and usage counts 2"),
        (lambda told, kept: setattr(told[4], "seconds", 10.5), "a request took 10.5 s"),
        (lambda told, kept: setattr(told[4], "failure", "500 internal_error"), "'500 internal_error': 1"),
        (lambda told, kept: setattr(told[4], "failure", "ReadError"), "'ReadError': 1"),
        (lambda told, kept: setattr(told[2], "sent_at", BACK_AT + 5.2), "5.2 s after the part was back"),
        (lambda told, kept: setattr(told[0], "status", 503), "nothing was acknowledged"),
    ],
)
def test_what_breaks_a_promise_is_found(change: Callable[[list[Sent], Stored], object], complaint: str) -> None:
    told, kept = _sent(), _stored()
    change(told, kept)
    assert any(complaint in each for each in _judge(told, kept).broken)


def test_only_who_was_killed_may_lose_its_clients_and_only_redis_its_last_second() -> None:
    told, kept = _sent(), _stored()
    told[4].failure = "ReadError"
    assert _judge(told, kept, "web").holds
    kept = replace(kept, calls=Counter[str](), counted=0)
    assert _judge(_sent(), kept, "redis").holds
    assert not _judge(_sent(), kept, "redis-hung").holds


@pytest.mark.parametrize(
    ("status", "headers", "body", "failure"),
    [
        (503, PROBLEM | {"retry-after": "2"}, b"{}", UNAVAILABLE),
        (503, PROBLEM, b'{"code": "service_unavailable"}', "503 service_unavailable"),
        (503, {"retry-after": "2"}, b"", "503 no problem document"),
        (500, PROBLEM, b'{"code": "internal_error"}', "500 internal_error"),
    ],
)
def test_failures_are_told_apart(status: int, headers: dict[str, str], body: bytes, failure: str) -> None:
    assert describe_failure(httpx.Response(status, headers=headers, content=body)) == failure


def test_unknown_fault_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["flood"])
    assert "there is no fault flood" in capsys.readouterr().err


@pytest.mark.timeout(300)
def test_reset_connections_cost_nothing_that_was_acknowledged(running_portal: RunningPortal, tmp_path: Path) -> None:
    program = RunningProgram(
        assemble_installation(running_portal.env), int(running_portal.env["PORT"]), 1.0, running_portal.process
    )
    organisation_id, key = register(running_portal.env)
    lift_limits(program, organisation_id)
    name = "connections-reset"
    verdict = asyncio.run(try_fault(program, organisation_id, key, name, FAULTS[name]))
    assert verdict.broken == []
    assert verdict.requests > 50
    write_verdicts(describe_conditions("a test"), [verdict], tmp_path)
    (table,) = tmp_path.glob("*.md")
    assert f"| {FAULTS[name].name} | holds |" in table.read_text()
