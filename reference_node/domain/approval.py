"""One approval machine for projects, flows, datasets, models and jobs (8.2.1, 8.3.3, 8.7.1.3, 8.7.1.4, 8.7.2.2).

The applicant asks, the approver decides; both ends keep the standing of the approval and move it by the same functions:

    APPLIED ──decide──> APPROVED ──terminate──> TERMINATED (REVOKED by the approver, TERMINATED by the applicant)
       │  └───decide──> REJECTED          └──end──> TERMINATED (EXPIRED, DELETED: what it rests on is gone)
       └──cancel / end──> TERMINATED (CANCELLED / EXPIRED, DELETED)

- A standing only moves forward; REJECTED and TERMINATED are final.
- The approver's word counts. Whatever messages are lost, doubled or overtaken, `adopt` brings the applicant to the
  approver's standing with one query (the fall-back of 8.3.3-c, 8.7.1.3-e, 8.7.2.2-c), and never takes it back.

    >>> decide(PENDING, Decision.APPROVED)
    Standing(status=<Status.APPROVED: 'APPROVED'>, end_reason=None)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reference_node.domain import EndReason, Role, RuleBroken, Status


class Kind(StrEnum):
    """What is applied for."""

    PROJECT = "PROJECT"
    FLOW = "FLOW"
    DATASET = "DATASET"
    MODEL = "MODEL"
    JOB = "JOB"


class Decision(StrEnum):
    """What the approver answers."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


_RANK = {Status.APPLIED: 0, Status.APPROVED: 1, Status.REJECTED: 2, Status.TERMINATED: 2}


@dataclass(frozen=True, slots=True)
class Standing:
    """Status of an approval; `end_reason` is set exactly when it is TERMINATED."""

    status: Status
    end_reason: EndReason | None = None

    def __post_init__(self) -> None:
        if (self.status is Status.TERMINATED) != (self.end_reason is not None):
            raise ValueError("end_reason belongs to TERMINATED, and only to it")

    @property
    def final(self) -> bool:
        """Whether nothing can change any more."""
        return self.status in (Status.REJECTED, Status.TERMINATED)


PENDING = Standing(Status.APPLIED)


def decide(now: Standing, decision: Decision) -> Standing:
    """Take the approver's decision. The same one again changes nothing: a retried confirmation is harmless."""
    decided = Standing(Status(decision.value))
    if now == decided:
        return now
    if now.status is not Status.APPLIED:
        raise RuleBroken("AUDIT_NOT_PENDING", "/audit_id")
    return decided


def cancel(now: Standing) -> Standing:
    """Withdraw the application; possible only while it is pending (8.7.1.3-b)."""
    if now.status is not Status.APPLIED:
        raise RuleBroken("AUDIT_NOT_PENDING", "/audit_id")
    return Standing(Status.TERMINATED, EndReason.CANCELLED)


def terminate(now: Standing, by: Role) -> Standing:
    """End an approval in force: the approver revokes its grant (8.7.1.4, 9.2-b-3), the applicant gives it back."""
    if now.status is not Status.APPROVED:
        raise RuleBroken("AUDIT_NOT_APPROVED", "/audit_id")
    return Standing(Status.TERMINATED, EndReason.REVOKED if by is Role.APPROVER else EndReason.TERMINATED)


def end(now: Standing, reason: EndReason) -> Standing:
    """End what rests on something that is gone: an ended contract, a deleted project. Final standings stay."""
    return now if now.final else Standing(Status.TERMINATED, reason)


def adopt(mine: Standing, theirs: Standing) -> Standing:
    """Take over the approver's standing, as told by its answer to a query, unless the applicant is already further."""
    return theirs if _RANK[theirs.status] > _RANK[mine.status] else mine
