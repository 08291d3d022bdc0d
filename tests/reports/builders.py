"""Builds recorded runs, small and large, through the writer that real runs use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from conformance.harness.events import EventWriter, Run, read_events, write_results
from conformance.harness.records import (
    Answer,
    CheckResult,
    Direction,
    Exchange,
    Finding,
    Request,
    Stop,
    StopKind,
    Transcript,
    Verdict,
)
from conformance.harness.verdict import LEVELS, RequirementResult, of_requirement, of_run
from specs import Level, Requirement, Verification, load_requirements

TARGET = {"url": "https://node-a.example:8443", "name": "Node A", "node_id": "node-a", "binding": "reference"}
HEADER = {
    "run": "r-0042",
    "started_ms": 1_760_000_000_000,
    "edition": "2025.1",
    "profile": {"target": TARGET, "capabilities": {"roles": ["responder", "initiator"]}, "operator_token": "hush"},
    "binding": "reference",
    "only": [],
    "scenarios": ["story"],
    "digests": {"specs": "ab" * 32, "suite": "cd" * 32},
    "options": {"level": "shall", "jobs": 4},
}
ASSURANCE = {"clauses": 208, "applicable": 96, "exercised": 80, "proven": 78, "waived": 1}
START = 1_760_000_000_000


def exchange(scenario: str, number: int, **changes: Any) -> Exchange:
    """Return a plausible exchange."""
    body = json.dumps({"name": f"合同 {number}", "status": "APPLIED", "note": "it's"}, ensure_ascii=False).encode()
    values: dict[str, Any] = {
        "id": f"{scenario}/{number}",
        "scenario": scenario,
        "step": f"step-{number}",
        "direction": Direction.TO_TARGET,
        "operation": "contractApply",
        "partner": "partner-b",
        "request": Request(
            "POST",
            "/v1/interconn/node/contract/apply",
            (("a b", "1&2"),),
            {"x-nonce": "n" * 16, "authorization": "Bearer secret"},
            body,
        ),
        "answer": Answer(200, {"content-type": "application/json"}, b'{"code":0,"msg":"ok","data":{}}'),
        "at_ms": START + 100 * number,
        "elapsed_ms": 12.5,
    }
    return Exchange(**{**values, **changes})


def transcript(name: str, count: int = 2, stop: Stop | None = None, **changes: Any) -> Transcript:
    """Return a scenario of some exchanges."""
    return Transcript(name, tuple(exchange(name, number, **changes) for number in range(count)), {}, stop)


def record(
    path: Path,
    transcripts: Iterable[Transcript],
    checks: Iterable[CheckResult],
    requirements: Iterable[RequirementResult],
    *,
    header: Mapping[str, Any] = HEADER,
    outcome: Mapping[str, str] | None = None,
    **footer: Any,
) -> Path:
    """Write a run and return its event file; the outcome is what the requirements come to unless it is given."""
    rows = list(requirements)
    with EventWriter(path) as writer:
        writer.header(header)
        for item in transcripts:
            for one in item.exchanges:
                writer.exchange(one)
            writer.transcript(item)
        write_results(writer, checks, rows)
        computed = {level.value: of_run(rows, level).value for level in LEVELS}
        writer.footer({"outcome": dict(outcome or computed), "assurance": ASSURANCE, **footer})
    return path


def judged(checks: Iterable[CheckResult], reason: str = "") -> list[RequirementResult]:
    """Fold checks into the results of every requirement of the standard."""
    mine: dict[str, list[CheckResult]] = {}
    for check in checks:
        mine.setdefault(check.requirement, []).append(check)
    return [of_requirement(row, mine.get(row.id, ()), reason) for row in load_requirements().values()]


def small(folder: Path, *checks: CheckResult, transcripts: Iterable[Transcript] | None = None, **options: Any) -> Run:
    """Record and read back a run of one scenario, `story`."""
    told = [transcript("story")] if transcripts is None else transcripts
    return read_events(record(folder / "events.jsonl", told, checks, judged(checks), **options))


def check(requirement: str, verdict: Verdict, *findings: Finding, **changes: Any) -> CheckResult:
    """Return what a check of the scenario `story` says."""
    values: dict[str, Any] = {"check": "contract_cancel_is_refused_once_confirmed", "scenario": "story"}
    values |= changes
    return CheckResult(requirement=requirement, verdict=verdict, findings=findings, **values)


FOUND = Finding("CONTRACT_CANCELLED_AFTER_CONFIRM", "/data/status", "APPROVED", "TERMINATED", ("story/1",))


def ids(level: Level = Level.SHALL) -> list[str]:
    """Return the tested requirements of a level."""
    return [row.id for row in tested() if row.level is level]


def tested() -> list[Requirement]:
    """Return the requirements that are verified by test."""
    return [row for row in load_requirements().values() if row.verified_by is Verification.TEST]


def large(folder: Path, exchanges: int = 1500) -> Path:
    """Record a run as large as a full certification, with every verdict in it."""
    rows = [row for row in tested() if row.id.startswith(("8.1", "8.2", "8.3", "8.6", "8.7", "9.1", "9.2"))]
    special = {0: Verdict.FAIL, 9: Verdict.NOT_TESTABLE, 33: Verdict.NOT_APPLICABLE}
    told, checks = [], []
    each = max(2, exchanges // len(rows))
    for number, row in enumerate(rows):
        name = f"scenario_{number}"
        verdict = special.get(number, Verdict.PASS if row.level is Level.SHALL else Verdict.WARN)
        bad = verdict in (Verdict.FAIL, Verdict.WARN)
        stopped = verdict in (Verdict.NOT_TESTABLE, Verdict.NOT_APPLICABLE)
        kind = StopKind.NOT_OFFERED if verdict is Verdict.NOT_APPLICABLE else StopKind.PREREQUISITE
        stop = Stop(kind, "the partner never answered", "step-1") if stopped else None
        told.append(transcript(name, each, stop))
        cited = (f"{name}/1",)
        found = (Finding("CONTRACT_CANCELLED_AFTER_CONFIRM", "/data/status", "APPROVED", {"status": 1}, cited),)
        reason = f"{kind.value} at step-1: the partner never answered" if stopped else ""
        options = {"scenario": name, "reason": reason}
        checks.append(check(row.id, verdict, *(found if bad else ()), **options))
        other = verdict if stopped else Verdict.PASS
        checks.append(check(row.id, other, **{**options, "check": "answers_follow_the_interface"}))
    return record(folder / "events.jsonl", told, checks, judged(checks))


def in_memory(*checks: CheckResult, transcripts: Iterable[Transcript] = (), **footer: Any) -> Run:
    """Return an intact run that was never in a file, so that it can hold what no file can."""
    rows = judged(checks)
    outcome = {level.value: of_run(rows, level).value for level in LEVELS}
    return Run(
        header=dict(HEADER),
        transcripts={item.scenario: item for item in transcripts},
        checks=list(checks),
        requirements=[row.to_json() for row in rows],
        footer={"outcome": outcome, "assurance": ASSURANCE, **footer},
    )


def cut(path: Path) -> Run:
    """Read the run back without its footer."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    short = path.with_name("truncated.jsonl")
    short.write_text("".join(lines[:-1]), encoding="utf-8")
    return read_events(short)


def changed(path: Path) -> Run:
    """Read the run back after somebody turned its failures into passes."""
    text = path.read_text(encoding="utf-8").replace('"verdict":"fail"', '"verdict":"pass"')
    other = path.with_name("changed.jsonl")
    other.write_text(text, encoding="utf-8")
    return read_events(other)


_TEXT = st.text(max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | _TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
_FINDINGS = st.builds(
    Finding, code=st.sampled_from(["A_CODE", "REFUSED_FOR_ANOTHER_REASON"]), pointer=_TEXT, expected=_JSON, actual=_JSON
)


@st.composite
def results(draw: st.DrawFn) -> list[CheckResult]:
    """Draw what checks say: findings come with the verdicts that have them."""
    names = st.sampled_from([row.id for row in tested()[:12]])
    rows = []
    for number, (requirement, verdict) in enumerate(
        draw(st.lists(st.tuples(names, st.sampled_from(Verdict)), max_size=8))
    ):
        bad = verdict in (Verdict.FAIL, Verdict.WARN)
        found = draw(st.lists(_FINDINGS, min_size=1, max_size=2)) if bad else []
        rows.append(
            check(requirement, verdict, *found, check=f"proposition_{number}", reason="" if bad else draw(_TEXT))
        )
    return rows
