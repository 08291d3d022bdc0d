"""The report as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given

from conformance.harness.events import read_events
from conformance.harness.records import CheckResult, Finding, Verdict
from reports import junit
from reports.fold import Report, fold
from specs import Level, load_requirements
from tests.reports.builders import FOUND, HEADER, check, cut, ids, in_memory, large, results, small


def _cases(report: Report) -> list[ET.Element]:
    return list(ET.fromstring(junit.render(report)).iter("testcase"))


def _of(report: Report, clause: str) -> list[ET.Element]:
    return [case for case in _cases(report) if (case.get("classname") or "").partition(".")[2].endswith(f".{clause}")]


def _tags(report: Report, clause: str) -> list[str]:
    return [child.tag for case in _of(report, clause) for child in case]


@pytest.mark.parametrize(
    ("verdict", "tags"),
    [
        (Verdict.PASS, []),
        (Verdict.FAIL, ["failure"]),
        (Verdict.NOT_TESTABLE, ["error"]),
        (Verdict.ERROR, ["error"]),
        (Verdict.NOT_APPLICABLE, ["skipped"]),
        (Verdict.NOT_SCORED, ["skipped"]),
    ],
)
def test_a_verdict_has_one_meaning(tmp_path: Path, verdict: Verdict, tags: list[str]) -> None:
    """Only a pass is passed; what is not testable is an error."""
    clause = next(row for row in ids() if row.startswith("8.1"))
    found = (FOUND,) if verdict is Verdict.FAIL else ()
    report = fold(small(tmp_path, check(clause, verdict, *found, reason="because")))
    assert _tags(report, clause) == tags


@pytest.mark.parametrize(("level", "tag"), [("shall", "skipped"), ("should", "failure")])
def test_a_recommendation_fails_only_where_it_counts(tmp_path: Path, level: str, tag: str) -> None:
    """At the level shall it is skipped with its reason, never passed."""
    clause = next(row for row in ids(Level.SHOULD) if row.startswith(("8", "9")))
    report = fold(small(tmp_path, check(clause, Verdict.WARN, FOUND), header={**HEADER, "options": {"level": level}}))
    assert _tags(report, clause) == [tag]


def test_every_requirement_has_a_case(tmp_path: Path) -> None:
    """A clause without a check has one of its own, skipped with the reason."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.PASS), check(ids()[0], Verdict.PASS, check="another")))
    cases = _cases(report)
    assert len(cases) == len(load_requirements()) + 1
    skipped = [case.find("skipped") for case in cases if case.get("name") == "requirement"]
    assert len(skipped) == len(load_requirements()) - 1
    assert all(item is not None and item.get("message") for item in skipped)


def test_a_failure_carries_code_values_and_exchanges(tmp_path: Path) -> None:
    """What continuous integration shows is enough to find the place."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND)))
    failure = next(item for case in _cases(report) if (item := case.find("failure")) is not None)
    text = failure.text or ""
    for part in (FOUND.code, "/data/status", "APPROVED", "TERMINATED", "story/1", "hint:"):
        assert part in text


def test_a_damaged_recording_passes_nothing(tmp_path: Path) -> None:
    """No case passes, and the first one says why."""
    cases = _cases(fold(cut(large(tmp_path, 100))))
    assert all(len(case) for case in cases)
    assert cases[0].get("name") == "the recording is intact"


def test_totals_and_times_add_up(tmp_path: Path) -> None:
    """The root counts what the cases are; each scenario's time is shared out once."""
    report = fold(read_events(large(tmp_path, 200)))
    root = ET.fromstring(junit.render(report))
    cases = list(root.iter("testcase"))
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == str(len(list(root.iter("failure"))))
    assert root.get("errors") == str(len(list(root.iter("error"))))
    total = sum(scenario.elapsed_ms for scenario in report.scenarios.values()) / 1000
    assert float(root.get("time", "0")) == pytest.approx(total, abs=0.001 * len(cases))


def test_characters_that_xml_lacks_are_replaced() -> None:
    """Control characters and lone surrogates from a target do not break the file."""
    found = Finding("A_CODE", actual="\x00\x1b\ud800<&>]]>")
    text = junit.render(fold(in_memory(check(ids()[0], Verdict.FAIL, found))))
    assert "\ufffd" in "".join(ET.fromstring(text.encode()).itertext())


@given(results())
def test_only_what_passed_is_passed(checks: list[CheckResult]) -> None:
    """The number of passed cases is that of passed checks, whatever was found."""
    cases = _cases(fold(in_memory(*checks)))
    assert sum(len(case) == 0 for case in cases) == sum(item.verdict is Verdict.PASS for item in checks)
