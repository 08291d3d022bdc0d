"""The contract under which two nodes deal, and calls to the partner of a contract (8.1.2, 9.2-b).

Guarantees: whatever names a contract must name one between this node and the caller (or, on the own side, one of this
node's) that is in force; no transaction stays open while a partner is asked.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Status
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security.guards import Caller
from reference_node.services import contracts
from reference_node.store.contracts import ContractRow
from reference_node.transport.partner import Peer


def with_caller(node: Node, session: Session, caller: Caller, contract_id: str | None) -> ContractRow:
    """Return the contract with the calling node that the request names, or the one it was admitted by."""
    named = contract_id or caller.contract_id
    row = session.get(ContractRow, named) if named else None
    if row is None or row.partner_node_id != caller.node_id or not in_force(node, session, row):
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    return row


def of_this_node(node: Node, session: Session, contract_id: str) -> ContractRow:
    """Return a contract of this node that is in force, for what its operator wants done under it."""
    row = session.get(ContractRow, contract_id)
    if row is None:
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    if not in_force(node, session, row):
        expired = row.end_reason == EndReason.EXPIRED
        raise Refusal("CONTRACT_EXPIRED" if expired else "CONTRACT_NOT_ACTIVE", pointer="/contract_id")
    return row


def in_force(node: Node, session: Session, row: ContractRow) -> bool:
    """Tell whether a contract holds by now."""
    contracts.settle(node, session, row)
    return row.status == Status.APPROVED


def ask(
    node: Node, session: Session, contract_id: str, operation: str, trace_id: str | None = None, **request: Any
) -> dict[str, Any]:
    """Call the partner of a contract in force, after letting go of the transaction."""
    contract = of_this_node(node, session, contract_id)
    session.commit()
    return node.partner.call(operation, peer(contract), trace_id=trace_id, attempts=node.config.attempts, **request)


def peer(contract: ContractRow) -> Peer:
    """Whom to call under a contract."""
    return Peer(contract.partner_node_id, contract.partner_address, contract.own_auth_type)
