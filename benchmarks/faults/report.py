"""Verdicts as a line, a table for people, and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.load import CLIENTS, PAUSE_SECONDS, UNAVAILABLE
from benchmarks.faults.verdict import RETURN_SECONDS_MAX, SECONDS_MAX, Verdict
from benchmarks.report import Conditions, write_report


def describe_verdict(verdict: Verdict) -> str:
    lines = [f"{'holds' if verdict.holds else 'BROKEN'}: {verdict.fault}: {_describe_failures(verdict)}"]
    return "\n".join(lines + [f"    {each}" for each in verdict.broken[:20]])


def write_verdicts(conditions: Conditions, verdicts: Sequence[Verdict], directory: Path) -> None:
    content = {"conditions": asdict(conditions), "verdicts": [asdict(verdict) for verdict in verdicts]}
    write_report("faults", conditions, content, as_markdown(conditions, verdicts), directory)


def as_markdown(conditions: Conditions, verdicts: Sequence[Verdict]) -> str:
    """The table."""
    lines = [
        f"# Faults under load, {conditions.date[:10]}",
        "",
        conditions.in_words(),
        "",
        f"{CLIENTS} clients that create (half of the time with an idempotency key), read and list, {PAUSE_SECONDS} s "
        "between an answer and the next request. Each fault holds when everything acknowledged is stored, nothing "
        "twice, with one event each; when repeating what had no answer with its idempotency key has one effect; when "
        "failures are 503 problem documents with `Retry-After` (or lost connections, where the process that held them "
        f"was killed); when no request takes more than {SECONDS_MAX:.0f} s; and when none fails that was sent more "
        f"than {RETURN_SECONDS_MAX:.0f} s after the part's return.",
        "",
        "| Fault | Verdict | Requests | Failed | Failing for s | Last failed s after return | Slowest s "
        "| Without answer | Of those without a key, carried out | Calls missing in the log |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in verdicts:
        lines.append(
            f"| {each.fault} | {'holds' if each.holds else 'broken: ' + '; '.join(each.broken[:5])} | {each.requests} "
            f"| {_describe_failures(each)} | {each.failing_seconds} | {each.late_seconds} | {each.slowest_seconds} "
            f"| {each.ambiguous} | {each.carried_out} | {each.unlogged} |"
        )
    return "\n".join(lines) + "\n"


def _describe_failures(verdict: Verdict) -> str:
    named = {("503" if kind == UNAVAILABLE else kind): count for kind, count in verdict.failures.items()}
    return ", ".join(f"{count} × {kind}" for kind, count in named.items()) or "none"
