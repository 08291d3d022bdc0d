"""Approvals as this node's operator drives them: apply, decide, cancel, terminate, query, list, and actively grant.

Guarantees: a change is kept together with the message that tells the partner of it; a withdrawal or a decision counts
here only if it counts there or is owed to it; while an application is pending, the partner can be asked how it stands,
which makes a lost confirmation good (8.3.3-c, 8.7.1.3-e, 8.7.2.2-c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

import specs
from reference_node.domain import EndReason, Role, RuleBroken, Status, approval
from reference_node.domain.approval import Decision, Kind, Standing
from reference_node.domain.ids import random_id
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services import approvals, consents, links, permits
from reference_node.services.approvals import Body, Subject, faulty, operation
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, find, of_resource
from reference_node.store.contracts import ContractRow
from reference_node.store.outbox import DeliveryState, OutboxRow

log = structlog.get_logger("reference_node")
_LIST = Listed("audit")
_OFFER_WITHOUT = {
    "description": "offer-without-description",
    "time_limit": "offer-without-period",
    "config": "offer-without-config",
    "task_id": "offer-without-task",
}


def apply(node: Node, session: Session, subject: Subject, body: Body) -> dict[str, Any]:
    """Apply to a partner; what it refuses at once is not kept here either."""
    contract = links.of_this_node(node, session, body["contract_id"])
    permits.check_period(node, body)
    draft = subject.draft(node, session, contract, body)
    for name, defect in _OFFER_WITHOUT.items():
        if name in draft.content and faulty(node, subject.kind, defect):
            del draft.content[name]
    row = approvals.new_row(node, random_id("audit"), subject.kind, Role.APPLICANT, contract, draft)
    session.add(row)
    session.flush()
    if faulty(node, subject.kind, "offer-not-sent"):
        return _submitted(row, "DELIVERED")
    session.commit()
    delivery = _offer(node, session, subject, row, contract)
    row = row_now(session, row.audit_id)
    if faulty(node, subject.kind, "offer-approved-at-once"):
        approvals.carry(node, session, row, Standing(Status.APPROVED))
    told_approved = faulty(node, subject.kind, "offer-told-as-approved")
    return {**_submitted(row, delivery), **({"status": Status.APPROVED.value} if told_approved else {})}


def _offer(node: Node, session: Session, subject: Subject, row: ApprovalRow, contract: ContractRow) -> str:
    """Send an application that is kept; forget it if the partner refuses, owe it if the partner is not heard."""
    name = operation(subject.kind, "Apply")
    try:
        node.partner.call(name, links.peer(contract), body=_application(row), attempts=node.config.attempts)
    except Refusal as refusal:
        if refusal.name != "PARTNER_REFUSED":
            _owe_application(node, session, row)
            return "PENDING"
        if not faulty(node, subject.kind, "refusal-hidden"):
            session.delete(row)
            session.commit()
            raise
    return "DELIVERED"


def _owe_application(node: Node, session: Session, row: ApprovalRow) -> None:
    """Have an application delivered in the background."""
    owed = node.outbox.put(session, row.contract_id, operation(Kind(row.kind), "Apply"), _application(row))
    row.apply_delivery = owed.id
    session.commit()


def _application(row: ApprovalRow) -> dict[str, Any]:
    return {"audit_id": row.audit_id, "contract_id": row.contract_id, **row.content}


def cancel(node: Node, session: Session, subject: Subject, audit_id: str, trace_id: str) -> dict[str, Any]:
    """Withdraw this node's application: first at the partner, whose word counts, then here."""
    kind = subject.kind
    row = of_role(node, session, kind, audit_id, Role.APPLICANT)
    if row.status == Status.APPROVED and faulty(node, kind, "withdrawn-after-decision"):
        row.status = Status.APPLIED.value
        session.commit()
    cancelled = approval.cancel(row.standing)
    message = {"audit_id": audit_id}
    if not faulty(node, kind, "cancel-not-sent"):
        try:
            links.ask(node, session, row.contract_id, operation(kind, "Cancel"), trace_id, body=message)
        except Refusal as refusal:
            if refusal.name == "PARTNER_REFUSED":
                refresh(node, subject, audit_id)
            if row_now(session, audit_id).standing != cancelled:
                raise
    row = row_now(session, audit_id)
    if row.standing == approval.PENDING and not faulty(node, kind, "own-cancel-ignored"):
        approvals.carry(node, session, row, cancelled)
    return _submitted(row, "DELIVERED")


def decide(node: Node, session: Session, subject: Subject, body: Body) -> dict[str, Any]:
    """Decide a partner's application, and tell it."""
    kind = subject.kind
    row = of_role(node, session, kind, body["audit_id"], Role.APPROVER)
    decision = Decision(body["status"])
    if row.standing != approval.PENDING and not faulty(node, kind, "decision-reversed"):
        raise Refusal("AUDIT_NOT_PENDING", pointer="/audit_id")
    consents.check_seen(node, row, body)
    contract = links.of_this_node(node, session, row.contract_id)
    permits.check_period(node, body)
    message: dict[str, Any] = {"audit_id": row.audit_id, "status": decision.value}
    if decision is Decision.APPROVED:
        permit = session.get(PermitRow, row.audit_id)
        permit = permit or permits.issue(node, session, row, contract, permits.limits_of(body))
        if node.faults.on("grant-exceeds-request") and permit.times_limit is not None:
            permit.times_limit += 100
        message["resource_permit"] = permit.to_json()
        if faulty(node, kind, "permit-for-another-resource"):
            message["resource_permit"]["resource_id"] = row.audit_id
    if "comment" in body:
        message["comment"] = body["comment"]
    approvals.carry(node, session, row, approval.decide(approval.PENDING, decision), body.get("comment"))
    if decision is Decision.APPROVED or faulty(node, kind, "copied-after-rejection"):
        subject.approved(node, session, row)
    silent = "decision-not-told" if decision is Decision.APPROVED else "rejection-not-told"
    return told(node, session, row, operation(kind, "Confirm"), message, silent=silent)


def terminate(node: Node, session: Session, kind: Kind, audit_id: str) -> dict[str, Any]:
    """Revoke or give back an approval: it ends here at once, and the partner is told."""
    row = own(node, session, kind, audit_id)
    if row.status == Status.TERMINATED and faulty(node, kind, "terminated-twice"):
        return _submitted(row, "DELIVERED")
    if row.role == Role.APPROVER and faulty(node, kind, "revocation-refused"):
        raise Refusal("NOT_YOURS", pointer="/audit_id")
    ended = approval.terminate(row.standing, Role(row.role))
    message = {"audit_id": audit_id}
    if faulty(node, kind, "revocation-waits-for-partner"):
        links.ask(node, session, row.contract_id, operation(kind, "Terminate"), body=message)
        row = row_now(session, audit_id)
    if faulty(node, kind, "revocation-takes-all"):
        _end_all_others(node, session, row)
    approvals.carry(node, session, row, ended, lost="AUDIT_NOT_APPROVED")
    return told(node, session, row, operation(kind, "Terminate"), message, silent="termination-not-told")


def query(node: Node, session: Session, subject: Subject, audit_id: str) -> dict[str, Any]:
    """Return one approval; while this node's application is pending, the partner is asked first."""
    kind = subject.kind
    row = own(node, session, kind, audit_id)
    pending = row.role == Role.APPLICANT and row.standing == approval.PENDING
    if pending and not faulty(node, kind, "lost-callback-not-made-good"):
        session.commit()
        refresh(node, subject, audit_id)
        session.expire_all()
        row = own(node, session, kind, audit_id)
    found = record(session, row)
    if found.get("uses") and node.faults.on("uses-not-told"):
        found["uses"] = 0
    if faulty(node, kind, "terms-not-shown"):
        found["content"] = {name: value for name, value in row.content.items() if name == "digest"}
    return found


def list_page(node: Node, session: Session, kind: Kind, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of the approvals of a kind, newest first."""
    settle_due(node, session)
    wanted = select(ApprovalRow).where(ApprovalRow.kind == kind.value)
    if faulty(node, kind, "audit-list-omits-received"):
        wanted = wanted.where(ApprovalRow.role == Role.APPLICANT.value)
    for name in ("status", "role", "contract_id"):
        if name in query and not (name == "status" and faulty(node, kind, "audit-filter-ignored")):
            wanted = wanted.where(getattr(ApprovalRow, name) == query[name])
    wanted = wanted.order_by(ApprovalRow.seq.desc())
    return _LIST.answer(node, session, query, wanted, lambda row: record(session, row))


def refresh(node: Node, subject: Subject, audit_id: str) -> None:
    """Ask the partner where this node's application stands and adopt it; no useful answer changes nothing."""
    with node.store.session() as session:
        row = row_now(session, audit_id)
        refused = _refused(session, row)
        if refused is not None:
            approvals.carry(node, session, row, Standing(Status.REJECTED), refused["error"])
            session.commit()
            return
        try:
            name = operation(subject.kind, "Query")
            state = links.ask(node, session, row.contract_id, name, query={"audit_id": audit_id})
            row = row_now(session, audit_id)
            to = approval.adopt(row.standing, _standing(state))
            if to != row.standing and not faulty(node, subject.kind, "answer-to-query-not-adopted"):
                approvals.adopt(node, session, subject, row, to, state)
            session.commit()
        except (Refusal, RuleBroken) as refusal:
            session.rollback()
            log.info("approval not refreshed", audit_id=audit_id, reason=refusal.name, node_id=node.node_id)
            row = row_now(session, audit_id)
            if _is_unknown(refusal) and row.standing == approval.PENDING and row.apply_delivery is None:
                _owe_application(node, session, row)  # this node stopped between keeping and sending it


def poll(node: Node, subject: Subject) -> None:
    """Ask for the fate of own applications of a kind that have been pending for a while."""
    now = node.now()
    pending = (
        ApprovalRow.kind == subject.kind.value,
        ApprovalRow.role == Role.APPLICANT.value,
        ApprovalRow.status == Status.APPLIED.value,
        ApprovalRow.poll_at <= now,
    )
    with node.store.read() as session:
        due = session.scalars(select(ApprovalRow.audit_id).where(*pending)).all()
    if not due or faulty(node, subject.kind, "lost-callback-not-made-good"):
        return
    for audit_id in due:
        with node.store.begin() as session:
            row_now(session, audit_id).poll_at = now + node.config.poll_seconds * 1000
        refresh(node, subject, audit_id)


def expire(node: Node) -> None:
    """End every approval whose period is over."""
    with node.store.begin() as session:
        settle_due(node, session)


def settle_due(node: Node, session: Session) -> None:
    """End, within a transaction, every approval whose period is over."""
    over = (ApprovalRow.status == Status.APPROVED.value, PermitRow.time_limit < node.now())
    wanted = select(ApprovalRow).join(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id).where(*over)
    for row in session.scalars(wanted).all():
        approvals.settle(node, session, row)


def end_with_contract(node: Node, session: Session, contract: ContractRow) -> None:
    """End whatever was approved or asked for under a contract that has ended."""
    if node.faults.on("permit-survives-contract"):
        return
    reason = EndReason.EXPIRED if contract.end_reason == EndReason.EXPIRED else EndReason.TERMINATED
    alive = ApprovalRow.status.in_((Status.APPLIED.value, Status.APPROVED.value))
    kept = [Kind.PROJECT.value, Kind.FLOW.value] if node.faults.on("approval-survives-contract") else []
    mine = (ApprovalRow.contract_id == contract.contract_id, ApprovalRow.kind.not_in(kept))
    for row in session.scalars(select(ApprovalRow).where(*mine, alive)).all():
        approvals.settle(node, session, row)
        if not row.standing.final:
            approvals.carry(node, session, row, approval.end(row.standing, reason))


def end_with_resource(node: Node, session: Session, kind: Kind, resource_id: str) -> list[OutboxRow]:
    """End this node's applications for a resource that it deletes; return what the partners are owed."""
    owed = []
    for row in of_resource(session, kind, resource_id, Role.APPLICANT):
        step = "Cancel" if row.standing == approval.PENDING else "Terminate"
        approvals.carry(node, session, row, approval.end(row.standing, EndReason.DELETED))
        owed.append(node.outbox.put(session, row.contract_id, operation(kind, step), {"audit_id": row.audit_id}))
    return owed


def told(
    node: Node, session: Session, row: ApprovalRow, name: str, message: dict[str, Any], *, silent: str
) -> dict[str, Any]:
    """Commit a change with the message it owes, try to deliver at once, and say whether that worked."""
    if faulty(node, Kind(row.kind), silent):
        session.commit()
        return _submitted(row, "DELIVERED")
    owed = node.outbox.put(session, row.contract_id, name, message)
    session.commit()
    delivery = node.outbox.attempt(owed)
    return _submitted(row, "DELIVERED" if faulty(node, Kind(row.kind), "delivery-misreported") else delivery)


def own(node: Node, session: Session, kind: Kind, audit_id: str) -> ApprovalRow:
    """Return an approval of this node, at whichever end, as it stands by now."""
    row = find(session, audit_id)
    if row is None or row.kind != kind:
        raise Refusal("AUDIT_NOT_FOUND", pointer="/audit_id")
    contract = session.get(ContractRow, row.contract_id)
    if contract is not None:
        links.in_force(node, session, contract)
    approvals.settle(node, session, row)
    return row


def of_role(node: Node, session: Session, kind: Kind, audit_id: str, role: Role) -> ApprovalRow:
    """Return an approval in which this node has a given role."""
    row = own(node, session, kind, audit_id)
    if row.role != role:
        raise Refusal("NOT_YOURS", pointer="/audit_id")
    return row


def _end_all_others(node: Node, session: Session, row: ApprovalRow) -> None:
    """End whatever else of the kind is approved with the partner, for the defect that ends it all."""
    same = (ApprovalRow.kind == row.kind, ApprovalRow.partner_node_id == row.partner_node_id)
    others = (*same, ApprovalRow.status == Status.APPROVED.value, ApprovalRow.seq != row.seq)
    for other in session.scalars(select(ApprovalRow).where(*others)).all():
        approvals.carry(node, session, other, approval.end(other.standing, EndReason.REVOKED))


def row_now(session: Session, audit_id: str) -> ApprovalRow:
    """Read an approval afresh."""
    session.expire_all()
    row = find(session, audit_id)
    if row is None:
        raise Refusal("AUDIT_NOT_FOUND", pointer="/audit_id")
    return row


def record(session: Session, row: ApprovalRow) -> dict[str, Any]:
    """Return an approval as `AuditRecord`."""
    permit = session.get(PermitRow, row.audit_id)
    uses = permit.uses if permit is not None and row.role == Role.APPROVER else None
    return without_none(
        {
            "audit_id": row.audit_id,
            "kind": row.kind,
            "role": row.role,
            "partner_node_id": row.partner_node_id,
            "contract_id": row.contract_id,
            "resource_id": row.resource_id,
            "status": row.status,
            "end_reason": row.end_reason,
            "comment": row.comment,
            "content": row.content,
            "content_digest": consents.content_digest(row),
            "resource_permit": None if permit is None else permit.to_json(),
            "uses": uses,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def _submitted(row: ApprovalRow, delivery: str) -> dict[str, Any]:
    return {"audit_id": row.audit_id, "status": row.status, "delivery": delivery}


def _standing(state: Mapping[str, Any]) -> Standing:
    status = Status(state["status"])
    if status is not Status.TERMINATED:
        return Standing(status)
    return Standing(status, EndReason(state.get("end_reason", EndReason.TERMINATED)))


def _is_unknown(refusal: Refusal | RuleBroken) -> bool:
    """Tell whether the partner has never heard of an approval."""
    reason = refusal.extra.get("partner", {}) if isinstance(refusal, Refusal) else {}
    return bool(reason.get("error") == "AUDIT_NOT_FOUND")


def _refused(session: Session, row: ApprovalRow) -> dict[str, Any] | None:
    """Say why the partner refused to take this application, if it did."""
    owed = session.get(OutboxRow, row.apply_delivery, populate_existing=True) if row.apply_delivery else None
    if owed is None or owed.state != DeliveryState.REFUSED:
        return None
    error = (owed.last_error or "").rpartition(" ")[2]
    known = specs.errors().get(error)
    if known is None:
        return {"error": None, "msg": owed.last_error or ""}
    return {"status": known.status, "code": known.code, "error": error, "msg": known.msg.en}
