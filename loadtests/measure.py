"""From what happened to what it means: figures, gates, findings of the sampled stories. Pure: no clock, no files.

Percentiles are nearest-rank over every request, not over buckets. A gate that cannot be measured is not met: a
campaign that sent nothing proves nothing.

>>> percentile([1.0, 2.0, 3.0, 4.0], 50)
2.0
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.harness.binding import Binding
from conformance.harness.errors import UsageError
from conformance.harness.profile import Profile
from conformance.harness.records import Exchange, Finding, Transcript
from conformance.harness.registry import Check
from conformance.harness.story import NoTwin, Story, Untold
from conformance.harness.strict import unknown
from loadtests.campaign import Campaign, Gates

Request = tuple[str, float, float, str]


@dataclass(frozen=True, slots=True)
class Figures:
    """One operation, or all together (`operation` ""): times in milliseconds, rates in requests per second."""

    operation: str
    requests: int
    errors: int
    per_second: float
    p50: float
    p95: float
    p99: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second of the campaign."""

    second: int
    requests: int
    errors: int
    p95: float


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of finding in the sample, with an example."""

    finding: Finding
    operation: str
    times: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must hold; `actual` None where it could not be measured."""

    name: str
    limit: float
    actual: float | None

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.actual is not None and self.actual <= self.limit


@dataclass(frozen=True, slots=True)
class Sheet:
    """The outcome of a campaign."""

    campaign: Campaign
    target: Mapping[str, str]
    started_ms: int
    seconds: float
    users: int
    total: Figures
    operations: tuple[Figures, ...]
    timeline: tuple[Second, ...]
    errors: tuple[tuple[str, str, int], ...]
    sampled: int
    seen: tuple[Seen, ...]
    gates: tuple[Gate, ...]
    left_out: tuple[str, ...]
    left_behind: tuple[str, ...]
    stop: str

    @property
    def met(self) -> bool:
        """Whether every gate is met."""
        return not self.stop and all(gate.met for gate in self.gates)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, `load.json`."""
        return {
            "campaign": self.campaign.name,
            "target": dict(self.target),
            "started_ms": self.started_ms,
            "seconds": self.seconds,
            "users": self.users,
            "total": dataclasses.asdict(self.total),
            "operations": [dataclasses.asdict(row) for row in self.operations],
            "timeline": [dataclasses.asdict(row) for row in self.timeline],
            "errors": [{"operation": name, "what": what, "count": count} for name, what, count in self.errors],
            "sampled": {
                "stories": self.sampled,
                "findings": [
                    {**row.finding.to_json(), "operation": row.operation, "times": row.times} for row in self.seen
                ],
            },
            "gates": [{**dataclasses.asdict(gate), "met": gate.met} for gate in self.gates],
            "left_out": list(self.left_out),
            "left_behind": list(self.left_behind),
            "stop": self.stop,
            "met": self.met,
        }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in rising order, 0.0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def figures(operation: str, rows: Sequence[Request], seconds: float) -> Figures:
    """Fold requests into the figures of one operation."""
    times = sorted(row[2] for row in rows)
    return Figures(
        operation,
        len(rows),
        sum(1 for row in rows if row[3]),
        round(len(rows) / seconds, 2) if seconds > 0 else 0.0,
        percentile(times, 50),
        percentile(times, 95),
        percentile(times, 99),
        times[-1] if times else 0.0,
    )


def timeline(rows: Iterable[Request], seconds: float) -> tuple[Second, ...]:
    """Fold requests into seconds, by when they were sent; a second without requests is there too."""
    buckets: dict[int, list[Request]] = defaultdict(list)
    for row in rows:
        buckets[max(0, int(row[1] // 1000))].append(row)
    last = max([math.ceil(seconds) - 1, *buckets], default=-1)
    return tuple(
        Second(
            second,
            len(buckets[second]),
            sum(1 for row in buckets[second] if row[3]),
            percentile(sorted(row[2] for row in buckets[second]), 95),
        )
        for second in range(last + 1)
    )


def checks_of(campaign: Campaign, known: Mapping[str, Check], where: str) -> dict[str, tuple[Check, ...]]:
    """Return the checks of every story: those it names and those that speak of every operation. Raises UsageError."""
    universal = tuple(check for check in known.values() if check.by_operation)
    if not universal:
        raise UsageError("the suite has no check of every operation", hint="Load conformance.checks first.")
    found: dict[str, tuple[Check, ...]] = {}
    for story in campaign.stories:
        for name in story.checks:
            if name not in known:
                raise unknown(f"{where}: story {story.name}", "check", name, known)
        found[story.name] = (*(known[name] for name in story.checks), *universal)
    return found


def judge(story: Story, checks: Iterable[Check]) -> Iterator[Finding]:
    """Yield what the checks find in one sampled story; a step that was not answered is found by the universal ones."""
    for check in checks:
        try:
            for finding in check.judge(story):
                requirement = check.requirement or finding.requirement
                yield dataclasses.replace(finding, requirement=requirement, check=check.name)
        except (Untold, NoTwin):
            continue


def look(
    samples: Iterable[Mapping[str, Any]], checks: Mapping[str, Sequence[Check]], profile: Profile, binding: Binding
) -> tuple[Seen, ...]:
    """Judge the sampled stories; findings of one kind in one operation are counted together."""
    seen: dict[tuple[str, str, str, str], Seen] = {}
    for sample in samples:
        rows = tuple(Exchange.from_json(row) for row in sample["exchanges"])
        operations = {row.id: row.operation for row in rows}
        story = Story(Transcript(sample["story"], rows), profile, binding)
        for finding in judge(story, checks[sample["story"]]):
            operation = next((operations[name] for name in finding.exchanges if name in operations), "")
            key = (finding.code, finding.check, operation, finding.pointer)
            known = seen.get(key)
            seen[key] = (
                Seen(finding, operation, 1) if known is None else dataclasses.replace(known, times=known.times + 1)
            )
    return tuple(seen[key] for key in sorted(seen))


def gates(
    limits: Gates, total: Figures, operations: Iterable[Figures], seen: Sequence[Seen], sampled: int
) -> tuple[Gate, ...]:
    """Hold the figures against the limits; p95 is that of the slowest operation."""
    slowest = max((row.p95 for row in operations), default=None)
    return (
        Gate("p95_ms", limits.p95_ms, slowest),
        Gate("error_rate", limits.error_rate, round(total.errors / total.requests, 6) if total.requests else None),
        Gate("findings", limits.findings, len(seen) if sampled else None),
    )


def fold(
    happened: Mapping[str, Any],
    campaign: Campaign,
    profile: Profile,
    binding: Binding,
    checks: Mapping[str, Sequence[Check]],
) -> Sheet:
    """Fold what the load process wrote into the outcome."""
    rows: list[Request] = [(name, at, took, wrong) for name, at, took, wrong in happened["requests"]]
    seconds = float(happened["seconds"])
    by_operation: dict[str, list[Request]] = defaultdict(list)
    for row in rows:
        by_operation[row[0]].append(row)
    total = figures("", rows, seconds)
    operations = tuple(figures(name, mine, seconds) for name, mine in sorted(by_operation.items()))
    seen = look(happened["samples"], checks, profile, binding)
    wrong = Counter((row[0], row[3]) for row in rows if row[3])
    target = profile.target
    return Sheet(
        campaign=campaign,
        target={"name": target.name, "node_id": target.node_id, "url": target.url},
        started_ms=int(happened["started_ms"]),
        seconds=seconds,
        users=int(happened["users"]),
        total=total,
        operations=operations,
        timeline=timeline(rows, seconds),
        errors=tuple((name, what, count) for (name, what), count in wrong.most_common()),
        sampled=len(happened["samples"]),
        seen=seen,
        gates=gates(campaign.gates, total, operations, seen, len(happened["samples"])),
        left_out=tuple(happened["left_out"]),
        left_behind=tuple(happened["left_behind"]),
        stop=str(happened["stop"]),
    )
