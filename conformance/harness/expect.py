"""The vocabulary of checks: each function reads a story and yields the findings that speak against it.

Every negative expectation is tied to a positive twin, a step that differs in one thing and was accepted; without it a
target that refuses everything would look well-behaved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from conformance.harness.records import Finding
from conformance.harness.story import MISSING, NoTwin, Step, Story

WRONG_REFUSAL = "REFUSED_FOR_ANOTHER_REASON"


def _plain(value: Any) -> Any:
    return repr(value) if value is MISSING else value


def finding(code: str, *steps: Step, pointer: str = "", expected: Any = None, actual: Any = None) -> Finding:
    """Build a finding that points at the exchanges of some steps."""
    ids = tuple(step.exchange.id for step in steps)
    return Finding(code, pointer, _plain(expected), _plain(actual), ids)


def accepted(story: Story, name: str, code: str) -> Iterator[Finding]:
    """The step was accepted."""
    step = story.step(name)
    if not step.reading.accepted:
        yield finding(code, step, expected="accepted", actual=refusal(step))


def refusal(step: Step) -> str:
    """Say in short how a step was refused."""
    status = step.exchange.answer.status if step.exchange.answer else 0
    return f"HTTP {status} {step.reading.error or step.reading.code} {step.reading.msg}".strip()


def refused(story: Story, name: str, code: str, *errors: str, twin: str) -> Iterator[Finding]:
    """The step was refused, for one of the named reasons; `twin` names the step that shows it was not for another.

    A target whose binding does not name its refusals is held to the refusal alone.
    """
    step = story.step(name)
    if step.reading.accepted:
        yield finding(code, step, expected=" | ".join(errors) or "refused", actual="accepted")
        return
    if not story.step(twin).reading.accepted:
        raise NoTwin(twin)
    if errors and not story.binding.means(step.reading, errors):
        yield finding(WRONG_REFUSAL, step, expected=" | ".join(errors), actual=refusal(step))


def refused_otherwise(story: Story, name: str, code: str, error: str) -> Iterator[Finding]:
    """The step was not refused for this reason; whether it had to be refused at all is for others to say."""
    step = story.step(name)
    if step.reading.error == error:
        yield finding(code, step, expected=f"another answer than {error}", actual=refusal(step))


def shows(story: Story, name: str, pointer: str, expected: Any, code: str) -> Iterator[Finding]:
    """The answer of the step has this value at this place."""
    step = story.step(name)
    actual = step.get(pointer)
    if actual != expected:
        yield finding(code, step, pointer=pointer, expected=expected, actual=actual)


def carried(story: Story, name: str, pointer: str, expected: Any, code: str) -> Iterator[Finding]:
    """The request that the target sent in this step has this value at this place."""
    step = story.step(name)
    actual = step.got(pointer)
    if actual != expected:
        yield finding(code, step, pointer=pointer, expected=expected, actual=actual)


def satisfies(
    story: Story, name: str, pointer: str, predicate: Callable[[Any], bool], expected: str, code: str
) -> Iterator[Finding]:
    """What the answer of the step has at this place satisfies the predicate; `expected` says it in words."""
    step = story.step(name)
    actual = step.get(pointer)
    if actual is MISSING or not predicate(actual):
        yield finding(code, step, pointer=pointer, expected=expected, actual=actual)


def unchanged(story: Story, before: str, after: str, code: str, pointer: str = "") -> Iterator[Finding]:
    """Two accepted readings show the same at this place: what lay between them changed nothing."""
    first, second = story.step(before), story.step(after)
    if first.get(pointer) != second.get(pointer) or not second.reading.accepted:
        yield finding(code, first, second, pointer=pointer, expected=first.get(pointer), actual=second.get(pointer))


def called(story: Story, name: str, code: str) -> Iterator[Finding]:
    """The target made the awaited call."""
    if not story.happened(name):
        yield Finding(code, expected="the target calls its partner", actual=f"no call within the time allowed: {name}")


def not_called(story: Story, name: str, code: str) -> Iterator[Finding]:
    """The target did not make the call that was looked out for."""
    if story.happened(name):
        yield finding(code, story.step(name), expected="no call", actual="called")
