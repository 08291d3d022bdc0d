"""The report as JUnit XML, for continuous integration.

One test case for each check of each requirement; a requirement without a check has one case of its own, so that none
goes missing. Only a verdict of pass is a passed case. What fails at the level that the run was judged by is a failure;
a recommendation that is not met and does not count there is skipped with its reason; not_testable and error are errors.
The time of a scenario is shared out evenly over the cases that it feeds.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

from conformance.harness.records import Verdict
from conformance.harness.verdict import counted, weigh, worst
from reports import words
from reports.fold import CheckRow, Report, RequirementRow
from reports.shown import shown

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold, and with those that steer as their escapes."""
    return _ILLEGAL.sub("\ufffd", shown(text))


def _details(check: CheckRow) -> str:
    lines = []
    for item in check.findings:
        found = item.found
        lines += [
            f"{found.code}{' (waived)' if item.waived else ''}: {item.text.en}",
            f"  hint: {item.hint.en}",
            f"  pointer: {found.pointer or '-'}",
            f"  expected: {words.value(found.expected)}",
            f"  actual: {words.value(found.actual)}",
            f"  exchanges: {', '.join(found.exchanges) or '-'}",
        ]
    return "\n".join(lines)


def _result(case: ET.Element, verdict: Verdict, *, counts: bool, message: str, details: str) -> None:
    """Put into the case what keeps it from being a pass."""
    if verdict is Verdict.PASS:
        return
    if verdict in (Verdict.FAIL, Verdict.WARN) and counts:
        tag = "failure"
    elif verdict in (Verdict.ERROR, Verdict.NOT_TESTABLE):
        tag = "error"
    else:
        tag = "skipped"
    outcome = ET.SubElement(case, tag, {"message": clean(message or verdict.value)})
    if tag != "skipped":
        outcome.set("type", verdict.value)
    outcome.text = clean(details) or None


def _case(suite: ET.Element, row: RequirementRow, name: str, seconds: float) -> ET.Element:
    attributes = {"classname": f"{suite.get('name')}.{row.id}", "name": clean(name), "time": f"{seconds:.3f}"}
    return ET.SubElement(suite, "testcase", attributes)


def _cases(suite: ET.Element, report: Report, row: RequirementRow, shares: Counter[str]) -> None:
    counts = row.level in counted(report.judged_at)
    for check in row.checks:
        scenario = report.scenarios.get(check.scenario)
        seconds = scenario.elapsed_ms / 1000 / shares[check.scenario] if scenario else 0.0
        case = _case(suite, row, check.check, seconds)
        codes = ", ".join(dict.fromkeys(item.found.code for item in check.findings))
        said = check.reason.en if check.reason else codes
        message = f"{check.verdict.value} ({row.level.value}): {said or words.sentence(check.check)}"
        _result(case, check.verdict, counts=counts, message=message, details=_details(check))
    if weigh(worst(check.verdict for check in row.checks), row.level) is not row.verdict or not row.checks:
        # The requirement says something that none of its checks says.
        case = _case(suite, row, "requirement", 0.0)
        said = row.reason.en if row.reason else row.requirement.demand.en
        message = f"{row.verdict.value} ({row.level.value}): {said}"
        _result(case, row.verdict, counts=counts, message=message, details="")


def _total(element: ET.Element) -> None:
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def render(report: Report) -> str:
    """Return the report as XML text."""
    root = ET.Element("testsuites", {"name": "conformance"})
    if report.problem:
        suite = ET.SubElement(root, "testsuite", {"name": "run"})
        attributes = {"classname": "run", "name": "the recording is intact", "time": "0.000"}
        case = ET.SubElement(suite, "testcase", attributes)
        message = f"{report.problem.en} {report.detail}".strip()
        ET.SubElement(case, "error", {"message": clean(message), "type": "void"})
    shares = Counter(check.scenario for row in report.rows for check in row.checks)
    for chapter in report.chapters:
        suite = ET.SubElement(root, "testsuite", {"name": chapter.id})
        for row in chapter.rows:
            _cases(suite, report, row, shares)
    for element in (*root, root):
        _total(element)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
