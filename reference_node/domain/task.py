"""Tasks: one run of a component of a job at all its parties (8.5); each party has a part in it.

    PENDING ──> READY ──> RUNNING ──> SUCCESS
       └──────────┴───────────┴─────> FAILED     (with the cause)

- A part only moves forward within an attempt, and SUCCESS and FAILED are final (8.5.4-a): callbacks and answers to
  polls may be late, doubled or overtaken, `adopt` gives the same in the end.
- A rerun is a further attempt under the same id (8.5.5); what is told of an earlier attempt is no news any more.
- The state of a task follows from its parts: it failed if one did, and succeeded once all have.

    >>> adopt(Standing(TaskStatus.RUNNING), Standing(TaskStatus.READY)).status
    <TaskStatus.RUNNING: 'RUNNING'>
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from reference_node.domain import RuleBroken


class TaskStatus(StrEnum):
    """Where a task, or a party's part in it, stands."""

    PENDING = "PENDING"
    READY = "READY"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Cause(StrEnum):
    """Why a job or task ended otherwise than by success."""

    COMPONENT_FAILED = "COMPONENT_FAILED"
    COMPONENT_CRASHED = "COMPONENT_CRASHED"
    MEMORY_EXCEEDED = "MEMORY_EXCEEDED"
    NOT_LAUNCHED = "NOT_LAUNCHED"
    NOT_STARTED = "NOT_STARTED"
    STOPPED = "STOPPED"
    TIMED_OUT = "TIMED_OUT"
    NODE_RESTARTED = "NODE_RESTARTED"
    CONTRACT_ENDED = "CONTRACT_ENDED"
    PERMIT_REVOKED = "PERMIT_REVOKED"
    PERMIT_EXPIRED = "PERMIT_EXPIRED"
    PERMIT_EXHAUSTED = "PERMIT_EXHAUSTED"
    PARAMS_NOT_AGREED = "PARAMS_NOT_AGREED"
    PARTNER_REFUSED = "PARTNER_REFUSED"
    PARTNER_UNREACHABLE = "PARTNER_UNREACHABLE"
    PARTNER_ENDED = "PARTNER_ENDED"


FINAL = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILED})
_RANK = {TaskStatus.PENDING: 0, TaskStatus.READY: 1, TaskStatus.RUNNING: 2, TaskStatus.SUCCESS: 3, TaskStatus.FAILED: 3}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a part or task stands in one of its attempts; `cause` is given for FAILED only."""

    status: TaskStatus
    attempt: int = 1
    cause: Cause | None = None

    @property
    def final(self) -> bool:
        """Whether nothing but a rerun changes it any more."""
        return self.status in FINAL


def adopt(mine: Standing, told: Standing) -> Standing:
    """Take over what is told of a part, unless it is known to be further."""
    if told.attempt != mine.attempt:
        return told if told.attempt > mine.attempt else mine
    return mine if mine.final or _RANK[told.status] <= _RANK[mine.status] else told


def stop(mine: Standing, cause: Cause = Cause.STOPPED) -> Standing:
    """End a part before it ends itself; one that has ended stays as it is, so that a stop may be repeated."""
    return mine if mine.final else replace(mine, status=TaskStatus.FAILED, cause=cause)


def rerun(mine: Standing, attempt: int | None = None) -> Standing:
    """Begin a further attempt; `attempt` is the number that the scheduler gave it, by which a repetition is known."""
    if attempt is not None and attempt <= mine.attempt:
        return mine
    if not mine.final and attempt is None:
        raise RuleBroken("TASK_NOT_ENDED", "/task_id")
    return Standing(TaskStatus.READY, attempt or mine.attempt + 1)


def together(parts: Iterable[Standing]) -> Standing:
    """Return where a task stands whose parts stand so."""
    found = list(parts)
    attempt = max((part.attempt for part in found), default=1)
    failed = [part for part in found if part.status is TaskStatus.FAILED]
    if failed:
        # a component that failed by itself says more than those that were stopped because of it
        cause = next((part.cause for part in failed if part.cause not in MILD), failed[0].cause)
        return Standing(TaskStatus.FAILED, attempt, cause)
    states = {part.status for part in found}
    if states == {TaskStatus.SUCCESS}:
        return Standing(TaskStatus.SUCCESS, attempt)
    for status in (TaskStatus.RUNNING, TaskStatus.READY):
        if states & {status, *((TaskStatus.SUCCESS,) if status is TaskStatus.RUNNING else ())}:
            return Standing(status, attempt)
    return Standing(TaskStatus.PENDING, attempt)


MILD = frozenset({Cause.STOPPED, Cause.NOT_STARTED})
"""Causes that do not make a job fail: what was stopped on demand takes along only what follows from it (8.5.3-a)."""
