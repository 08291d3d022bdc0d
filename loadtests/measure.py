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
from typing import Any

from conformance.harness.binding import Binding
from conformance.harness.errors import UsageError
from conformance.harness.profile_model import Profile
from conformance.harness.records import Exchange, Finding, Transcript
from conformance.harness.registry import Check
from conformance.harness.story import NoTwin, Story, Untold
from conformance.harness.strict import unknown
from loadtests.campaign import Campaign, Gates
from reports.load import Figures, Gate, Load, Second, Seen

Request = tuple[str, float, float, str]


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


def timeline(rows: Iterable[Request], seconds: float, crowd: Iterable[tuple[float, int]]) -> tuple[Second, ...]:
    """Fold requests into seconds, by when they were sent; a second without requests is there too.

    `crowd` is how many users there were when: a second in which nobody counted has as many as the one before.
    """
    buckets: dict[int, list[Request]] = defaultdict(list)
    for row in rows:
        buckets[max(0, int(row[1] // 1000))].append(row)
    counted: dict[int, int] = defaultdict(int)
    for at, users in crowd:
        counted[int(at // 1000)] = max(counted[int(at // 1000)], users)
    last = max([math.ceil(seconds) - 1, *buckets], default=-1)
    found: list[Second] = []
    for second in range(last + 1):
        users = counted.get(second, found[-1].users if found else 0)
        times = sorted(row[2] for row in buckets[second])
        errors = sum(1 for row in buckets[second] if row[3])
        found.append(Second(second, users, len(times), errors, *(percentile(times, part) for part in (50, 95, 99))))
    return tuple(found)


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
) -> Load:
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
    return Load(
        campaign=campaign.name,
        title=campaign.title,
        target={"name": target.name, "node_id": target.node_id, "url": target.url},
        started_ms=int(happened["started_ms"]),
        seconds=seconds,
        users=int(happened["users"]),
        total=total,
        operations=operations,
        timeline=timeline(rows, seconds, [(at, users) for at, users in happened["crowd"]]),
        errors=tuple((name, what, count) for (name, what), count in wrong.most_common()),
        sampled=len(happened["samples"]),
        seen=seen,
        gates=gates(campaign.gates, total, operations, seen, len(happened["samples"])),
        left_out=tuple(happened["left_out"]),
        left_behind=tuple(happened["left_behind"]),
        stop=str(happened["stop"]),
    )
