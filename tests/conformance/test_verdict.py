"""The algebra of verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import specs
from conformance.harness import verdict
from conformance.harness.records import CheckResult, Verdict
from conformance.harness.verdict import RANK, Outcome, RequirementResult
from specs import Level

VERDICTS = st.sampled_from(list(Verdict))
LEVELS = st.sampled_from(list(Level))
ROW = next(iter(specs.load_requirements().values()))


def result(outcome: Verdict, *, waived: tuple[str, ...] = ()) -> CheckResult:
    return CheckResult("a_check", ROW.id, "a_scenario", outcome, waived=waived)


def requirement(outcome: Verdict, level: Level = Level.SHALL, *, waived: tuple[str, ...] = ()) -> RequirementResult:
    return RequirementResult(ROW.id, level, outcome, (result(outcome, waived=waived),))


def test_every_verdict_has_a_rank() -> None:
    """No verdict is forgotten in the order."""
    assert set(RANK) == set(Verdict)


@given(st.lists(VERDICTS, min_size=1))
def test_the_worst_is_never_better_than_any_part(parts: list[Verdict]) -> None:
    """A requirement is at most as good as its worst check."""
    whole = verdict.worst(parts)
    assert whole in parts
    assert all(RANK[part] <= RANK[whole] for part in parts)


@given(st.lists(VERDICTS))
def test_more_checks_never_make_it_better(parts: list[Verdict]) -> None:
    """Adding a check cannot raise a verdict."""
    for more in Verdict:
        assert RANK[verdict.worst([*parts, more])] >= RANK[verdict.worst(parts)]


def test_nothing_judged_is_not_scored() -> None:
    """A requirement without checks is not scored, with the reason given."""
    row = verdict.of_requirement(ROW, [], "not_covered")
    assert (row.verdict, row.reason) == (Verdict.NOT_SCORED, "not_covered")


@given(LEVELS, VERDICTS)
def test_only_a_failed_should_or_may_becomes_a_warning(level: Level, outcome: Verdict) -> None:
    """Weighing changes nothing else."""
    weighed = verdict.weigh(outcome, level)
    if outcome is Verdict.FAIL and level is not Level.SHALL:
        assert weighed is Verdict.WARN
    else:
        assert weighed is outcome


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([requirement(Verdict.PASS)], Outcome.CONFORMANT),
        ([requirement(Verdict.PASS), requirement(Verdict.NOT_SCORED)], Outcome.CONFORMANT),
        ([requirement(Verdict.PASS), requirement(Verdict.NOT_APPLICABLE)], Outcome.CONFORMANT),
        ([requirement(Verdict.PASS, waived=("X",))], Outcome.CONFORMANT_WITH_WAIVERS),
        ([requirement(Verdict.PASS), requirement(Verdict.FAIL)], Outcome.NON_CONFORMANT),
        ([requirement(Verdict.PASS), requirement(Verdict.NOT_TESTABLE)], Outcome.INCOMPLETE),
        ([requirement(Verdict.FAIL), requirement(Verdict.NOT_TESTABLE)], Outcome.NON_CONFORMANT),
        ([requirement(Verdict.PASS), requirement(Verdict.ERROR)], Outcome.VOID),
        ([requirement(Verdict.NOT_SCORED)], Outcome.INCOMPLETE),
        ([], Outcome.INCOMPLETE),
    ],
)
def test_a_run_folds_its_requirements(rows: list[RequirementResult], expected: Outcome) -> None:
    """Each mix of verdicts has one outcome, and nothing untested is green."""
    assert verdict.of_run(rows, Level.SHALL) is expected


def test_a_level_of_which_nothing_was_scored_is_incomplete() -> None:
    """Passing every shall says nothing about the should clauses."""
    rows = [requirement(Verdict.PASS), requirement(Verdict.NOT_SCORED, Level.SHOULD)]
    assert verdict.of_run(rows, Level.SHALL) is Outcome.CONFORMANT
    assert verdict.of_run(rows, Level.SHOULD) is Outcome.INCOMPLETE


def test_a_should_that_is_not_met_counts_only_at_its_level() -> None:
    """A warning leaves the shall level conformant and the should level not."""
    rows = [requirement(Verdict.PASS), requirement(Verdict.WARN, Level.SHOULD)]
    assert verdict.of_run(rows, Level.SHALL) is Outcome.CONFORMANT
    assert verdict.of_run(rows, Level.SHOULD) is Outcome.NON_CONFORMANT


def test_an_error_voids_the_run_at_every_level() -> None:
    """The harness's own fault in a may requirement voids the shall level too."""
    rows = [requirement(Verdict.PASS), replace(requirement(Verdict.ERROR), level=Level.MAY)]
    assert all(verdict.of_run(rows, level) is Outcome.VOID for level in Level)


@given(st.lists(st.builds(requirement, VERDICTS, LEVELS)), LEVELS)
def test_green_means_that_every_counted_requirement_is_fine(rows: list[RequirementResult], level: Level) -> None:
    """A conformant run has a pass and nothing failed, untestable or broken among what counts."""
    if verdict.of_run(rows, level) is Outcome.CONFORMANT:
        seen = {row.verdict for row in rows if row.level in verdict.counted(level)}
        assert Verdict.PASS in seen
        assert not seen & {Verdict.FAIL, Verdict.WARN, Verdict.NOT_TESTABLE, Verdict.ERROR}


def test_each_outcome_has_an_exit_code() -> None:
    """Only the two conformant outcomes end with 0."""
    assert {outcome for outcome, code in verdict.EXIT.items() if code == 0} == {
        Outcome.CONFORMANT,
        Outcome.CONFORMANT_WITH_WAIVERS,
    }
    assert set(verdict.EXIT) == set(Outcome)
