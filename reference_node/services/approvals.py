"""Approvals as partners reach them (8.2.1-b, 8.3.3, 8.7.1.3, 8.7.1.4, 8.7.2.2): one service for all four kinds.

Guarantees: an approval is seen and moved by its two parties only, each in its own role; a message that arrives twice is
answered as before; whatever a kind adds (what may be applied for, what an approval brings about) is its `Subject`.
A defect `<kind>-<name>` is the defect `<name>` for approvals of that kind only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role, Status, approval
from reference_node.domain.approval import Decision, Kind, Standing
from reference_node.domain.permit import Limits, is_over
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import permitted
from reference_node.security.guards import Caller
from reference_node.services import consents, links, permits
from reference_node.services.lists import without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, find, move
from reference_node.store.contracts import ContractRow

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An application: the resource, its name where known, and the message without the ids of approval and contract."""

    resource_id: str
    content: dict[str, Any]
    name: str = ""


class Subject(Protocol):
    """What distinguishes one kind of approval from another."""

    @property
    def kind(self) -> Kind:
        """What is applied for."""

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Compose this node's application; refuse what cannot be applied for."""

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Check a partner's application and say what it is for."""

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """Carry out what an approval brings about, at whichever end this node is."""


def faulty(node: Node, kind: Kind, name: str) -> bool:
    """Tell whether a defect is on for approvals of a kind."""
    return node.faults.on(f"{kind.lower()}-{name}")


def operation(kind: Kind, step: str) -> str:
    """Name of a node-to-node operation: projectAuditApply."""
    return f"{kind.lower()}Audit{step}"


def receive_application(node: Node, session: Session, subject: Subject, caller: Caller, body: Body) -> None:
    """Take a partner's application; the same one again is answered as before."""
    contract = links.with_caller(node, session, caller, body.get("contract_id"))
    content = {name: value for name, value in body.items() if name not in ("audit_id", "contract_id")}
    known = find(session, body["audit_id"])
    if known is not None:
        if faulty(node, subject.kind, "audit-id-shared"):
            return
        same = (Role.APPROVER, subject.kind, caller.node_id, contract.contract_id)
        placed = (known.role, known.kind, known.partner_node_id, known.contract_id) == same
        if placed and faulty(node, subject.kind, "content-replaced-by-repetition"):
            known.content = content
            return
        if not placed or not consents.same_content(node, known, content):
            raise Refusal("ID_TAKEN", pointer="/audit_id")
        if faulty(node, subject.kind, "repeated-application-refused"):
            raise Refusal("ID_TAKEN", pointer="/audit_id")
        return
    if faulty(node, subject.kind, "application-refused"):
        raise Refusal("RESOURCE_NOT_APPROVED")
    permits.check_period(node, body)
    draft = subject.receive(node, session, contract, content)
    row = new_row(node, body["audit_id"], subject.kind, Role.APPROVER, contract, draft)
    session.add(row)
    session.flush()
    if faulty(node, subject.kind, "approved-without-decision"):
        permits.issue(node, session, row, contract, Limits())
        carry(node, session, row, approval.decide(row.standing, Decision.APPROVED))
        subject.approved(node, session, row)


def receive_decision(node: Node, session: Session, subject: Subject, caller: Caller, body: Body) -> None:
    """Take the decision on this node's application, from the node that was applied to."""
    row = of_party(node, session, subject.kind, caller, body["audit_id"], stranger="confirm-by-stranger-taken")
    if row.role != Role.APPLICANT:
        raise Refusal("NOT_YOURS", pointer="/audit_id")
    before, decision = row.standing, Decision(body["status"])
    if before != approval.PENDING and faulty(node, subject.kind, "decision-contradicted"):
        before = approval.PENDING
    decided = approval.decide(before, decision)
    if decided == row.standing:
        if faulty(node, subject.kind, "repeated-decision-ends-it"):
            carry(node, session, row, Standing(Status.TERMINATED, EndReason.TERMINATED))
        if faulty(node, subject.kind, "confirmation-not-repeatable"):
            raise Refusal("AUDIT_NOT_PENDING", pointer="/audit_id")
        return
    if faulty(node, subject.kind, "decision-ignored" if decision is Decision.APPROVED else "rejection-ignored"):
        return
    adopt(node, session, subject, row, decided, body)


def adopt(node: Node, session: Session, subject: Subject, row: ApprovalRow, to: Standing, told: Body) -> None:
    """Bring this node's application to where the approver says that it stands, and keep the permit."""
    permit = told.get("resource_permit")
    if permit is not None and node.faults.on("broken-off-decision-kept"):
        row.status = to.status.value
        session.commit()
    if to.status is Status.APPROVED and permit is not None:
        keep_permit(node, session, row, permit)
    carry(node, session, row, to, told.get("comment"))
    if to.status is Status.APPROVED:
        subject.approved(node, session, row)


def keep_permit(node: Node, session: Session, row: ApprovalRow, permit: dict[str, Any]) -> None:
    """Keep a permit that was issued to this node for this very resource."""
    wanted = {"resource_type": row.kind, "resource_id": row.resource_id, "request_node_id": node.node_id}
    for name, value in wanted.items():
        if permit[name] != value:
            raise Refusal("REQUEST_INVALID", pointer=f"/resource_permit/{name}")
    if session.get(PermitRow, row.audit_id) is None and not faulty(node, Kind(row.kind), "permit-not-kept"):
        session.add(PermitRow.from_json(row.audit_id, permit))
        session.flush()


def receive_cancellation(node: Node, session: Session, kind: Kind, caller: Caller, audit_id: str) -> None:
    """Let the applicant withdraw what nobody has decided yet (8.7.1.3-b)."""
    row = of_party(node, session, kind, caller, audit_id, stranger="cancel-by-stranger-taken")
    if row.role != Role.APPROVER:
        raise Refusal("NOT_YOURS", pointer="/audit_id")
    if faulty(node, kind, "cancel-refused"):
        raise Refusal("AUDIT_NOT_PENDING", pointer="/audit_id")
    before = row.standing
    if before.status is Status.APPROVED and faulty(node, kind, "cancelled-after-decision"):
        before = approval.PENDING
    cancelled = approval.cancel(before)
    if not faulty(node, kind, "cancel-ignored"):
        carry(node, session, row, cancelled)


def receive_termination(node: Node, session: Session, kind: Kind, caller: Caller, audit_id: str) -> None:
    """Let the other end give back or revoke what was approved (8.7.1.4, 9.2-b-3)."""
    row = of_party(node, session, kind, caller, audit_id, stranger="termination-by-stranger-taken")
    other = Role.APPLICANT if row.role == Role.APPROVER else Role.APPROVER
    ended = approval.terminate(row.standing, other)
    if not faulty(node, kind, "termination-ignored"):
        carry(node, session, row, ended, lost="AUDIT_NOT_APPROVED")


def state_for(node: Node, session: Session, kind: Kind, caller: Caller, audit_id: str) -> dict[str, Any]:
    """Tell the applicant where its application stands, with the permit once it is approved."""
    row = of_party(node, session, kind, caller, audit_id, stranger="audit-open-to-strangers")
    if row.role != Role.APPROVER:
        raise Refusal("AUDIT_NOT_FOUND", pointer="/audit_id")
    if faulty(node, kind, "audit-query-says-applied"):
        return {"audit_id": row.audit_id, "status": Status.APPLIED.value}
    told = row.status == Status.APPROVED or node.faults.on("permit-told-after-withdrawal")
    permit = session.get(PermitRow, row.audit_id) if told and not faulty(node, kind, "permit-not-answered") else None
    return without_none(
        {
            "audit_id": row.audit_id,
            "status": row.status,
            "end_reason": row.end_reason,
            "comment": row.comment,
            "resource_permit": None if permit is None else permit.to_json(),
        }
    )


def of_party(
    node: Node, session: Session, kind: Kind, caller: Caller, audit_id: str, stranger: str = ""
) -> ApprovalRow:
    """Return an approval if the caller is its other end; to all others it does not exist."""
    row = find(session, audit_id)
    if row is None or row.kind != kind:
        raise Refusal("AUDIT_NOT_FOUND", pointer="/audit_id")
    if row.partner_node_id != caller.node_id and not (stranger and faulty(node, kind, stranger)):
        raise Refusal("AUDIT_NOT_FOUND", pointer="/audit_id")
    settle(node, session, row)
    return row


def new_row(node: Node, audit_id: str, kind: Kind, role: Role, contract: ContractRow, draft: Draft) -> ApprovalRow:
    """Return a pending approval."""
    return ApprovalRow(
        audit_id=audit_id,
        kind=kind.value,
        role=role.value,
        partner_node_id=contract.partner_node_id,
        contract_id=contract.contract_id,
        resource_id=draft.resource_id,
        name=draft.name,
        status=Status.APPLIED.value,
        content=draft.content,
        poll_at=node.now() + node.config.poll_seconds * 1000,
        created_at=node.now(),
        updated_at=node.now(),
    )


def settle(node: Node, session: Session, row: ApprovalRow) -> None:
    """End an approval whose period is over, whoever has noticed."""
    if row.status != Status.APPROVED:
        return
    permit = session.get(PermitRow, row.audit_id)
    if permit is not None and is_over(Limits(permit.time_limit), node.now()):
        carry(node, session, row, approval.end(row.standing, EndReason.EXPIRED))


def carry(
    node: Node,
    session: Session,
    row: ApprovalRow,
    to: Standing,
    comment: str | None = None,
    *,
    lost: str = "AUDIT_NOT_PENDING",
) -> None:
    """Move an approval; if another request was first, it is refused as `lost` says."""
    if not move(session, row, to, node.now(), comment):
        raise Refusal(lost, pointer="/audit_id")
    if to.status is Status.TERMINATED and row.role == Role.APPROVER:
        permitted.review(node, session)
