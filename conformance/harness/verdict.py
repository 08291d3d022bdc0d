"""The algebra of verdicts: checks -> requirement -> outcome of a run.

A requirement is the worst of its checks. A run is judged per level: at `should` also the should requirements count.
`not_testable` of a counted requirement makes a run incomplete, `error` makes it void; neither is ever green.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from conformance.harness.records import CheckResult, Verdict
from specs import Level, Requirement

# From best to worst: the worst that occurs is the whole's. not_scored says nothing about the target, so anything
# that was scored outweighs it; not_applicable likewise, one step above.
ORDER = (
    Verdict.NOT_SCORED,
    Verdict.NOT_APPLICABLE,
    Verdict.PASS,
    Verdict.WARN,
    Verdict.NOT_TESTABLE,
    Verdict.FAIL,
    Verdict.ERROR,
)
RANK = {verdict: rank for rank, verdict in enumerate(ORDER)}
LEVELS = (Level.SHALL, Level.SHOULD, Level.MAY)


class Outcome(StrEnum):
    """What a run comes to at a level."""

    CONFORMANT = "conformant"
    CONFORMANT_WITH_WAIVERS = "conformant_with_waivers"
    NON_CONFORMANT = "non_conformant"
    INCOMPLETE = "incomplete"
    VOID = "void"


class ExitCode(IntEnum):
    """The command line's API."""

    CONFORMANT = 0
    NON_CONFORMANT = 1
    INCOMPLETE = 2
    VOID = 3
    USAGE = 4


EXIT = {
    Outcome.CONFORMANT: ExitCode.CONFORMANT,
    Outcome.CONFORMANT_WITH_WAIVERS: ExitCode.CONFORMANT,
    Outcome.NON_CONFORMANT: ExitCode.NON_CONFORMANT,
    Outcome.INCOMPLETE: ExitCode.INCOMPLETE,
    Outcome.VOID: ExitCode.VOID,
}


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """What the run says of one requirement."""

    id: str
    level: Level
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; the checks are named, their results stand in events of their own."""
        return {
            "id": self.id,
            "level": self.level.value,
            "verdict": self.verdict.value,
            "checks": sorted({check.check for check in self.checks}),
            "reason": self.reason,
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; of none, not_scored."""
    return max(verdicts, key=RANK.__getitem__, default=Verdict.NOT_SCORED)


def weigh(verdict: Verdict, level: Level) -> Verdict:
    """Return what a failed check means at the level of its requirement: a should or may that is not met warns."""
    return Verdict.WARN if verdict is Verdict.FAIL and level is not Level.SHALL else verdict


def of_requirement(requirement: Requirement, checks: Iterable[CheckResult], reason: str = "") -> RequirementResult:
    """Fold the checks of one requirement."""
    mine = tuple(checks)
    verdict = worst(check.verdict for check in mine)
    if mine:
        reason = next((check.reason for check in mine if check.verdict is verdict and check.reason), "")
    return RequirementResult(requirement.id, requirement.level, verdict, mine, reason)


def counted(level: Level) -> tuple[Level, ...]:
    """Return the levels that count when a run is judged at `level`."""
    return LEVELS[: LEVELS.index(level) + 1]


def of_run(requirements: Iterable[RequirementResult], level: Level) -> Outcome:
    """Fold the requirements that count at `level` into the outcome of the run."""
    rows = list(requirements)
    if any(row.verdict is Verdict.ERROR for row in rows):
        return Outcome.VOID
    scored = [row for row in rows if row.level in counted(level)]
    seen = {row.verdict for row in scored}
    if seen & {Verdict.FAIL, Verdict.WARN}:
        return Outcome.NON_CONFORMANT
    passed = {row.level for row in scored if row.verdict is Verdict.PASS}
    if Verdict.NOT_TESTABLE in seen or passed != set(counted(level)):
        return Outcome.INCOMPLETE  # also where nothing of a level was scored: that says nothing about it
    if any(check.waived for row in scored for check in row.checks):
        return Outcome.CONFORMANT_WITH_WAIVERS
    return Outcome.CONFORMANT
