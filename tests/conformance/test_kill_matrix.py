"""The gate: the unmutated node is green, every deliberate defect is killed, and the committed matrix says just that."""

from __future__ import annotations

import dataclasses

import pytest

import specs
from conformance.harness import engine, levels
from conformance.harness.registry import CHECKS
from conformance.selftest import killmatrix, trace
from conformance.selftest.killmatrix import Baseline, Fate, Found, Trial
from reference_node.faults import Fault, declared


@pytest.fixture(scope="session")
def ground() -> Baseline:
    """The suite against the node as it should be."""
    return killmatrix.run_baseline()


@pytest.mark.slow
def test_the_unmutated_node_is_green(ground: Baseline) -> None:
    """Without a defect nothing is found, nothing is untestable, nothing breaks."""
    assert killmatrix.lines_of_baseline(ground)[:-1] == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", declared().values(), ids=declared())
def test_a_defect_is_found_as_declared_and_as_committed(ground: Baseline, fault: Fault) -> None:
    """The defect is reached, its finding appears, no undeclared one does, and specs/traceability.json knows it all."""
    trial = killmatrix.try_fault(fault, ground.focus(fault.name))
    assert trial.fate is Fate.KILLED, killmatrix.line_of(trial)
    known = {
        (name, code)
        for name, row in trace.committed().requirements.items()
        for code in row["faults"].get(fault.name, ())
    }
    assert {(row.requirement, row.code) for row in trial.findings} <= known, "run `hutong trace --write`"
    catchers = {name for name, faults in trace.committed().checks.items() if fault.name in faults}
    assert {row.check for row in trial.findings} <= catchers, "run `hutong trace --write`"


@pytest.mark.slow
def test_the_committed_matrix_names_the_checks_of_a_run(ground: Baseline) -> None:
    """Requirements, levels and checks are those that a run gives."""
    matrix = trace.join(specs.load_requirements(), ground.results, [])
    stripped = {
        name: {key: value for key, value in row.items() if key != "faults"}
        for name, row in trace.committed().requirements.items()
    }
    assert stripped == {
        name: {key: value for key, value in row.items() if key != "faults"} for name, row in matrix.requirements.items()
    }
    assert set(trace.committed().checks) == set(matrix.checks)


def test_nothing_is_checked_without_proof() -> None:
    """Every covered requirement and every check has caught a defect."""
    assert trace.committed().unproven() == []


def test_no_committed_fault_has_gone() -> None:
    """A defect that was removed leaves the matrix."""
    named = {fault for row in trace.committed().requirements.values() for fault in row["faults"]}
    assert named == set(declared())


def test_the_findings_tell_most_defects_apart() -> None:
    """Diagnostic resolution: distinct sets of findings over defects stays above four in five."""
    signatures: dict[str, set[str]] = {name: set() for name in declared()}
    for check, faults in trace.committed().checks.items():
        for fault in faults:
            signatures[fault].add(check)
    distinct = {frozenset(row) for row in signatures.values()}
    assert len(distinct) / len(signatures) >= 0.8


def test_the_level_set_holds_only_checks_that_exist() -> None:
    """A frozen edition names no check that was renamed or removed since."""
    frozen = levels.current()
    assert frozen is not None
    engine.plan()
    assert {name for names in frozen.checks.values() for name in names} <= set(CHECKS)


FAULT = Fault("a-fault", "8.1.1-a", "CODE", "坏", "broken", ("OTHER",))


def trial(fate: Fate, *found: Found) -> Trial:
    return Trial(FAULT.name, FAULT.requirement, FAULT.finding, fate, 1, found)


def test_only_killed_faults_prove_anything() -> None:
    """A defect that survived stands nowhere in the matrix."""
    row = Found("8.1.1-a", "a_check", "CODE")
    rows = {"8.1.1-a": specs.load_requirements()["8.1.1-a"]}
    result = killmatrix.CheckResult("a_check", "8.1.1-a", "s", killmatrix.Verdict.PASS)
    assert trace.join(rows, [result], [trial(Fate.SURVIVED, row)]).unproven() == [
        "8.1.1-a: checked, but no fault proves that its checks can fail",
        "a_check: this check has caught no fault",
    ]
    assert trace.join(rows, [result], [trial(Fate.KILLED, row)]).unproven() == []


def test_a_difference_between_matrices_is_told() -> None:
    """Drift names the requirement and both sides."""
    rows = {"8.1.1-a": specs.load_requirements()["8.1.1-a"]}
    result = killmatrix.CheckResult("a_check", "8.1.1-a", "s", killmatrix.Verdict.PASS)
    old, new = trace.join(rows, [], []), trace.join(rows, [result], [])
    assert trace.differences(old, old) == []
    assert [line.split(":")[0] for line in trace.differences(old, new)] == ["8.1.1-a", "a_check"]
    assert trace.differences(old, dataclasses.replace(old)) == []
