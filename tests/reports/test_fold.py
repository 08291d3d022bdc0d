"""The fold of a run into a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from conformance.harness.records import CheckResult, Finding, Stop, StopKind, Verdict
from conformance.harness.verdict import LEVELS, Outcome
from reports import words
from reports.fold import Report, fold
from reports.trust import GREEN
from reports.words import label
from specs import Level, Verification, load_requirements
from tests.reports.builders import (
    FOUND,
    HEADER,
    changed,
    check,
    cut,
    exchange,
    ids,
    in_memory,
    judged,
    record,
    results,
    small,
    transcript,
)


def _row(report: Report, clause: str):
    return next(row for row in report.rows if row.id == clause)


def test_every_requirement_of_the_standard_is_there_once(tmp_path: Path) -> None:
    """Also those that the run says nothing of, in document order."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.PASS)))
    assert [row.id for row in report.rows] == list(load_requirements())


def test_what_was_not_scored_has_a_reason_in_both_languages(tmp_path: Path) -> None:
    """A clause that is looked at otherwise says how; one without a check says that it has none."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.PASS)))
    silent = [row for row in report.rows if row.verdict is Verdict.NOT_SCORED]
    assert len(silent) == len(load_requirements()) - 1
    assert all(row.reason and row.reason.zh and row.reason.en for row in silent)
    papers = next(row for row in silent if row.requirement.verified_by is Verification.INSPECTION)
    assert papers.reason == papers.requirement.reason
    assert sum(len(gap.rows) for gap in report.gaps) == len(silent)


def test_a_conformant_run_is_conformant(tmp_path: Path) -> None:
    """The outcome is the recorded one, and the count says how much it rests on."""
    report = fold(small(tmp_path, *(check(clause, Verdict.PASS) for clause in ids())))
    assert report.outcomes[Level.SHALL] is Outcome.CONFORMANT
    assert report.intact
    assert report.attention == ()
    assert report.scored(Level.SHALL) == len(ids())
    assert report.counting(Level.SHALL) < report.counting(Level.SHOULD) < report.counting(Level.MAY)


def test_a_finding_reaches_its_clause_with_words_and_evidence(tmp_path: Path) -> None:
    """Requirement and check are filled in, the scenario brings its exchanges and their time."""
    clause = ids()[3]
    row = _row(fold(small(tmp_path, check(clause, Verdict.FAIL, FOUND))), clause)
    (item,) = row.findings
    assert (item.found.requirement, item.found.check) == (clause, "contract_cancel_is_refused_once_confirmed")
    assert item.text.en == words.messages("en")["finding"][FOUND.code]["text"]
    assert row.scenarios == ("story",)
    assert row.elapsed_ms == 25.0
    assert row.reason is None


def test_a_waived_finding_is_marked(tmp_path: Path) -> None:
    """The finding stays visible; the run is conformant with waivers."""
    result = check(ids()[0], Verdict.PASS, FOUND, waived=(FOUND.code,))
    report = fold(small(tmp_path, result))
    assert report.outcomes[Level.SHALL] is Outcome.CONFORMANT_WITH_WAIVERS
    assert [item.waived for item in _row(report, ids()[0]).findings] == [True]


@pytest.mark.parametrize("damage", [cut, changed])
def test_a_damaged_recording_is_void_and_nowhere_green(tmp_path: Path, damage) -> None:
    """Truncated or changed: no outcome, no requirement and no check passes, what failed is still shown."""
    checks = [check(ids()[0], Verdict.PASS), check(ids()[1], Verdict.PASS), check(ids()[2], Verdict.FAIL, FOUND)]
    path = record(tmp_path / "events.jsonl", [transcript("story")], checks, judged(checks))
    report = fold(damage(path))
    assert set(report.outcomes.values()) == {Outcome.VOID}
    assert report.problem is not None
    assert {row.verdict for row in report.rows} <= {Verdict.ERROR, Verdict.FAIL, Verdict.NOT_SCORED}
    assert Verdict.PASS not in {one.verdict for row in report.rows for one in row.checks}
    assert _row(report, ids()[0]).reason is not None
    assert _row(report, ids()[2]).findings


def test_checks_count_although_the_end_of_the_file_is_lost(tmp_path: Path) -> None:
    """Without a row for the requirement, what its checks said is shown, and a pass is not believed."""
    checks = [check(ids()[0], Verdict.PASS), check(ids()[2], Verdict.FAIL, FOUND)]
    report = fold(cut(record(tmp_path / "events.jsonl", [transcript("story")], checks, [], outcome=VOID)))
    assert _row(report, ids()[0]).verdict is Verdict.ERROR
    assert _row(report, ids()[2]).verdict is Verdict.FAIL


VOID = {level.value: "void" for level in LEVELS}
CLAIM = {level.value: "conformant" for level in LEVELS}


def test_a_summary_that_claims_more_than_the_results_is_void(tmp_path: Path) -> None:
    """A footer may be written by anybody; its digest does not make it true."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND), outcome=CLAIM))
    assert report.outcomes[Level.SHALL] is Outcome.VOID
    assert "non_conformant" in report.detail


def test_a_requirement_that_claims_more_than_its_checks_is_void() -> None:
    """The row says pass, its check says fail."""
    report = fold(in_memory_with_rows(check(ids()[0], Verdict.FAIL, FOUND), check(ids()[0], Verdict.PASS)))
    assert report.outcomes[Level.SHALL] is Outcome.VOID
    assert ids()[0] in report.detail


def in_memory_with_rows(said: CheckResult, claimed: CheckResult):
    """Return a run whose check says one thing and whose requirement row another."""
    run = in_memory(claimed)
    run.checks = [said]
    return run


def test_a_footer_without_an_outcome_is_void() -> None:
    """A level that the run does not judge is not made up."""
    report = fold(in_memory(check(ids()[0], Verdict.PASS), outcome={"shall": "conformant"}))
    assert report.outcomes[Level.SHALL] is Outcome.VOID
    assert "should" in report.detail


def test_problems_of_the_run_and_loose_scenarios_are_kept(tmp_path: Path) -> None:
    """What is wrong with the waivers is told, and evidence that no clause rests on is still to be seen."""
    told = [transcript("story"), transcript("sanity")]
    report = fold(small(tmp_path, check(ids()[0], Verdict.PASS), transcripts=told, problems=["a waiver expired"]))
    assert report.notes == ("a waiver expired",)
    assert [scenario.name for scenario in report.loose] == ["sanity"]


def test_a_restricted_run_says_that_it_was_restricted() -> None:
    """A clause that was left out is not told to have no check."""
    run = in_memory(check("8.1.2-c", Verdict.PASS))
    run.header["only"] = ["8.1"]
    for recorded in run.requirements:
        recorded["reason"] = recorded["reason"] or "not_covered"
    report = fold(run)
    silent = {clause: _row(report, clause).reason for clause in ("8.1.1-a", "8.2.1-a")}
    assert silent == {"8.1.1-a": label("reason.not_covered"), "8.2.1-a": label("reason.left_out")}


def test_a_declaration_is_a_reason_and_never_a_pass() -> None:
    """What the participant declares stands beside what a test cannot tell."""
    run = in_memory(check(ids()[0], Verdict.PASS))
    papers = next(row for row in load_requirements().values() if row.verified_by is Verification.INSPECTION)
    for recorded in run.requirements:
        if recorded["id"] == papers.id:
            recorded["reason"] = "declared: see the contract"
    row = _row(fold(run), papers.id)
    assert row.verdict is Verdict.NOT_SCORED
    assert row.reason is not None
    assert row.reason.zh == "参与方声明，未经测试: see the contract"


def test_results_for_unknown_clauses_are_named() -> None:
    """A recording of another edition does not lose results silently."""
    run = in_memory(check(ids()[0], Verdict.PASS))
    run.requirements.append({**run.requirements[0], "id": "8.9.9-z"})
    assert fold(run).unknown == ("8.9.9-z",)


def test_why_a_scenario_stopped_is_the_reason_of_its_clause(tmp_path: Path) -> None:
    """Not testable needs attention and stands among what is not covered."""
    stop = Stop(StopKind.PREREQUISITE, "no answer", "apply")
    result = check(ids()[0], Verdict.NOT_TESTABLE, reason="prerequisite at apply: no answer")
    report = fold(small(tmp_path, result, transcripts=[transcript("story", 1, stop)]))
    row = _row(report, ids()[0])
    assert row.reason is not None
    assert row.reason.en == "a prerequisite failed (apply): no answer"
    assert report.outcomes[Level.SHALL] is Outcome.INCOMPLETE
    assert report.attention == (row,)
    assert row in report.gaps[0].rows


def test_the_worst_needs_attention_first(tmp_path: Path) -> None:
    """Failures before what could not be tested before warnings, mandatory before optional."""
    checks = [
        check(ids(Level.SHOULD)[0], Verdict.WARN, FOUND),
        check(ids()[1], Verdict.NOT_TESTABLE, reason="x"),
        check(ids()[2], Verdict.FAIL, FOUND),
    ]
    report = fold(small(tmp_path, *checks))
    assert [row.id for row in report.attention] == [ids()[2], ids()[1], ids(Level.SHOULD)[0]]


def test_what_is_named_like_a_secret_is_masked(tmp_path: Path) -> None:
    """The header is written by the harness, yet a profile may hold the operator's token."""
    run = small(tmp_path, header={**HEADER, "target": {"hooks": [{"api_token": "hush2"}]}})
    report = fold(run)
    assert "hush" not in repr(report)
    assert report.facts["profile.operator_token"] == "***"
    assert report.facts["profile.capabilities.roles"] == "responder, initiator"


def test_a_sparse_header_is_enough(tmp_path: Path) -> None:
    """What is not recorded is not invented."""
    report = fold(small(tmp_path, header={"binding": "reference"}, transcripts=[]))
    assert report.target == {}
    assert (report.run_id, report.started_ms, report.duration_ms) == ("", 0, 0.0)
    assert report.judged_at is Level.SHALL


def test_assurance_counts_what_was_recorded(tmp_path: Path) -> None:
    """Numbers are taken, lists are counted, what is missing is not a zero."""
    assert dict(fold(small(tmp_path)).assurance.items())["proven"] == 78
    sparse = fold(in_memory(assurance={"applicable": ["a", "b"], "exercised": "many"})).assurance
    assert dict(sparse.items()) == {"clauses": None, "applicable": 2, "exercised": None, "proven": None, "waived": None}


def test_the_time_of_a_run_is_recorded(tmp_path: Path) -> None:
    """From header to footer."""
    assert fold(small(tmp_path, ended_ms=1_760_000_061_000)).duration_ms == 61_000.0


def test_the_time_of_a_run_without_an_end_is_that_of_its_exchanges(tmp_path: Path) -> None:
    """To the end of the last one."""
    later = exchange("story", 1, at_ms=1_760_000_002_000, elapsed_ms=500.0)
    first = exchange("story", 0)
    told = transcript("story", 0)
    report = fold(small(tmp_path, transcripts=[type(told)("story", (first, later))]))
    assert report.duration_ms == 2500.0


@given(results())
def test_green_needs_a_pass_and_nothing_bad(checks: list[CheckResult]) -> None:
    """Whatever the checks say, a green outcome has a pass and no failure, error or untested clause that counts."""
    report = fold(in_memory(*checks))
    for level in LEVELS:
        if report.outcomes[level] in GREEN:
            seen = {row.verdict for row in report.rows if LEVELS.index(row.level) <= LEVELS.index(level)}
            assert Verdict.PASS in seen
            assert not seen & {Verdict.FAIL, Verdict.WARN, Verdict.NOT_TESTABLE, Verdict.ERROR}


@given(results())
def test_no_finding_is_lost(checks: list[CheckResult]) -> None:
    """Every finding of every check stands under its clause."""
    report = fold(in_memory(*checks))
    told: list[Finding] = [item.found for row in report.rows for item in row.findings]
    assert len(told) == sum(len(item.findings) for item in checks)
