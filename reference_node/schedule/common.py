"""What all parts of the schedule look up: contracts with other nodes, who schedules, which deliberate defect is on."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Status
from reference_node.domain.task import Cause
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.store.contracts import ContractRow
from reference_node.store.jobs import JobRow
from reference_node.transport.partner import Peer


def contract_with(node: Node, session: Session, node_id: str) -> ContractRow | None:
    """Return the latest contract in force with a node."""
    return session.scalar(
        select(ContractRow)
        .where(
            ContractRow.partner_node_id == node_id,
            ContractRow.status == Status.APPROVED.value,
            ContractRow.expired_time > node.now(),
        )
        .order_by(ContractRow.updated_at.desc())
        .limit(1)
    )


def peer_of(node: Node, session: Session, node_id: str) -> Peer | None:
    """Return how to call a node, None without a contract in force."""
    found = contract_with(node, session, node_id)
    return None if found is None else Peer(node_id, found.partner_address, found.own_auth_type)


def contract_needed(node: Node, session: Session, node_id: str, pointer: str) -> ContractRow:
    """Return the contract with a node that a job needs; raise Refusal."""
    found = contract_with(node, session, node_id)
    if found is None:
        raise Refusal("CONTRACT_NOT_ACTIVE", pointer=pointer)
    return found


def schedules(node: Node, job: JobRow) -> bool:
    """Tell whether this node is the scheduler of a job."""
    return job.scheduler_node_id == node.node_id


def cause_of(told: object) -> Cause | None:
    """Return a cause as another node told it, None for one that we do not know."""
    return Cause(told) if isinstance(told, str) and told in Cause.__members__ else None


def reason_of(refusal: Refusal) -> str:
    """Return in one line why a partner did not do what it was asked."""
    told = refusal.extra.get("partner", {})
    words = [refusal.name, str(refusal.extra.get("reason") or "")]
    words += [str(told.get("error") or ""), str(told.get("pointer") or "")]
    return " ".join(word for word in words if word)[:512]


def defect(node: Node, name: str) -> bool:
    """Tell whether a deliberate defect of jobs and tasks is on."""
    return node.faults.on(name)
