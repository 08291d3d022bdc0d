"""How many undecided applications strangers may leave at this node (8.1.2-a, 9.2-a).

Anybody may apply for a contract, and every application is kept for days. So their number is bounded: in all, and for
one remote address, so that nobody fills the room of all others. Nodes with a contract in force are not strangers.
"""

from __future__ import annotations

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from reference_node.domain import Role, Status
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.store.contracts import ContractRow


def check(node: Node, session: Session, applicant: str, remote: str) -> None:
    """Refuse an application of a stranger where too many are undecided; `remote` is the address it came from."""
    now = node.now()
    in_force = (ContractRow.status == Status.APPROVED.value, ContractRow.expired_time > now)
    if session.scalar(select(exists().where(ContractRow.partner_node_id == applicant, *in_force))):
        return
    known = aliased(ContractRow)
    partner = exists().where(
        known.partner_node_id == ContractRow.partner_node_id,
        known.status == Status.APPROVED.value,
        known.expired_time > now,
    )
    pending = (
        select(func.count())
        .select_from(ContractRow)
        .where(
            ContractRow.status == Status.APPLIED.value,
            ContractRow.role == Role.APPROVER.value,
            ContractRow.expired_time > now,
            ~partner,
        )
    )
    every = session.scalar(pending) or 0
    here = session.scalar(pending.where(ContractRow.remote == remote)) or 0
    if every >= node.config.pending_applications or here >= node.config.pending_applications_of_address:
        raise Refusal("TOO_MANY_APPLICATIONS")
