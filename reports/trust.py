"""Whether a recorded run can be believed: its file is whole, and its summary claims no more than its results."""

from __future__ import annotations

from collections import defaultdict

from conformance.harness.events import Run
from conformance.harness.records import CheckResult, Verdict
from conformance.harness.verdict import LEVELS, RANK, Outcome, RequirementResult, of_run, worst
from reports import words
from specs import Level, Text

GREEN = frozenset({Outcome.CONFORMANT, Outcome.CONFORMANT_WITH_WAIVERS})


def problem_of(run: Run) -> tuple[Text | None, str]:
    """Say what makes the recording worthless: in words, and in detail."""
    kind, _, detail = run.problem.partition(": ")
    if not kind:
        detail = _contradiction(run)
        kind = "contradiction" if detail else ""
    if not kind:
        return None, ""
    return words.find(f"problem.{kind}") or Text(run.problem, run.problem), detail


def _contradiction(run: Run) -> str:
    """Say where the summary of an intact file claims more than its results ("" when nowhere)."""
    by_requirement: dict[str, list[CheckResult]] = defaultdict(list)
    for check in run.checks:
        by_requirement[check.requirement].append(check)
    rows = []
    for raw in run.requirements:
        mine = tuple(by_requirement[raw["id"]])
        row = RequirementResult(raw["id"], Level(raw["level"]), Verdict(raw["verdict"]), mine)
        bad = worst(check.verdict for check in mine if not check.waived)
        if row.verdict is Verdict.PASS and RANK[bad] > RANK[Verdict.PASS]:
            return f"{row.id} is recorded as pass, one of its checks as {bad.value}"
        rows.append(row)
    for level in LEVELS:
        claimed = run.footer.get("outcome", {}).get(level.value, "")
        if claimed not in set(Outcome):
            return f"no outcome is recorded at level {level.value}"
        if claimed in GREEN and (actual := of_run(rows, level)) not in GREEN:
            return f"{claimed} is recorded at level {level.value}, the results come to {actual.value}"
    return ""
