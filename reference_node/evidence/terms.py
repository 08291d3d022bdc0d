"""How long a record is kept: as long as the parties of its contract have agreed (9.2-d-3).

Guarantees: what names a contract, or an approval under one, follows that contract; what was done with another node
follows the contract in force with it, or else the one that ended last; the acts of a job follow the contracts with its
other parties, and where these differ the longest, so that nobody's term is cut. All else is kept as is configured.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, case, or_, select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Status, plan
from reference_node.evidence.noting import Noted
from reference_node.store import approvals
from reference_node.store.contracts import ContractRow
from reference_node.store.jobs import find_job

# built once: making and hashing a statement costs as much as running it
_IN_FORCE: Final = (ContractRow.status == Status.APPROVED) & (ContractRow.expired_time > bindparam("now"))
_WITH: Final = (
    select(ContractRow)
    .where(
        ContractRow.partner_node_id == bindparam("partner"),
        or_(
            ContractRow.status == Status.APPROVED,
            (ContractRow.status == Status.TERMINATED) & (ContractRow.end_reason != EndReason.CANCELLED),
        ),
    )
    .order_by(
        case((_IN_FORCE, ContractRow.expired_time), else_=0).desc(),
        ContractRow.updated_at.desc(),
        ContractRow.contract_id,
    )
    .limit(1)
)


def agreed(session: Session, noted: Noted, own: str, now: int, usual: int) -> int | None:
    """Return for how many days an act is kept by agreement, None where as `usual`."""
    contract_id = noted.subjects.get("contract_id") or _approved_under(session, noted)
    if contract_id is not None:
        contract = session.get(ContractRow, contract_id)
        return None if contract is None else contract.evidence_retention_days
    partners = sorted(_partners(session, noted) - {own})
    found = [session.scalar(_WITH, {"partner": partner, "now": now}) for partner in partners]
    terms = [None if contract is None else contract.evidence_retention_days for contract in found]
    return max(terms, key=lambda term: usual if term is None else term, default=None)


def _approved_under(session: Session, noted: Noted) -> str | None:
    audit_id = noted.subjects.get("audit_id")
    approval = None if audit_id is None else approvals.find(session, audit_id)
    return None if approval is None else approval.contract_id


def _partners(session: Session, noted: Noted) -> set[str]:
    job_id = noted.subjects.get("job_id")
    job = None if job_id is None else find_job(session, job_id)
    if job is not None:
        return {party.node_id for party in plan.parties(job.config)}
    return set() if noted.counterpart is None else {noted.counterpart}
