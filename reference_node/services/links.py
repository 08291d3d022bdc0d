"""The contract under which two nodes deal, and calls to the partner of a contract (8.1.2, 9.2-b).

Guarantees: whatever names a contract must name one between this node and the caller (or, on the own side, one of this
node's) that is in force; no transaction stays open while a partner is asked.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Status
from reference_node.domain import contract as machine
from reference_node.errors import Refusal
from reference_node.interfaces.calls import Call
from reference_node.node import Node
from reference_node.store.contracts import ContractRow
from reference_node.transport.partner import Peer


def with_caller(call: Call, contract_id: str | None) -> ContractRow:
    """Return the contract with the calling node that the request names, or the one it was admitted by."""
    row = call.session.get(ContractRow, contract_id or call.caller.contract_id)
    if row is None or row.partner_node_id != call.caller.node_id or not _in_force(call.node, row):
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    return row


def of_this_node(call: Call, contract_id: str) -> ContractRow:
    """Return a contract of this node that is in force, for what its operator wants done under it."""
    row = call.session.get(ContractRow, contract_id)
    if row is None:
        raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    if not _in_force(call.node, row):
        over = machine.at(row.terms, now=call.node.now()).end_reason is EndReason.EXPIRED
        raise Refusal("CONTRACT_EXPIRED" if over else "CONTRACT_NOT_ACTIVE", pointer="/contract_id")
    return row


def is_active(node: Node, session: Session, contract_id: str) -> bool:
    """Tell whether a contract is in force."""
    row = session.get(ContractRow, contract_id)
    return row is not None and _in_force(node, row)


def ask(call: Call, contract: ContractRow, operation: str, **request: Any) -> dict[str, Any]:
    """Call the partner of a contract, after letting go of the transaction."""
    call.session.commit()
    return call.node.partner.call(
        operation,
        peer(contract),
        trace_id=call.trace_id,
        attempts=call.node.config.attempts,
        **request,
    )


def peer(contract: ContractRow) -> Peer:
    """Whom to call under a contract."""
    return Peer(contract.partner_node_id, contract.partner_address, contract.own_auth_type)


def _in_force(node: Node, row: ContractRow) -> bool:
    return machine.at(row.terms, now=node.now()).status is Status.APPROVED
