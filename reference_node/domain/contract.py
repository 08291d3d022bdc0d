"""The life of a contract (8.1.2), the same on both ends.

    APPLIED ──confirm──> APPROVED ──terminate / expiry──> TERMINATED
       │ └────reject───> REJECTED
       └──cancel / expiry──────────────────────────────> TERMINATED

Guarantees: a decision and a cancellation need a pending application (8.1.2-b, 8.1.2-c); termination needs an approved
contract and either party may (8.1.2-e); a state once left is never entered again; expiry is judged by the time that is
handed in, at every use, and not only when somebody sweeps; a confirmed period is never longer than the one asked for.
A term of the evidence that is agreed is no shorter than six months (9.2-d-3).

>>> pending = Terms(Status.APPLIED, expired_time=2_000)
>>> confirm(pending, Status.APPROVED, expired_time=1_500, now=1_000)
Terms(status=<Status.APPROVED: 'APPROVED'>, expired_time=1500, end_reason=None)
>>> at(pending, now=2_000).end_reason
<EndReason.EXPIRED: 'EXPIRED'>
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reference_node.domain import EndReason, RuleBroken, Status

YEAR_MS = 365 * 24 * 3600 * 1000
SIX_MONTHS_DAYS = 183  # whichever they are


@dataclass(frozen=True, slots=True)
class Terms:
    """What the machine moves: the state, until when (unix ms), and why it ended."""

    status: Status
    expired_time: int
    end_reason: EndReason | None = None


def apply(expired_time: int | None, *, now: int) -> Terms:
    """Open an application; without a period it asks for one year."""
    until = now + YEAR_MS if expired_time is None else expired_time
    if until <= now:
        raise RuleBroken("EXPIRY_INVALID", "/expired_time")
    return Terms(Status.APPLIED, until)


def at(terms: Terms, *, now: int, decide_until: int | None = None) -> Terms:
    """Return the terms as they are at a time: what is over, or was not decided in time, is TERMINATED."""
    undecided = terms.status is Status.APPLIED and decide_until is not None and decide_until <= now
    if undecided or (terms.status in (Status.APPLIED, Status.APPROVED) and terms.expired_time <= now):
        return replace(terms, status=Status.TERMINATED, end_reason=EndReason.EXPIRED)
    return terms


def confirm(terms: Terms, decision: Status, *, expired_time: int | None, now: int) -> Terms:
    """Decide a pending application; the period may be shortened, never lengthened."""
    if at(terms, now=now).status is not Status.APPLIED:
        raise RuleBroken("CONTRACT_NOT_PENDING", "/contract_id")
    if decision is Status.REJECTED:
        return replace(terms, status=Status.REJECTED)
    until = terms.expired_time if expired_time is None else expired_time
    if not now < until <= terms.expired_time:
        raise RuleBroken("EXPIRY_INVALID", "/expired_time")
    return replace(terms, status=Status.APPROVED, expired_time=until)


def evidence_days(asked: float | None) -> int | None:
    """Return for how many days the evidence of a contract is kept, None where that was not agreed."""
    if asked is not None and asked < SIX_MONTHS_DAYS:
        raise RuleBroken("EVIDENCE_TERM_INVALID", "/evidence_retention_days")
    return None if asked is None else int(asked)


def cancel(terms: Terms, *, now: int) -> Terms:
    """Withdraw a pending application."""
    if at(terms, now=now).status is not Status.APPLIED:
        raise RuleBroken("CONTRACT_NOT_PENDING", "/contract_id")
    return replace(terms, status=Status.TERMINATED, end_reason=EndReason.CANCELLED)


def terminate(terms: Terms, *, now: int) -> Terms:
    """End an approved contract."""
    if at(terms, now=now).status is not Status.APPROVED:
        raise RuleBroken("CONTRACT_NOT_ACTIVE", "/contract_id")
    return replace(terms, status=Status.TERMINATED, end_reason=EndReason.TERMINATED)


def cancellable(terms: Terms, *, now: int) -> bool:
    """Tell whether an application can still be withdrawn (8.1.2-d)."""
    return at(terms, now=now).status is Status.APPLIED
