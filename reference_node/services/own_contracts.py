"""Contracts as this node's operator makes them (8.1.2, own side): the node calls its partners and tells them.

Guarantees: an application stands here only once the partner has taken it; a decision or a termination is kept together
with the message that the partner is owed; a cancellation counts here only once the partner has accepted it; where the
partner's callback is lost, its query operation makes it good (8.1.1-c), on demand and by itself from time to time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role, RuleBroken, Status, contract
from reference_node.domain.contract import Terms
from reference_node.errors import Refusal
from reference_node.node import Node, log
from reference_node.security import signing
from reference_node.security.errors import NoCommonSuite, SecurityFailure
from reference_node.security.suites import AuthType, negotiate
from reference_node.services import addresses, contracts, evidence_terms, nodes, offers
from reference_node.store.contracts import ContractRow
from reference_node.transport.partner import Peer


def apply(node: Node, session: Session, body: Mapping[str, Any], trace_id: str) -> dict[str, Any]:
    """Apply to the node at an address for a contract (8.1.2-a)."""
    if body["node_id"] == node.node_id:
        raise Refusal("REQUEST_INVALID", pointer="/node_id")
    now = node.now()
    terms = contract.apply(body.get("expired_time"), now=now)
    kept = contract.evidence_days(body.get(evidence_terms.DAYS))
    addresses.check(node, session, body["node_id"], body)
    partner = nodes.ask_partner(node, body["address"], body["node_id"], trace_id, fault="own-apply-takes-other-node")
    auth_type = _common_suite(node, partner.get("auth_types") or [node.config.auth_type])
    application = _application(node, session, body["node_id"], auth_type, terms.expired_time)
    application |= offers.told(node, partner.get("auth_types"))
    if kept is not None and not node.faults.on("own-apply-loses-evidence-term"):
        application[evidence_terms.DAYS] = kept
    session.commit()
    row = ContractRow(
        role=Role.APPLICANT.value,
        partner_node_id=body["node_id"],
        partner_address=body["address"],
        partner=contracts.particulars_of({**partner, "grpc_address": None}),  # which nobody has signed
        own_auth_type=auth_type,
        evidence_retention_days=kept,
        created_at=now,
        updated_at=now,
        poll_at=now + node.config.poll_seconds * 1000,
    )
    row.terms = terms
    peer = Peer(row.partner_node_id, row.partner_address, row.own_auth_type)
    invented = f"contract-{now:032x}"
    if node.faults.on("own-apply-not-sent"):
        row.contract_id = invented
        return _keep_application(session, row)
    try:
        answer = node.partner.call(
            "contractApply", peer, body=application, trace_id=trace_id, attempts=node.config.attempts
        )
    except Refusal:
        if node.faults.on("failed-application-recorded"):
            row.contract_id = invented
            _keep_application(session, row)
            session.commit()
        if node.faults.on("failed-application-shown-as-done"):
            return {"contract_id": invented, "status": row.status, "expired_time": row.expired_time}
        raise
    row.contract_id = invented if node.faults.on("own-contract-id-differs") else answer["contract_id"]
    if node.faults.on("own-apply-taken-as-approved"):
        row.status = Status.APPROVED.value
    return _keep_application(session, row)


def decide(node: Node, session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
    """Decide an application that this node has received, and tell the applicant (8.1.2-b)."""
    row = _own(node, session, body["contract_id"])
    if row.is_applicant:
        raise Refusal("NOT_YOURS", pointer="/contract_id")
    if body["status"] == Status.APPROVED:
        row = _callable(node, session, row)
    before = row.terms
    row.terms = _decided(node, before, body)
    row.updated_at = node.now()
    message = {
        "contract_id": row.contract_id,
        "status": row.status,
        "auth_type": row.own_auth_type,
        "auth_credential": _credential(node, row.own_auth_type),
        "expired_time": row.expired_time,
        **offers.told(node, row.partner.get(offers.OFFERED)),
        signing.ANNOUNCED: signing.NEWEST,
    }
    if node.faults.on("confirm-tells-other-period"):
        message["expired_time"] = row.expired_time + 1
    if row.status == Status.APPROVED:
        message |= evidence_terms.told(row) | _spoken(nodes.particulars(node, session, row.partner_node_id))
        return _told(node, session, row, "contractConfirm", message, silent="confirm-not-sent")
    if node.faults.on("rejection-not-kept"):
        row.terms = before
    return _told(node, session, row, "contractConfirm", message, silent="rejection-not-sent")


def _spoken(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return where this node speaks gRPC, if it does: the applicant takes nobody's word but the one that is signed."""
    return {name: own[name] for name in ("grpc_address",) if name in own}


def _callable(node: Node, session: Session, row: ContractRow) -> ContractRow:
    """Return the row again once its addresses were judged anew: no contract is signed with whom nobody could call."""
    told = {"address": row.partner_address, "grpc_address": row.partner.get("grpc_address")}
    addresses.check(node, session, row.partner_node_id, told, subjects={"contract_id": row.contract_id})
    return _own(node, session, row.contract_id)


def _decided(node: Node, terms: Terms, body: Mapping[str, Any]) -> Terms:
    """Return what becomes of an application by the operator's decision, or of one that a fault lets be decided."""
    until = body.get("expired_time")
    terms = contracts.confirmable(node, terms, "late-decision-accepted")
    reversed_ = terms.status is Status.APPROVED and node.faults.on("own-decision-reversible")
    if reversed_ or (terms.end_reason is EndReason.CANCELLED and node.faults.on("cancelled-can-be-approved")):
        terms = replace(terms, status=Status.APPLIED, end_reason=None)
    if until is not None and until > terms.expired_time and node.faults.on("own-decision-lengthens"):
        terms = replace(terms, expired_time=until)
    if until is not None and until < terms.expired_time and node.faults.on("shorter-period-ignored"):
        until = None
    return contract.confirm(terms, Status(body["status"]), expired_time=until, now=node.now())


def cancel(node: Node, session: Session, contract_id: str, trace_id: str) -> dict[str, Any]:
    """Withdraw this node's own pending application (8.1.2-c); it counts once the partner has accepted."""
    row = _own(node, session, contract_id)
    if not row.is_applicant:
        raise Refusal("NOT_YOURS", pointer="/contract_id")
    _withdrawn(node, row)
    session.commit()
    if not node.faults.on("own-cancel-not-sent"):
        try:
            node.partner.call(
                "contractCancel",
                _peer(row),
                body={"contract_id": contract_id},
                trace_id=trace_id,
                attempts=node.config.attempts,
            )
        except Refusal as refusal:
            if refusal.name == "PARTNER_REFUSED":
                refresh(node, session, contract_id)
                session.commit()
            if not node.faults.on("refused-cancel-counted"):
                raise
    row = _own(node, session, contract_id)
    pending = row.status == Status.APPLIED or node.faults.on("own-cancel-after-confirm")
    if pending and not node.faults.on("own-cancel-not-kept"):
        contracts.end(node, session, row, _withdrawn(node, row))
    return {**contracts.state_of(row), "delivery": "DELIVERED"}


def _withdrawn(node: Node, row: ContractRow) -> Terms:
    terms = row.terms
    if terms.status is Status.APPROVED and node.faults.on("own-cancel-after-confirm"):
        terms = replace(terms, status=Status.APPLIED)
    return contract.cancel(terms, now=node.now())


def terminate(node: Node, session: Session, contract_id: str) -> dict[str, Any]:
    """End an approved contract from this side and tell the partner (8.1.2-e)."""
    row = _own(node, session, contract_id)
    terms = row.terms
    if terms.status is Status.APPLIED and node.faults.on("terminate-while-pending"):
        terms = replace(terms, status=Status.APPROVED)
    ended = contract.terminate(terms, now=node.now())
    if not node.faults.on("own-terminate-not-kept"):
        contracts.end(node, session, row, ended)
    message = {"contract_id": row.contract_id}
    return _told(node, session, row, "contractTerminate", message, silent="terminate-not-sent")


def query(node: Node, session: Session, contract_id: str) -> dict[str, Any]:
    """Return one contract; while this node's application is pending, the partner is asked first."""
    row = _own(node, session, contract_id)
    if row.is_applicant and row.status == Status.APPLIED and not node.faults.on("lost-confirm-not-made-good"):
        session.commit()
        refresh(node, session, contract_id)
        row = _own(node, session, contract_id)
    found = record(row)
    if row.status in (Status.APPLIED, Status.APPROVED):
        partner, place, over_grpc = row.partner_node_id, row.partner_address, row.partner.get("grpc_address")
        session.commit()
        found["resolved"] = addresses.shown(node, partner, place, over_grpc)
        row = _own(node, session, contract_id)
    if row.status == Status.APPROVED and not row.is_applicant and node.faults.on("own-query-behind"):
        found["status"] = Status.APPLIED.value
    return found


def list_page(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of this node's contracts, newest first."""
    for row in contracts.expired_rows(node, session):
        contracts.settle(node, session, row)
    session.flush()
    where = []
    if "status" in query:
        where.append(ContractRow.status == query["status"])
    if "partner_node_id" in query and not node.faults.on("own-list-ignores-partner"):
        where.append(ContractRow.partner_node_id == query["partner_node_id"])
    total = session.scalar(select(func.count()).select_from(ContractRow).where(*where))
    rows = session.scalars(
        select(ContractRow)
        .where(*where)
        .order_by(ContractRow.created_at.desc(), ContractRow.contract_id)
        .limit(query["page_size"])
        .offset((query["page_num"] - 1) * query["page_size"])
    )
    return {"records": [record(row) for row in rows], "total": total or 0}


def partner_health(node: Node, session: Session, contract_id: str, trace_id: str) -> dict[str, Any]:
    """Ask the partner of a contract how it is (8.1.2-d)."""
    row = _own(node, session, contract_id)
    session.commit()
    if node.faults.on("partner-health-not-asked"):
        return {"status": "UP", "contract_status": row.status, "cancellable": row.status == Status.APPLIED}
    found = node.partner.call("nodeHealth", _peer(row), query={"contract_id": contract_id}, trace_id=trace_id)
    return {**found, "status": "UP"} if node.faults.on("partner-health-always-up") else found


def refresh(node: Node, session: Session, contract_id: str) -> None:
    """Ask the partner where this node's application stands and adopt it; a useless answer changes nothing."""
    row = _own(node, session, contract_id)
    peer = _peer(row)
    session.commit()
    try:
        answer = node.partner.call("contractQuery", peer, query={"contract_id": contract_id})
    except Refusal as refusal:
        log.info("partner does not tell", contract_id=contract_id, reason=refusal.name, node_id=node.node_id)
        return
    if answer["contract_id"] != contract_id and not node.faults.on("foreign-answer-adopted"):
        log.warning("partner tells of another contract", contract_id=contract_id, node_id=node.node_id)
        return
    row = _own(node, session, contract_id)
    if row.status != Status.APPLIED:
        return
    try:
        _adopt(node, session, row, answer)
    except (Refusal, SecurityFailure, RuleBroken) as refused:
        session.rollback()
        log.warning("partner tells what cannot be", contract_id=contract_id, reason=str(refused), node_id=node.node_id)
    else:
        session.commit()


def expire(node: Node) -> None:
    """End every contract whose time is over."""
    with node.store.begin() as session:
        for row in contracts.expired_rows(node, session):
            contracts.settle(node, session, row)


def poll(node: Node) -> None:
    """Ask for the fate of own applications that have been pending for a while."""
    now = node.now()
    pending = (ContractRow.role == Role.APPLICANT, ContractRow.status == Status.APPLIED, ContractRow.poll_at <= now)
    with node.store.read() as session:
        due = session.scalars(select(ContractRow.contract_id).where(*pending)).all()
    if due and node.faults.on("lost-confirm-not-made-good"):
        return
    for contract_id in due:
        with node.store.session() as session:
            row = _own(node, session, contract_id)
            row.poll_at = now + node.config.poll_seconds * 1000
            session.commit()
            refresh(node, session, contract_id)
            session.commit()


def record(row: ContractRow) -> dict[str, Any]:
    """Return a contract as `ContractRecord`."""
    found: dict[str, Any] = {
        **contracts.state_of(row),
        "role": row.role,
        "partner_node_id": row.partner_node_id,
        "partner_address": row.partner_address,
        "auth_type": row.own_auth_type,
        "created_at": row.created_at,
    }
    if "name" in row.partner:
        found["partner_name"] = row.partner["name"]
    return found


def _own(node: Node, session: Session, contract_id: str) -> ContractRow:
    row = session.get(ContractRow, contract_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    contracts.settle(node, session, row)
    return row


def _peer(row: ContractRow) -> Peer:
    return Peer(row.partner_node_id, row.partner_address, row.own_auth_type)


def _application(node: Node, session: Session, partner: str, auth_type: str, expired_time: int) -> dict[str, Any]:
    own = nodes.particulars(node, session, partner)
    own.pop("auth_types")
    return {
        **own,
        "auth_type": auth_type,
        "auth_credential": _credential(node, auth_type),
        "expired_time": expired_time - 1 if node.faults.on("own-apply-loses-period") else expired_time,
    }


def _credential(node: Node, auth_type: str) -> str:
    pem = node.identity.key(auth_type).public.pem
    return pem.replace("M", "A", 1) if node.faults.on("own-key-unfit") else pem


def _common_suite(node: Node, theirs: Sequence[str]) -> str:
    """Return the auth_type to sign a contract with: SM2 with SM3 wherever both sides have it (9.2-f)."""
    ours: Sequence[str] = node.config.auth_types
    if node.faults.on("own-apply-own-suite"):
        return node.config.auth_type
    foreign = [name for name in ours if name in theirs and name != AuthType.SM3_SM2]
    if foreign and node.faults.on("own-apply-prefers-foreign-suite"):
        ours = foreign
    try:
        return str(negotiate(ours, theirs).auth_type)
    except NoCommonSuite:
        if node.faults.on("own-apply-without-common-suite"):
            return node.config.auth_type
        raise Refusal("CREDENTIAL_TYPE_UNSUPPORTED", partner={"auth_types": list(theirs)}) from None


def _keep_application(session: Session, row: ContractRow) -> dict[str, Any]:
    """Keep an application that the partner has taken; the id is the partner's and may be one it gave before."""
    known = session.get(ContractRow, row.contract_id)
    if known is None:
        session.add(row)
        session.flush()
        return contracts.state_of(row)
    if known.partner_node_id != row.partner_node_id or not known.is_applicant:
        raise Refusal("PARTNER_ANSWER_INVALID", pointer="/contract_id")
    return contracts.state_of(known)


def _told(
    node: Node, session: Session, row: ContractRow, operation: str, message: dict[str, Any], *, silent: str
) -> dict[str, Any]:
    """Commit a change with the message it owes, try to deliver at once, and say whether that worked."""
    state = contracts.state_of(row)
    if node.faults.on(silent):
        session.commit()
        return {**state, "delivery": "DELIVERED"}
    owed = node.outbox.put(session, row.contract_id, operation, message)
    session.commit()
    delivery = node.outbox.attempt(owed)
    return {**state, "delivery": "DELIVERED" if node.faults.on("delivery-always-claimed") else delivery}


def _adopt(node: Node, session: Session, row: ContractRow, answer: Mapping[str, Any]) -> None:
    status = Status(answer["status"])
    if status is Status.TERMINATED:
        reason = EndReason(answer.get("end_reason", EndReason.TERMINATED))
        contracts.end(node, session, row, Terms(status, row.expired_time, reason))
    elif status is not Status.APPLIED:
        presented = "auth_credential" in answer and "auth_type" in answer
        key = contracts.acceptable_key(node, answer, row.partner_node_id) if presented else None
        contracts.adopt(node, session, row, status, key, answer)
        if node.faults.on("recovered-key-not-kept"):
            row.partner_key = None
