"""The judge: what a check says of a recording, and what becomes of a check that cannot say anything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

import specs
from conformance.harness import expect, judge
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.records import (
    Answer,
    Direction,
    Exchange,
    Finding,
    Request,
    Stop,
    StopKind,
    Transcript,
    Verdict,
)
from conformance.harness.registry import EVERY, Check
from conformance.harness.story import MISSING, Story, at

PROFILE = parse_profile({"target": {"name": "t", "url": "http://127.0.0.1:1", "node_id": "t"}}, "test")
BINDING = load_binding("reference")
BENCH = judge.Bench(PROFILE, BINDING, specs.load_requirements(), specs.operations())
SHALL, SHOULD = "8.1.1-c", "9.2-a-5"


def exchange(step: str, status: int, data: dict[str, Any], operation: str = "contractQuery") -> Exchange:
    body = {"code": 0 if status == 200 else status * 100 + 1, "msg": "-", "data": data}
    request = Request("GET", "/v1/interconn/node/contract/query", (("contract_id", "c"),))
    return Exchange(
        f"s/{step}",
        "s",
        step,
        Direction.TO_TARGET,
        operation,
        "p",
        request,
        Answer(status, {"content-type": "application/json"}, json.dumps(body).encode()),
    )


OK = exchange("good", 200, {"contract_id": "c", "status": "APPLIED"})
REFUSED = exchange("bad", 403, {"error": "NOT_YOURS", "hint": "-"})
TWIN_REFUSED = exchange("good", 403, {"error": "NOT_YOURS", "hint": "-"})


def one(function: Any, *rows: Exchange, stop: Stop | None = None, requirement: str = SHALL, scenario: str = "s") -> Any:
    check = Check("a_check", requirement, scenario, ("CODE",), function)
    return judge.judge({"s": Transcript("s", rows, {}, stop)}, [check], BENCH)


def test_a_check_without_findings_passes() -> None:
    """Nothing found, nothing wrong."""
    assert one(lambda story: expect.accepted(story, "good", "CODE"), OK)[0].verdict is Verdict.PASS


def test_a_finding_fails_and_says_where() -> None:
    """The finding carries the check, the requirement, the place and the exchange."""
    result = one(lambda story: expect.shows(story, "good", "/status", "APPROVED", "CODE"), OK)[0]
    assert result.verdict is Verdict.FAIL
    assert result.findings == (
        Finding("CODE", "/status", "APPROVED", "APPLIED", ("s/good",), requirement=SHALL, check="a_check"),
    )


def test_a_should_that_is_not_met_warns() -> None:
    """The level stands in the requirement's row and decides."""
    result = one(lambda story: expect.shows(story, "good", "/status", "X", "CODE"), OK, requirement=SHOULD)[0]
    assert result.verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (StopKind.PREREQUISITE, Verdict.NOT_TESTABLE),
        (StopKind.UNDRIVABLE, Verdict.NOT_TESTABLE),
        (StopKind.NOT_OFFERED, Verdict.NOT_APPLICABLE),
        (StopKind.BLAME, Verdict.ERROR),
    ],
)
def test_a_scenario_that_ended_early_is_never_green(kind: StopKind, expected: Verdict) -> None:
    """A check whose step was not reached takes its verdict from why."""
    result = one(lambda story: expect.accepted(story, "later", "CODE"), OK, stop=Stop(kind, "why", "good"))[0]
    assert result.verdict is expected
    assert "why" in result.reason


def test_steps_before_the_end_are_judged_all_the_same() -> None:
    """A scenario that ended early still shows what it saw."""
    stop = Stop(StopKind.PREREQUISITE, "why", "later")
    result = one(lambda story: expect.shows(story, "good", "/status", "X", "CODE"), OK, stop=stop)[0]
    assert result.verdict is Verdict.FAIL


def test_a_step_that_was_never_taken_in_a_whole_scenario_is_our_error() -> None:
    """A check that asks for a step nobody takes voids the run instead of passing."""
    assert one(lambda story: expect.accepted(story, "never", "CODE"), OK)[0].verdict is Verdict.ERROR


def test_a_step_without_an_answer_cannot_be_judged() -> None:
    """A target that stays silent makes what builds on the step not testable; the silence is a finding of its own."""
    silent = dataclasses.replace(OK, answer=None, failure="timed out")
    result = one(lambda story: expect.accepted(story, "good", "CODE"), silent)[0]
    assert result.verdict is Verdict.NOT_TESTABLE
    assert "good" in result.reason


def test_what_was_found_before_a_story_broke_off_counts() -> None:
    """A finding is not lost because a later step of the same check was never taken."""

    def check(story: Story) -> Iterator[Finding]:
        yield from expect.shows(story, "good", "/status", "X", "CODE")
        yield from expect.accepted(story, "never", "CODE")

    assert one(check, OK)[0].verdict is Verdict.FAIL


def test_a_check_that_breaks_is_our_error() -> None:
    """An exception in a check voids the run instead of blaming the target."""

    def broken(_story: Story) -> Iterator[Finding]:
        raise KeyError("data")

    assert one(broken, OK)[0].verdict is Verdict.ERROR


def test_a_finding_that_the_check_does_not_name_is_our_error() -> None:
    """Codes are declared where the check is registered."""
    assert one(lambda _story: [Finding("OTHER")], OK)[0].verdict is Verdict.ERROR


def test_a_refusal_counts_only_beside_an_accepted_twin() -> None:
    """A target that refuses everything proves nothing."""

    def check(story: Story) -> Iterator[Finding]:
        return expect.refused(story, "bad", "CODE", "NOT_YOURS", twin="good")

    assert one(check, OK, REFUSED)[0].verdict is Verdict.PASS
    assert one(check, TWIN_REFUSED, REFUSED)[0].verdict is Verdict.NOT_TESTABLE


def test_a_refusal_for_another_reason_is_a_finding_of_its_own() -> None:
    """Rejecting for the wrong reason is not rejecting for the right one."""
    result = one(lambda story: expect.refused(story, "bad", "CODE", "CONTRACT_NOT_PENDING", twin="good"), OK, REFUSED)[
        0
    ]
    assert [found.code for found in result.findings] == [expect.WRONG_REFUSAL]


def test_an_accepted_attack_is_found_even_without_its_twin() -> None:
    """Acceptance speaks for itself."""
    accepted = exchange("bad", 200, {"contract_id": "c", "status": "APPLIED"})
    result = one(lambda story: expect.refused(story, "bad", "CODE", "NOT_YOURS", twin="good"), accepted)[0]
    assert [found.code for found in result.findings] == ["CODE"]


def test_a_check_of_an_unrecorded_scenario_gives_no_result() -> None:
    """What was left out by the user is not judged."""
    assert one(lambda story: expect.accepted(story, "good", "CODE"), OK, scenario="other") == []


def test_a_check_by_operation_speaks_for_each_clause_that_was_touched() -> None:
    """Findings go to the clause of the operation in which they were seen, the others pass."""
    clause = specs.operations()["contractQuery"].requirements[0]
    other = specs.operations()["nodeHealth"].requirements[0]

    def by_operation(story: Story) -> Iterator[Finding]:
        for row in story.transcript.exchanges:
            if row.operation == "contractQuery":
                yield Finding("CODE", exchanges=(row.id,), requirement=clause)

    checks = [
        Check("universal", "", EVERY, ("CODE",), by_operation),
        Check("mine", clause, "s", ("CODE",), lambda _story: []),
        Check("its", other, "s", ("CODE",), lambda _story: []),
    ]
    rows = (OK, exchange("well", 200, {"status": "UP"}, "nodeHealth"))
    results = judge.judge({"s": Transcript("s", rows)}, checks, BENCH)
    assert {(row.check, row.requirement, row.verdict) for row in results} == {
        ("universal", clause, Verdict.FAIL),
        ("universal", other, Verdict.PASS),
        ("mine", clause, Verdict.PASS),
        ("its", other, Verdict.PASS),
    }


def test_judging_twice_gives_the_same() -> None:
    """The judge is a function of its recording."""

    def check(story: Story) -> Iterator[Finding]:
        return expect.shows(story, "good", "/status", "X", "CODE")

    assert one(check, OK, REFUSED) == one(check, OK, REFUSED)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", {"a": [1, {"b/c": 2}]}),
        ("/a/0", 1),
        ("/a/1/b~1c", 2),
        ("/a/9", MISSING),
        ("/x/y", MISSING),
        ("/a/b", MISSING),
    ],
)
def test_a_pointer_never_raises(pointer: str, expected: Any) -> None:
    """A place that is not there is MISSING, so a check cannot break on what a target leaves out."""
    assert at({"a": [1, {"b/c": 2}]}, pointer) == expected
