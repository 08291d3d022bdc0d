"""What is asked of every answer and of every call, whatever the clause: the findings go to the operation's clause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from conformance.harness.records import FRAMED, INTERRUPTED, SILENCE_WILL_DO, Direction, Exchange, Finding
from conformance.harness.registry import EVERY, check
from conformance.harness.schema import Contract
from conformance.harness.story import Story

# Words that only the inside of a program knows; a refusal that shows them tells an attacker how it is built.
INNARDS = (b"Traceback (most recent call last)", b'File "/', b"sqlalchemy", b"sqlite3.", b"at java.", b"goroutine ")


@cache
def _contract() -> Contract:
    return Contract()


def _of(exchange: Exchange) -> str:
    row = _contract().operations.get(exchange.operation)
    return row.requirements[0] if row else ""


def _found(code: str, exchange: Exchange, expected: str, actual: str) -> Finding:
    return Finding(code, "", expected, actual, (exchange.id,), requirement=_of(exchange))


def _to_target(story: Story) -> Iterator[Exchange]:
    """Yield the requests to a target that its operator has not disturbed just then."""
    rows = (row for row in story.transcript.exchanges if row.direction is Direction.TO_TARGET)
    return (row for row in rows if row.negative not in INTERRUPTED)


def _to_partner(story: Story) -> Iterator[Exchange]:
    return (row for row in story.transcript.exchanges if row.direction is Direction.TO_PARTNER and row.operation)


@check("", EVERY, "TARGET_DID_NOT_ANSWER")
def every_request_is_answered(story: Story) -> Iterator[Finding]:
    """No request, however wrong, leaves the target silent, unless what carries it may be refused itself."""
    for row in _to_target(story):
        if row.failure and row.negative not in SILENCE_WILL_DO:
            yield _found("TARGET_DID_NOT_ANSWER", row, "an answer", row.failure)


@check("", EVERY, "SERVER_ERROR")
def no_request_breaks_the_target(story: Story) -> Iterator[Finding]:
    """No request, however wrong, is answered with an internal error."""
    for row in _to_target(story):
        if row.answer is not None and row.answer.status >= 500 and row.answer.status not in (501, 502, 503):
            yield _found("SERVER_ERROR", row, "a refusal below 500", f"HTTP {row.answer.status}")


@check("", EVERY, "INNARDS_REVEALED")
def no_answer_reveals_the_inside(story: Story) -> Iterator[Finding]:
    """No answer carries a stack trace, a file path or a database message."""
    for row in _to_target(story):
        if row.answer is not None and any(word in row.answer.body for word in INNARDS):
            yield _found("INNARDS_REVEALED", row, "code, message and hint only", "words from inside the program")


@check("", EVERY, "ANSWER_OFF_INTERFACE")
def every_answer_follows_the_interface(story: Story) -> Iterator[Finding]:
    """Every answer, also a refusal, has the shape that the interface documents give it, but for what is no request."""
    for row in _to_target(story):
        if row.negative == FRAMED and row.answer is not None and row.answer.status >= 400:
            continue
        problem = _contract().answer_problem(row, story.binding)
        if problem:
            yield _found("ANSWER_OFF_INTERFACE", row, "an answer of the documented shape", problem)


@check("", EVERY, "CALL_OFF_INTERFACE")
def every_call_follows_the_interface(story: Story) -> Iterator[Finding]:
    """Every call that the target makes has the shape that the interface documents give it."""
    for row in _to_partner(story):
        problem = _contract().request_problem(row.operation, row.request, story.binding)
        if problem:
            yield _found("CALL_OFF_INTERFACE", row, "a request of the documented shape", problem)
