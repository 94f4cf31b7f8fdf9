"""What was measured, as a table for people and as JSON for programs, with all that it takes to compare two of them."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.load import Measured
from benchmarks.percentiles import Latencies
from benchmarks.turns import Turned
from portal.child_process import PROJECT_DIR

SEARCH_P50_WANTED_MS, SEARCH_P95_WANTED_MS, TURN_WANTED_MS, FRESH_WANTED_MS = 25, 60, 20, 2_000


@dataclass(frozen=True)
class Conditions:
    """Where, when and how."""

    date: str
    command: str
    revision: str
    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    load_average: float
    """Of the last minute when the run began: above one per core, others were using the machine."""

    def in_words(self) -> str:
        return (
            f"`{self.command}` at revision {self.revision}, {self.date}. {self.processor}, {self.cores} cores, "
            f"{self.memory_gb} GB; {self.system}; Python {self.python}. Load average before: {self.load_average}."
        )


@dataclass(frozen=True)
class Round:
    """One measurement, and the processor time the web process spent on each request."""

    measured: Measured
    cpu_ms: float


@dataclass(frozen=True)
class Row:
    """The rounds of one case."""

    name: str
    rounds: list[Round]
    floor_rounds: list[Round]
    share_wanted: float
    p99_wanted_ms: float

    @property
    def share(self) -> float:
        """The median of each round's share of the floor of the same round."""
        pairs = zip(self.rounds, self.floor_rounds, strict=True)
        return median(own.measured.requests_per_second / floor.measured.requests_per_second for own, floor in pairs)

    @property
    def cpu_share(self) -> float:
        """The same by processor time: what the share is where nobody else uses the processor."""
        return median(floor.cpu_ms for floor in self.floor_rounds) / median(own.cpu_ms for own in self.rounds)

    @property
    def rate(self) -> float:
        """Requests per second, the median."""
        return median(own.measured.requests_per_second for own in self.rounds)

    @property
    def p50(self) -> float:
        """Milliseconds, the median of the rounds' medians."""
        return median(own.measured.latencies.p50 for own in self.rounds)


@dataclass(frozen=True)
class SearchRounds:
    """One search at a time, with the processor time each took; then many, and another operation beside the many."""

    alone: Measured
    crowd: Measured
    beside_crowd: Measured
    turns: Turned
    web_cpu_ms: float
    knowledge_cpu_ms: float


@dataclass(frozen=True)
class Results:
    """Everything of one run."""

    conditions: Conditions
    things: int
    connections: int
    web_processes: int
    seconds: float
    floor: list[Round]
    rows: list[Row]
    search: SearchRounds | None
    fresh: Latencies | None
    passages: int
    first_start_seconds: float
    later_start_seconds: float
    web_memory_mb: float
    notes: list[str] = field(default_factory=list)


def describe_conditions(command: str) -> Conditions:
    return Conditions(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        revision=_revision(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2),
    )


def write_results(results: Results, directory: Path) -> Path:
    """Both files; the path of the table."""
    shares = {
        "shares": {row.name: round(row.share, 4) for row in results.rows},
        "cpuShares": {row.name: round(row.cpu_share, 4) for row in results.rows},
    }
    return write_report("", results.conditions, asdict(results) | shares, as_markdown(results), directory)


def write_report(kind: str, conditions: Conditions, content: Mapping[str, Any], table: str, directory: Path) -> Path:
    """Content as JSON and as a table, named by kind, date and revision; the path of the table."""
    directory.mkdir(parents=True, exist_ok=True)
    name = f"{kind}{'-' if kind else ''}{conditions.date[:16].replace(':', '')}-{conditions.revision[:8]}"
    (directory / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    path = directory / f"{name}.md"
    path.write_text(table, encoding="utf-8")
    return path


def as_markdown(results: Results) -> str:
    """The table."""
    about = results.conditions
    lines = [
        f"# Benchmark of {about.date[:10]}",
        "",
        about.in_words(),
        "",
        f"{results.web_processes} web process(es), {results.connections} keep-alive connections, {results.things} "
        f"things, limits, row-level security and request log on. {len(results.floor)} rounds of {results.seconds} s "
        "each, interleaved with a bare handler of the same framework on the same server (the floor); medians. "
        "Processor time is the web process's own: its share of the floor holds whatever else the machine does.",
        "",
        "| | Requests/s | Share of floor | At least | p50 ms | p95 ms | p99 ms | p99 at most | CPU ms | CPU share |",
        "|---|---|---|---|---|---|---|---|---|---|",
        _table_line("bare handler", results.floor, "100 %", "", "", ""),
    ]
    for row in results.rows:
        wanted = (_percent(row.share_wanted, 0), f"{row.p99_wanted_ms:g}")
        lines.append(_table_line(row.name, row.rounds, _percent(row.share), *wanted, _percent(row.cpu_share)))
    lines += ["", "| | |", "|---|---|"]
    if results.search is not None:
        found, crowd, beside = results.search.alone, results.search.crowd, results.search.beside_crowd.latencies
        lines.append(
            f"| search, {results.passages} made-up passages, one at a time | {found.requests_per_second:.0f} a second, "
            f"p50 {found.latencies.p50:.1f} (at most {SEARCH_P50_WANTED_MS}), p95 {found.latencies.p95:.1f} (at most "
            f"{SEARCH_P95_WANTED_MS}), p99 {found.latencies.p99:.1f} ms |"
        )
        lines.append(
            f"| processor time of one search | web process {results.search.web_cpu_ms:.1f}, knowledge process "
            f"{results.search.knowledge_cpu_ms:.1f} ms |"
        )
        lines.append(
            f"| the same, 16 connections | {crowd.requests_per_second:.0f} requests/s, p50 {crowd.latencies.p50:.1f}, "
            f"p95 {crowd.latencies.p95:.1f}, p99 {crowd.latencies.p99:.1f} ms |"
        )
        lines.append(
            f"| whoami beside these 16 | p50 {beside.p50:.1f}, p95 {beside.p95:.1f}, p99 {beside.p99:.1f}, "
            f"longest {beside.max:.1f} ms |"
        )
        turns = results.search.turns
        lines.append(
            f"| processor time of one turn of the event loop with these 16 | p50 {turns.lengths.p50:.2f}, p99 "
            f"{turns.lengths.p99:.1f}, longest of {turns.turns} turns {turns.lengths.max:.1f} ms (at most "
            f"{TURN_WANTED_MS}) |"
        )
    if (fresh := results.fresh) is not None:
        lines.append(
            f"| from storing a document to finding it first | p50 {fresh.p50:.0f}, p95 {fresh.p95:.0f}, longest "
            f"{fresh.max:.0f} ms (at most {FRESH_WANTED_MS}) |"
        )
    lines += [
        f"| first start in an empty directory | {results.first_start_seconds:.1f} s |",
        f"| later start | {results.later_start_seconds:.1f} s |",
        f"| memory of a web process after the load | {results.web_memory_mb:.0f} MB |",
    ]
    lines += ["", *results.notes] if results.notes else []
    return "\n".join(lines) + "\n"


def _table_line(name: str, rounds: list[Round], share: str, share_wanted: str, p99_wanted: str, cpu_share: str) -> str:
    rate = median(each.measured.requests_per_second for each in rounds)
    p50, p95, p99 = (median(getattr(each.measured.latencies, p) for each in rounds) for p in ("p50", "p95", "p99"))
    latencies = (f"{p50:.1f}", f"{p95:.1f}", f"{p99:.1f}")
    cpu = f"{median(each.cpu_ms for each in rounds):.3f}"
    return f"| {' | '.join((name, f'{rate:.0f}', share, share_wanted, *latencies, p99_wanted, cpu, cpu_share))} |"


def _percent(share: float, digits: int = 1) -> str:
    return f"{share * 100:.{digits}f} %"


def _revision() -> str:
    def git(*arguments: str) -> str:
        found = subprocess.run(["git", *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
