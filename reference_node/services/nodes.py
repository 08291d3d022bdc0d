"""Who is who (8.1.1-a, 8.1.1-b) and keeping each other informed (8.1.3).

Guarantees: this node answers for its own id only; a change of its particulars is kept together with the message to
every partner under a contract in force; a partner's change is taken over a contract in force, signed by the key that
the contract has so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node import SYSTEM, VERSION
from reference_node.domain import Status
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import signing
from reference_node.security.guards import Caller, opened_by_fault
from reference_node.services import addresses, contracts
from reference_node.store.contracts import ContractRow, OwnNodeRow, PartnerKeyRow
from reference_node.transport.partner import Peer


def particulars(node: Node, session: Session, partner: str = "") -> dict[str, Any]:
    """Return this node as `Node` of the interface; a partner behind an isolation gap reaches it across that alone."""
    row = session.get_one(OwnNodeRow, node.node_id)
    found: dict[str, Any] = {
        "node_id": row.node_id,
        "name": row.name,
        "address": row.address or node.listening,
        "inst_id": row.inst_id,
        "institution": row.institution,
        "system": SYSTEM,
        "system_version": VERSION,
        "auth_types": list(node.config.auth_types),
        signing.ANNOUNCED: signing.NEWEST,
    }
    if row.description is not None:
        found["description"] = row.description
    if node.grpc_listening is not None and not node.faults.on("grpc-address-not-announced"):
        found["grpc_address"] = node.grpc_listening
    if node.gap is not None and partner in node.gap and not node.faults.on("gap-told-address-of-socket"):
        found["address"] = node.gap.address
        found.pop("grpc_address", None)
    return found


def answer_query(node: Node, session: Session, node_id: str, beyond: str = "") -> dict[str, Any]:
    """Tell anybody who this node is (8.1.1-b); `beyond` is the partner that asks across an isolation gap."""
    if node.faults.on("node-query-demands-signature"):
        raise Refusal("SIGNATURE_MISSING")
    if node_id != node.node_id and not node.faults.on("node-query-answers-for-others"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/node_id")
    found = particulars(node, session, beyond)
    if node.faults.on("auth-types-worst-first"):
        found["auth_types"].reverse()
    if node.faults.on("announces-fewer-suites"):
        found["auth_types"] = found["auth_types"][:1]
    if node.faults.on("node-query-shows-secret"):
        found["private_key"] = "-----BEGIN PRIVATE KEY-----"
    if node.faults.on("node-query-without-address"):
        found["address"] = "http://node.invalid"
    return found


def own_query(node: Node, session: Session, node_id: str) -> dict[str, Any]:
    """Return this node, or one that it knows by a contract (8.1.1-a)."""
    if node_id == node.node_id or node.faults.on("own-node-query-ignores-id"):
        found = particulars(node, session)
        if node.faults.on("own-node-query-name-wrong"):
            found["name"] = "some node"
        return found
    row = session.scalar(
        select(ContractRow)
        .where(ContractRow.partner_node_id == node_id)
        .order_by((ContractRow.status == Status.APPROVED).desc(), ContractRow.updated_at.desc())
        .limit(1)
    )
    if row is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/node_id")
    return {"node_id": node_id, "address": row.partner_address, **row.partner}


def query_partner(node: Node, session: Session, query: Mapping[str, Any], trace_id: str) -> dict[str, Any]:
    """Ask the node at the address that the operator gives who it is (8.1.1-b)."""
    if not node.faults.on("refused-address-called"):
        addresses.check(node, session, query["node_id"], query)
    return ask_partner(node, query["address"], query["node_id"], trace_id)


def ask_partner(
    node: Node, address: str, node_id: str, trace_id: str, *, fault: str = "partner-query-takes-other-node"
) -> dict[str, Any]:
    """Ask the node at an address who it is; it has to be the expected one."""
    if node.faults.on("partner-query-not-sent"):
        with node.store.read() as session:
            return particulars(node, session) | {"node_id": node_id, "address": address}
    peer = Peer(node_id, address, node.config.auth_type)
    try:
        found = node.partner.call(
            "nodeQuery", peer, query={"node_id": node_id}, trace_id=trace_id, attempts=node.config.attempts
        )
    except Refusal:
        if not node.faults.on("partner-failure-hidden"):
            raise
        with node.store.read() as session:
            return particulars(node, session) | {"node_id": node_id, "address": address}
    if found["node_id"] != node_id and not node.faults.on(fault):
        raise Refusal("PARTNER_ANSWER_INVALID", pointer="/node_id")
    if node.faults.on("partner-query-answer-changed"):
        return {**found, "name": node_id}
    return found


def own_update(node: Node, session: Session, change: Mapping[str, Any]) -> dict[str, Any]:
    """Change this node's particulars and tell every partner under a contract in force (8.1.3-a, 8.1.3-b)."""
    if "address" in change:
        addresses.own(change["address"])
    row = session.get_one(OwnNodeRow, node.node_id, with_for_update=True)
    if node.faults.on("own-update-clears-the-rest"):
        row.description, row.institution = None, "unknown"
    if not node.faults.on("own-update-not-kept"):
        for name, value in change.items():
            setattr(row, name, value)
    session.flush()
    own = particulars(node, session)
    if node.faults.on("own-update-not-kept"):
        own |= change
    owed = [
        node.outbox.put(session, contract.contract_id, "nodeSync", _sync(node, session, own, contract))
        for contract in _to_be_told(node, session)
    ]
    session.commit()
    synced = [{"contract_id": sent.contract_id, "delivery": node.outbox.attempt(sent)} for sent in owed]
    return {"node": own, "synced": synced}


def receive_sync(node: Node, session: Session, caller: Caller, body: Mapping[str, Any]) -> None:
    """Take a partner's new particulars over a contract in force (8.1.3-b)."""
    row = contracts.between(node, session, caller, body["contract_id"], fault="sync-under-foreign-contract")
    if row.status != Status.APPROVED and not opened_by_fault(node, row.end_reason):
        raise Refusal("CONTRACT_NOT_ACTIVE", pointer="/contract_id")
    if node.faults.on("refused-address-kept"):
        row.partner_address = body["address"]
    subjects = {"contract_id": row.contract_id}
    addresses.check(node, session, caller.node_id, body, subjects=subjects, fault="hostile-update-taken")
    row = contracts.between(node, session, caller, body["contract_id"], fault="sync-under-foreign-contract")
    if node.faults.on("refused-sync-half-kept"):
        row.partner_address = body["address"]
        session.commit()
    key = contracts.acceptable_key(node, body, caller.node_id)
    if node.faults.on("sync-ignored"):
        return
    now = node.now()
    replaced = row.partner_key
    if not node.faults.on("sync-leaves-address"):
        row.partner_address = body["address"]
    row.partner = contracts.particulars_of(body)
    row.updated_at = now
    if key.fingerprint == replaced or node.faults.on("sync-leaves-key"):
        return
    # ended contracts of the old key stay readable to their party; those in force have a message of their own
    for former in session.scalars(
        select(ContractRow).where(
            ContractRow.partner_node_id == row.partner_node_id,
            ContractRow.partner_key == replaced,
            ContractRow.status.in_((Status.REJECTED, Status.TERMINATED)),
        )
    ):
        former.partner_key = key.fingerprint
    former_key = (row.partner_node_id, row.partner_key, row.partner_auth_type, row.partner_credential)
    contracts.register_key(session, row, key, now)
    if node.faults.on("old-key-kept"):
        names = ("node_id", "fingerprint", "auth_type", "credential")
        session.merge(PartnerKeyRow(**dict(zip(names, former_key, strict=True)), seen_at=now))


def _to_be_told(node: Node, session: Session) -> list[ContractRow]:
    if node.faults.on("sync-not-sent"):
        return []
    where = [ContractRow.status == Status.APPROVED, ContractRow.expired_time > node.now()]
    if node.faults.on("sync-sent-after-the-end"):
        where = [ContractRow.status.in_((Status.APPROVED, Status.TERMINATED)), ContractRow.partner_key.is_not(None)]
    return list(session.scalars(select(ContractRow).where(*where).order_by(ContractRow.contract_id)))


def _sync(node: Node, session: Session, own: Mapping[str, Any], contract: ContractRow) -> dict[str, Any]:
    if node.gap is not None and contract.partner_node_id in node.gap:
        own = particulars(node, session, contract.partner_node_id)
    message = {name: value for name, value in own.items() if name not in ("auth_types", "node_id")}
    if node.faults.on("sync-off-interface"):
        del message["system_version"]
    return message | {
        "contract_id": contract.contract_id,
        "auth_type": contract.own_auth_type,
        "auth_credential": node.identity.key(contract.own_auth_type).public.pem,
    }
