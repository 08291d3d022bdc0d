"""Contracts as partners reach them (8.1.1-c, 8.1.2): apply, confirm, cancel, terminate, query, health.

Guarantees: a contract is seen and moved by its two parties only, and by each with the key of that contract; expiry is
judged whenever a contract is touched, and an application that nobody decides in time expires as well, so that it holds
a node id for a while only; whoever ends a contract ends what hangs on it in the same transaction.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role, Status, contract
from reference_node.domain.contract import Terms
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import certified, signing
from reference_node.security.guards import Caller
from reference_node.security.keys import PublicKey
from reference_node.security.suites import CERT
from reference_node.services import addresses, application_limits, evidence_terms, offers
from reference_node.store.contracts import ContractRow, PartnerKeyRow

# built once: making and hashing a statement costs as much as running it
_BY_ID = select(ContractRow).where(ContractRow.contract_id == bindparam("contract_id")).with_for_update()
_DAY_MS = 24 * 3600 * 1000
_PARTICULARS = (
    *("name", "description", "inst_id", "institution", "system", "system_version", "grpc_address"),
    offers.OFFERED,
    signing.ANNOUNCED,
)


def receive_application(
    node: Node, session: Session, caller: Caller | None, body: Mapping[str, Any], remote: str
) -> str:
    """Take an application (8.1.2-a); the same one again, while it is pending, has the same id."""
    applicant = body["node_id"]
    differs = caller is not None and caller.node_id != applicant
    if differs and not node.faults.on("application-source-not-compared"):
        raise Refusal("REQUEST_INVALID", pointer="/node_id")
    if "://[" in body["address"] and node.faults.on("ipv6-address-refused"):
        raise Refusal("REQUEST_INVALID", pointer="/address")
    key = acceptable_key(node, body, body["node_id"])
    late = node.faults.on("refused-application-kept")
    if not late:
        addresses.check(node, session, applicant, body)
    offers.check_application(node, body)
    for over in expired_rows(node, session, applicant):
        settle(node, session, over)
    if body["auth_type"] == CERT and node.config.proof_of_possession == "required":
        _make_way(node, session, applicant, key)
    _refuse_takeover(node, session, applicant, key)
    now = node.now()
    if node.faults.on("past-expiry-accepted"):
        terms = Terms(Status.APPLIED, body.get("expired_time", now + contract.YEAR_MS))
    else:
        terms = contract.apply(body.get("expired_time"), now=now)
    kept = evidence_terms.asked(node, body)
    content = _digest(body)
    same = _same_pending(node, session, applicant, content, now)
    if same is not None:
        return same
    application_limits.check(node, session, applicant, remote)
    row = ContractRow(
        contract_id="contract-" + secrets.token_hex(16),
        role=Role.APPROVER.value,
        partner_node_id=applicant,
        partner_address=body["address"],
        partner=particulars_of(body),
        own_auth_type="SHA256_ECDSA" if node.faults.on("national-suite-not-answered") else key.auth_type.value,
        application_digest=content,
        remote=remote,
        evidence_retention_days=None if node.faults.on("agreed-evidence-term-lost") else kept,
        created_at=now,
        updated_at=now,
    )
    if node.faults.on("application-particulars-lost"):
        row.partner = {**row.partner, "name": "node"}
    if node.faults.on("application-period-lost"):
        terms = replace(terms, expired_time=terms.expired_time + 1)
    if node.faults.on("contract-approved-at-once"):
        terms = replace(terms, status=Status.APPROVED)
    row.terms = terms
    register_key(session, row, key, now)
    session.add(row)
    if late:
        addresses.check(node, session, applicant, body)
    return row.contract_id


def receive_decision(node: Node, session: Session, caller: Caller | None, body: Mapping[str, Any]) -> None:
    """Take the decision of the node that was applied to (8.1.2-b); the same one again is answered as before."""
    spoken = None if caller is None else body.get("grpc_address")
    if caller is not None and spoken is not None:
        subjects = {"contract_id": body["contract_id"]}
        addresses.check(node, session, caller.node_id, {"grpc_address": spoken}, subjects=subjects)
    row = session.get(ContractRow, body["contract_id"], with_for_update=True)
    if row is None:
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    stranger = caller is not None and caller.node_id != row.partner_node_id
    if (stranger and not node.faults.on("confirm-from-anyone-accepted")) or not row.is_applicant:
        raise Refusal("NOT_YOURS", pointer="/contract_id")
    presented = "auth_credential" in body and "auth_type" in body
    key = acceptable_key(node, body, row.partner_node_id) if presented else None
    offers.check_confirmation(node, body, row.own_auth_type)
    decision = Status(body["status"])
    settle(node, session, row)
    repeated = row.status == decision and (key is None or row.partner_key in (None, key.fingerprint))
    if repeated and node.faults.on("repeated-confirm-refused"):
        raise Refusal("CONTRACT_NOT_PENDING", pointer="/contract_id")
    if repeated or node.faults.on("confirm-ignored"):
        return
    adopt(node, session, row, decision, key, body)
    if spoken is not None:
        row.partner = {**row.partner, "grpc_address": spoken}


def adopt(
    node: Node, session: Session, row: ContractRow, decision: Status, key: PublicKey | None, said: Mapping[str, Any]
) -> None:
    """Move this node's own application to what the partner decided, and said of the terms."""
    now, expired_time = node.now(), said.get("expired_time")
    terms = confirmable(node, row.terms)
    if terms != row.terms:
        expired_time = None
    if node.faults.on("decision-overturned"):
        terms = replace(terms, status=Status.APPLIED, end_reason=None)
    if node.faults.on("refused-confirm-half-kept"):
        row.status = decision.value
        session.commit()
    if node.faults.on("confirm-lengthens-period") and expired_time is not None:
        terms = replace(terms, expired_time=max(terms.expired_time, expired_time))
    if node.faults.on("rejection-taken-as-approval") and decision is Status.REJECTED and key is not None:
        decision, expired_time = Status.APPROVED, None
    decided = contract.confirm(terms, decision, expired_time=expired_time, now=now)
    if decision is Status.APPROVED:
        if key is None:
            raise Refusal("REQUEST_INVALID", pointer="/auth_credential")
        _refuse_second_key(session, row, key, now)
        evidence_terms.confirmed(node, row, said)
    if signing.ANNOUNCED in said:  # the answer to nodeQuery that the application went by was not signed
        row.partner = {**row.partner, signing.ANNOUNCED: said[signing.ANNOUNCED]}
    row.terms = decided
    row.updated_at = now
    if key is not None:
        register_key(session, row, key, now)


def confirmable(node: Node, terms: Terms, fault: str = "late-confirm-accepted") -> Terms:
    """Return the terms on which a decision is taken; only a fault gives an application more time than it asked for."""
    if terms.end_reason is EndReason.EXPIRED and node.faults.on(fault):
        return Terms(Status.APPLIED, node.now() + contract.YEAR_MS)
    return terms


def receive_cancellation(node: Node, session: Session, caller: Caller, contract_id: str) -> None:
    """Let the applicant withdraw a pending application (8.1.2-c)."""
    row = between(node, session, caller, contract_id, fault="cancel-open-to-third-parties")
    if row.is_applicant and not node.faults.on("cancel-by-approver-accepted"):
        raise Refusal("NOT_YOURS", pointer="/contract_id")
    terms = row.terms
    if node.faults.on("cancel-after-confirm") and terms.status is Status.APPROVED:
        terms = replace(terms, status=Status.APPLIED)
    ended = contract.cancel(terms, now=node.now())
    if not node.faults.on("cancel-ignored"):
        end(node, session, row, ended)


def receive_termination(node: Node, session: Session, caller: Caller, contract_id: str) -> None:
    """Let either party end an approved contract (8.1.2-e)."""
    row = between(node, session, caller, contract_id, fault="terminate-open-to-third-parties")
    if node.faults.on("terminate-by-approver-refused") and row.is_applicant:
        raise Refusal("NOT_YOURS", pointer="/contract_id")
    ended = contract.terminate(row.terms, now=node.now())
    if not node.faults.on("terminate-ignored"):
        end(node, session, row, ended)


def state_for(node: Node, session: Session, caller: Caller, contract_id: str) -> dict[str, Any]:
    """Tell a party where its contract stands (8.1.1-c); the approver's key with it, once approved."""
    row = between(node, session, caller, contract_id)
    state = state_of(row)
    if node.faults.on("contract-query-says-applied"):
        return {**state, "status": Status.APPLIED.value}
    if row.status == Status.APPROVED and not row.is_applicant and not node.faults.on("contract-query-without-key"):
        key = node.identity.key(row.own_auth_type)
        state |= {"auth_type": row.own_auth_type, "auth_credential": key.public.pem}
    return state


def health_for(node: Node, session: Session, caller: Caller, contract_id: str | None) -> dict[str, Any]:
    """Tell a partner how this node is, and whether the named application can still be withdrawn (8.1.2-d)."""
    answer: dict[str, Any] = {"status": "DOWN" if node.faults.on("health-says-down") else "UP"}
    if contract_id is None or node.faults.on("health-without-contract"):
        return answer
    row = between(node, session, caller, contract_id, fault="health-open-to-third-parties")
    pending = contract.cancellable(row.terms, now=node.now())
    if pending and node.faults.on("health-withdraws-application"):
        end(node, session, row, contract.cancel(row.terms, now=node.now()))
        return answer | {"contract_status": Status.APPLIED.value, "cancellable": True}
    return answer | {
        "contract_status": row.status,
        "cancellable": pending or node.faults.on("health-says-cancellable"),
    }


def between(
    node: Node, session: Session, caller: Caller, contract_id: str, *, fault: str = "contract-open-to-third-parties"
) -> ContractRow:
    """Return the contract if the caller is its other party and uses its key; to all others it does not exist."""
    row = session.scalar(_BY_ID, {"contract_id": contract_id})
    if row is None and contract_id.isupper() and node.faults.on("id-case-ignored"):
        row = session.scalar(_BY_ID, {"contract_id": contract_id.lower()})
    if row is None:
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    party = row.partner_node_id == caller.node_id
    if caller.node_id == row.partner_node_id.swapcase() and node.faults.on("node-id-case-ignored"):
        return row
    keyed = (
        caller.key is None or row.partner_key == caller.key.fingerprint or (party and node.faults.on("old-key-kept"))
    )
    if party and row.partner_key is None and node.faults.on("cancel-by-approver-accepted"):
        keyed = True
    if not (party and keyed) and not node.faults.on(fault):
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    settle(node, session, row)
    return row


def in_force(node: Node, session: Session, partner_node_id: str) -> ContractRow:
    """Return the contract in force with a node, the one that lasts longest, else refuse."""
    row = session.scalar(
        select(ContractRow)
        .where(
            ContractRow.partner_node_id == partner_node_id,
            ContractRow.status == Status.APPROVED,
            ContractRow.expired_time > node.now(),
        )
        .order_by(ContractRow.expired_time.desc(), ContractRow.contract_id)
        .limit(1)
    )
    if row is None:
        raise Refusal("CONTRACT_NOT_ACTIVE")
    return row


def settle(node: Node, session: Session, row: ContractRow) -> None:
    """Bring a contract to where it stands by now: what is over is ended, whoever has noticed."""
    until = None if row.is_applicant else row.created_at + node.config.application_days * _DAY_MS
    terms = contract.at(row.terms, now=node.now(), decide_until=until)
    if terms == row.terms:
        return
    if not node.faults.on("contract-never-expires") and not node.faults.on("expired-contract-accepted"):
        end(node, session, row, terms)


def end(node: Node, session: Session, row: ContractRow, terms: Terms) -> None:
    """Keep that a contract has ended, and end what hangs on it."""
    row.terms = terms
    row.updated_at = node.now()
    for ended in node.contract_ended:
        ended(node, session, row)


def state_of(row: ContractRow) -> dict[str, Any]:
    """Return a contract as `ContractState`, without the key."""
    state: dict[str, Any] = {
        "contract_id": row.contract_id,
        "status": row.status,
        "expired_time": row.expired_time,
        **evidence_terms.told(row),
    }
    if row.end_reason is not None:
        state["end_reason"] = row.end_reason
    return state


def particulars_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a partner beside its id, address and key."""
    return {name: body[name] for name in _PARTICULARS if body.get(name) is not None}


def acceptable_key(node: Node, body: Mapping[str, Any], source: str) -> PublicKey:
    """Return the key that a body presents for a node, if this one takes its kind (9.2-f)."""
    refused = body["auth_type"] not in node.config.auth_types or node.faults.on(f"refuses-{body['auth_type']}")
    if refused and not node.faults.on("unknown-suite-downgraded"):
        raise Refusal("CREDENTIAL_TYPE_UNSUPPORTED", pointer="/auth_type")
    return certified.key(node, body["auth_type"], body["auth_credential"], source)


def register_key(session: Session, row: ContractRow, key: PublicKey, now: int) -> None:
    """Make a key the partner's key of a contract; the one it replaces counts no longer, unless for another contract."""
    previous = row.partner_key
    row.partner_auth_type, row.partner_credential = key.auth_type.value, key.pem
    row.partner_key = key.fingerprint
    session.merge(
        PartnerKeyRow(
            node_id=row.partner_node_id,
            fingerprint=key.fingerprint,
            auth_type=key.auth_type.value,
            credential=key.pem,
            seen_at=now,
        )
    )
    if previous in (None, key.fingerprint):
        return
    session.flush()
    where = (ContractRow.partner_node_id == row.partner_node_id, ContractRow.partner_key == previous)
    if not session.scalar(select(func.count()).select_from(ContractRow).where(*where)):
        former = session.get(PartnerKeyRow, (row.partner_node_id, previous))
        if former is not None:
            session.delete(former)  # one by one: each row is counted (store.tally)
            session.flush()


def _same_pending(node: Node, session: Session, applicant: str, content: str, now: int) -> str | None:
    if node.faults.on("application-repeated-makes-another"):
        return None
    where = [
        ContractRow.partner_node_id == applicant,
        ContractRow.role == Role.APPROVER,
        ContractRow.status == Status.APPLIED,
        ContractRow.expired_time > now,
    ]
    if not node.faults.on("contract-id-reused"):
        where.append(ContractRow.application_digest == content)
    return session.scalar(select(ContractRow.contract_id).where(*where).limit(1))


def _make_way(node: Node, session: Session, applicant: str, key: PublicKey) -> None:
    """Reject what waits under a node id with other keys: a CA vouches for whose this one is (9.2-a-1)."""
    pending = select(ContractRow).where(
        ContractRow.partner_node_id == applicant,
        ContractRow.role == Role.APPROVER,
        ContractRow.status == Status.APPLIED,
        ContractRow.partner_key != key.fingerprint,
    )
    for row in session.scalars(pending).all():
        end(node, session, row, contract.confirm(row.terms, Status.REJECTED, expired_time=None, now=node.now()))
    session.flush()


def _refuse_takeover(node: Node, session: Session, applicant: str, key: PublicKey) -> None:
    """Keep a node id with its key while a contract or an application of that key stands (9.2-a-1)."""
    if node.faults.on("node-id-takeover-accepted"):
        return
    if applicant == node.node_id:
        raise Refusal("NODE_ID_TAKEN", pointer="/node_id")
    standing = {Status.APPLIED, Status.APPROVED}
    if node.faults.on("pending-application-holds-no-id"):
        standing.remove(Status.APPLIED)
    taken = session.scalar(
        select(ContractRow.contract_id)
        .where(
            ContractRow.partner_node_id == applicant,
            ContractRow.status.in_(standing),
            ContractRow.expired_time > node.now(),
            ContractRow.partner_key.is_not(None),
            ContractRow.partner_key != key.fingerprint,
        )
        .limit(1)
    )
    if taken is not None:
        raise Refusal("NODE_ID_TAKEN", pointer="/auth_credential")


def _refuse_second_key(session: Session, row: ContractRow, key: PublicKey, now: int) -> None:
    """Keep a partner to one key while contracts with it are in force (9.2-a-1)."""
    other = session.scalar(
        select(ContractRow.contract_id)
        .where(
            ContractRow.partner_node_id == row.partner_node_id,
            ContractRow.status == Status.APPROVED,
            ContractRow.expired_time > now,
            ContractRow.partner_key != key.fingerprint,
        )
        .limit(1)
    )
    if other is not None:
        raise Refusal("NODE_ID_TAKEN", pointer="/auth_credential")


def _digest(body: Mapping[str, Any]) -> str:
    """Return what tells one application's content from another's."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def expired_rows(node: Node, session: Session, partner_node_id: str | None = None) -> list[ContractRow]:
    """Return the contracts, of one partner or all, whose time is over and that nobody has ended yet."""
    now = node.now()
    undecided = and_(
        ContractRow.role == Role.APPROVER,
        ContractRow.status == Status.APPLIED,
        ContractRow.created_at <= now - node.config.application_days * _DAY_MS,
    )
    live = or_(ContractRow.status == Status.APPLIED, ContractRow.status == Status.APPROVED)
    wanted = select(ContractRow).where(or_(and_(live, ContractRow.expired_time <= now), undecided))
    if partner_node_id is not None:
        wanted = wanted.where(ContractRow.partner_node_id == partner_node_id)
    return list(session.scalars(wanted))
