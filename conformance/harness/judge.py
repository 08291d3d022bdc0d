"""Turns recordings into verdicts. Pure: the same recording, profile, binding and checks give the same results.

A check that yields findings fails; one whose steps were never reached takes its verdict from why the scenario ended;
one that breaks, or whose scenario the harness broke, is an error that voids the run.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from conformance.harness import expect, verdict
from conformance.harness.binding import Binding
from conformance.harness.profile_model import Profile
from conformance.harness.records import CheckResult, Finding, StopKind, Transcript, Verdict
from conformance.harness.registry import EVERY, Check
from conformance.harness.story import NoTwin, Story, Untold
from specs import Level, Operation, Requirement

_STOPPED = {
    StopKind.PREREQUISITE: Verdict.NOT_TESTABLE,
    StopKind.UNDRIVABLE: Verdict.NOT_TESTABLE,
    StopKind.NOT_OFFERED: Verdict.NOT_APPLICABLE,
    StopKind.BLAME: Verdict.ERROR,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """What a judge needs besides the recordings."""

    profile: Profile
    binding: Binding
    requirements: Mapping[str, Requirement]
    operations: Mapping[str, Operation]

    def level(self, requirement: str) -> Level:
        """Return the level of a requirement; it lives in the requirement's row and nowhere else."""
        return self.requirements[requirement].level


def _broken(exc: Exception) -> str:
    return f"the check itself failed: {type(exc).__name__}: {exc}"


def _one(check: Check, story: Story) -> tuple[Verdict, tuple[Finding, ...], str]:
    """Run one check over one story: verdict before weighing, findings, reason."""
    stop = story.transcript.stop
    if stop is not None and stop.kind is StopKind.BLAME:
        return Verdict.ERROR, (), stop.message
    found: list[Finding] = []
    try:
        for finding in check.judge(story):
            found.append(finding)  # noqa: PERF402  what was found before the story broke off counts
    except Untold as exc:
        if found:
            return Verdict.FAIL, tuple(found), ""
        if exc.silent:
            return Verdict.NOT_TESTABLE, (), f"step {exc} got no answer"
        if stop is None:
            return Verdict.ERROR, (), f"the scenario ended well but never took the step {exc}"
        where = f" at {stop.step}" if stop.step else ""
        return _STOPPED[stop.kind], (), f"{stop.kind.value}{where}: {stop.message}"
    except NoTwin as exc:
        if found:
            return Verdict.FAIL, tuple(found), ""
        return Verdict.NOT_TESTABLE, (), f"the positive twin {exc} was refused, so the refusal proves nothing"
    except Exception as exc:  # noqa: BLE001  a check that breaks must void the run, whatever breaks it
        return Verdict.ERROR, (), _broken(exc)
    foreign = {finding.code for finding in found} - {*check.codes, expect.WRONG_REFUSAL}
    if foreign:
        return Verdict.ERROR, (), f"the check emitted findings that it does not name: {', '.join(sorted(foreign))}"
    return (Verdict.FAIL if found else Verdict.PASS), tuple(found), ""


def _result(
    check: Check, requirement: str, bench: Bench, parts: Iterable[tuple[Verdict, tuple[Finding, ...], str]]
) -> CheckResult:
    rows = list(parts)
    outcome = verdict.worst(part[0] for part in rows)
    findings = tuple(
        dataclasses.replace(found, requirement=requirement, check=check.name) for part in rows for found in part[1]
    )
    reason = next((part[2] for part in rows if part[0] is outcome and part[2]), "")
    weighed = verdict.weigh(outcome, bench.level(requirement))
    return CheckResult(check.name, requirement, check.scenario, weighed, findings, reason)


def _every(check: Check, stories: Iterable[Story], bench: Bench) -> CheckResult | None:
    """One requirement over every story that has anything to say of it."""
    parts = [
        part
        for part in (_one(check, story) for story in stories)
        if part[0] in (Verdict.PASS, Verdict.FAIL, Verdict.ERROR)
    ]
    return _result(check, check.requirement, bench, parts) if parts else None


def _by_operation(check: Check, stories: Iterable[Story], bench: Bench, known: frozenset[str]) -> Iterator[CheckResult]:
    """The same proposition for every operation: findings go to the requirements of the operation they were seen in."""
    parts: dict[str, list[tuple[Verdict, tuple[Finding, ...], str]]] = defaultdict(list)
    for story in stories:
        touched = {
            requirement
            for exchange in story.transcript.exchanges
            if exchange.operation in bench.operations
            for requirement in bench.operations[exchange.operation].requirements[:1]
        }
        outcome, findings, reason = _one(check, story)
        for requirement in sorted(touched & known):
            mine = tuple(found for found in findings if found.requirement == requirement)
            own = outcome if outcome is not Verdict.FAIL or mine else Verdict.PASS
            parts[requirement].append((own, mine, reason if own is outcome else ""))
    for requirement, rows in sorted(parts.items()):
        yield _result(check, requirement, bench, rows)


def judge(transcripts: Mapping[str, Transcript], checks: Iterable[Check], bench: Bench) -> list[CheckResult]:
    """Judge recordings.

    Checks of scenarios that were not recorded (left out by the user) give no result. Results come in the order of the
    checks, so that two judgements of one recording can be compared line by line.
    """
    stories = {
        name: Story(transcript, bench.profile, bench.binding) for name, transcript in sorted(transcripts.items())
    }
    every = [story for story in stories.values() if story.transcript.exchanges]
    rows = list(checks)
    known = frozenset(check.requirement for check in rows if check.requirement)
    results: list[CheckResult] = []
    for check in rows:
        if check.by_operation:
            results.extend(_by_operation(check, every, bench, known))
        elif check.scenario == EVERY:
            result = _every(check, every, bench)
            results.extend([result] if result else [])
        elif check.scenario in stories:
            results.append(_result(check, check.requirement, bench, [_one(check, stories[check.scenario])]))
    return results
