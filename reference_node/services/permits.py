"""Permits at the node that owns the resource: issued with an approval, checked and counted at every use (9.2-b).

Guarantees: a permit never opens more than was asked for or longer than the contract lasts (9.2-b-1); a use is admitted
only within period, scope and number, of which the last is counted in one statement (9.2-b-2); the permit of an approval
that has ended opens nothing (9.2-b-3).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role, RuleBroken, Status
from reference_node.domain.approval import Kind
from reference_node.domain.permit import (
    LEVELS,
    Denial,
    Limits,
    Permit,
    ScopeType,
    ShownToken,
    Use,
    grant,
    judge,
    matches,
    shown_tokens,
)
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.store.approvals import ApprovalRow, PermitRow, count_use, in_force
from reference_node.store.contracts import ContractRow, OwnNodeRow

_DAY_MS = 24 * 3600 * 1000
_FEW = 3  # permits for so few uses are left alone by the fault that withholds the last
log = structlog.get_logger("reference_node")


@dataclass(frozen=True, slots=True)
class Asked:
    """A use as it is asked for: by which node, of what, in which project, showing which tokens."""

    node_id: str
    kind: Kind
    resource_id: str
    project_id: str | None
    token_set: str


def limits_of(body: Mapping[str, Any]) -> Limits:
    """Read period and number of an application, a decision or a grant."""
    return Limits(body.get("time_limit"), body.get("times_limit"))


def check_period(node: Node, body: Mapping[str, Any]) -> None:
    """A period that has ended cannot be asked for or granted."""
    if "time_limit" in body and body["time_limit"] <= node.now():
        raise Refusal("EXPIRY_INVALID", pointer="/time_limit")


def issue(node: Node, session: Session, row: ApprovalRow, contract: ContractRow, given: Limits) -> PermitRow:
    """Make the permit of an application that is being approved."""
    asked = limits_of(row.content)
    until = contract.expired_time
    if node.faults.on("permit-outlasts-contract"):
        until += 365 * _DAY_MS
    if given.times_limit is not None and node.faults.on("more-uses-than-asked-granted"):
        asked = Limits(asked.time_limit)
    try:
        limits = grant(asked, given, until)
    except RuleBroken:
        if not node.faults.on("decision-may-exceed-request"):
            raise
        limits = given
    own = session.get(OwnNodeRow, node.node_id)
    scope = row.content.get("auth_scope", {"type": ScopeType.NODE.value})
    if node.faults.on("project-scope-lost"):
        scope = {"type": ScopeType.NODE.value}
    permit = PermitRow(
        audit_id=row.audit_id,
        token=secrets.token_urlsafe(24),
        resource_level=LEVELS[row.kind],
        resource_type=row.kind,
        resource_id=row.resource_id,
        resource_node_id=node.node_id,
        resource_inst_id=own.inst_id if own is not None else node.node_id,
        request_node_id=row.partner_node_id,
        request_inst_id=contract.partner.get("inst_id", row.partner_node_id),
        scope=scope["type"],
        project_id=scope.get("project_id"),
        time_limit=limits.time_limit,
        times_limit=limits.times_limit,
        uses=0,
    )
    session.add(permit)
    _leak(node, row, permit.token)
    session.flush()
    return permit


def _leak(node: Node, row: ApprovalRow, token: str) -> None:
    """Let a token out of the sealed columns, for the faults that do."""
    if node.faults.on("permit-token-kept-in-clear"):
        row.folded += token
    if node.faults.on("permit-token-kept-in-hex"):
        row.folded += token.encode().hex()
    if node.faults.on("permit-token-kept-unsalted"):
        row.folded += hashlib.sha256(token.encode()).hexdigest()
    if node.faults.on("permit-token-logged"):
        log.warning("permit issued", token=token)


def admit(node: Node, session: Session, asked: Asked) -> None:
    """Admit and count one use, or refuse it; to a node that never had a grant the resource does not exist."""
    use = Use(asked.node_id, asked.kind.value, asked.resource_id, node.now(), asked.project_id)
    issued = _issued(node, session, asked)
    shown = shown_tokens(asked.token_set)
    if node.faults.on("only-first-permit-seen"):
        shown = shown[:1]
    if not issued and node.faults.on("ungranted-resource-open"):
        return
    if not issued and not shown and node.faults.on("nothing-granted-opens-all"):
        return
    denial = Denial.MISSING if issued else None
    if issued and not shown and node.faults.on("permit-not-demanded"):
        return
    for row, approval in issued:
        if not _matches(node, row, shown, use):
            if shown and node.faults.on("refused-use-counts"):
                count_use(session, row.audit_id)
                session.commit()
            continue
        denial = _judge(node, session, row, approval, use)
        if denial is None and not _count(node, session, row):
            denial = Denial.EXHAUSTED
        if denial is None:
            return
    told = {"expected": issued[0][0].token} if issued and shown and node.faults.on("refusal-tells-the-permit") else {}
    for entry in shown:
        if node.faults.on("refused-permit-logged"):
            log.warning("permit refused", token=entry.token)
    raise Refusal("RESOURCE_NOT_FOUND" if denial is None else denial.value, **told)


def _issued(node: Node, session: Session, asked: Asked) -> list[tuple[PermitRow, ApprovalRow]]:
    """Every permit that was ever issued to the node for the resource."""
    wanted = (
        select(PermitRow, ApprovalRow)
        .join(ApprovalRow, ApprovalRow.audit_id == PermitRow.audit_id)
        .where(ApprovalRow.role == Role.APPROVER.value, PermitRow.resource_type == asked.kind.value)
    )
    if not node.faults.on("permit-of-another-node-works"):
        wanted = wanted.where(PermitRow.request_node_id == asked.node_id)
    if not node.faults.on("permit-opens-other-resources"):
        wanted = wanted.where(PermitRow.resource_id == asked.resource_id)
    return [(row, approval) for row, approval in session.execute(wanted.order_by(ApprovalRow.seq.desc()))]


def _matches(node: Node, row: PermitRow, shown: tuple[ShownToken, ...], use: Use) -> bool:
    permit = row.permit(revoked=False)
    if node.faults.on("permit-token-compared-in-part"):
        shown = tuple(_completed(entry, permit.token) for entry in shown)
    if node.faults.on("permit-layer-ignored"):
        shown = tuple(ShownToken(entry.name, permit.resource_level, entry.token) for entry in shown)
    if node.faults.on("permit-name-ignored"):
        shown = tuple(ShownToken(permit.resource_id, entry.level, entry.token) for entry in shown)
    if node.faults.on("permit-of-another-node-works"):
        use = Use(permit.request_node_id, use.resource_type, use.resource_id, use.now_ms, use.project_id)
    if node.faults.on("permit-opens-other-resources"):
        use = Use(use.node_id, use.resource_type, permit.resource_id, use.now_ms, use.project_id)
        shown = tuple(ShownToken(permit.resource_id, entry.level, entry.token) for entry in shown)
    return matches(permit, shown, use)


def _judge(node: Node, session: Session, row: PermitRow, approval: ApprovalRow, use: Use) -> Denial | None:
    projects = set()
    if use.project_id is not None and in_force(session, Kind.PROJECT, use.project_id, use.node_id, use.now_ms):
        projects.add(use.project_id)
    ended = approval.status != Status.APPROVED
    expired = approval.end_reason == EndReason.EXPIRED  # the end of a period is judged by the clock below
    permit = row.permit(revoked=ended and not expired)
    denial = Denial.EXPIRED if expired else judge(permit, use, projects=projects)
    if approval.created_at + 1000 < use.now_ms and node.faults.on("permit-period-cut"):
        denial = denial or Denial.EXPIRED
    return None if denial is not None and _overlooked(node, permit, denial) else denial


def _overlooked(node: Node, permit: Permit, denial: Denial) -> bool:
    """Whether a defect lets pass what the rules refuse."""
    match denial:
        case Denial.REVOKED:
            return node.faults.on("revoked-permit-works")
        case Denial.EXPIRED:
            return node.faults.on("permit-expiry-ignored")
        case Denial.OUT_OF_SCOPE:
            return node.faults.on("permit-scope-ignored")
        case Denial.EXHAUSTED:
            return permit.limits.times_limit is not None and node.faults.on("permit-count-ignored")
        case _:
            return False


def _count(node: Node, session: Session, row: PermitRow) -> bool:
    if node.faults.on("simultaneous-uses-count-once") and node.faults.hits["simultaneous-uses-count-once"] % 2:
        return True
    if row.times_limit is not None and row.times_limit == row.uses + 1 > _FEW and node.faults.on("last-use-withheld"):
        return False
    counted = count_use(session, row.audit_id)
    session.refresh(row)
    return counted or node.faults.on("permit-count-ignored")


def _completed(entry: ShownToken, token: str) -> ShownToken:
    """Take a token for the issued one when it begins like it, for the defect that compares no further."""
    return ShownToken(entry.name, entry.level, token) if entry.token[:8] == token[:8] else entry
