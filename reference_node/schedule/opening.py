"""Data of this node opened for a part of a job: looked up, checked against its permit, and counted (9.2-b-2).

This is the one place from which a part gets datasets and models. One use of a permit is one attempt of one part that
opens the dataset, however the job came to name it; an attempt that names a dataset twice opens it once. Guarantees:
nothing is opened for a partner without a permit in force; a use is counted in the transaction that lets the part run,
and not at all where one of several datasets may not be opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role
from reference_node.domain.approval import Kind
from reference_node.domain.task import Cause
from reference_node.node import Node
from reference_node.runtime.contract import LaunchFailed, Recorded
from reference_node.schedule import sources
from reference_node.security import proofs
from reference_node.store.approvals import ApprovalRow, PermitRow, count_use, in_force
from reference_node.store.jobs import JobRow
from reference_node.store.resources import DatasetRow

_PUBLIC: Final = "PUBLIC"


class UsesSpent(LaunchFailed):
    """A permit admits no further use of a dataset."""

    cause = Cause.PERMIT_EXHAUSTED


class NotGranted(LaunchFailed):
    """No permit in force opens a dataset to the initiator of the job."""

    cause = Cause.PERMIT_REVOKED


def opened(node: Node, session: Session, job: JobRow, wanted: Mapping[str, tuple[str, str]]) -> dict[str, Recorded]:
    """Open sources (kind and id by port) for one part of a job and count it; raise LaunchFailed."""
    found: dict[str, Recorded] = {}
    permits: dict[str, PermitRow] = {}
    for port, (kind, resource_id) in wanted.items():
        source = sources.find(node, session, kind, resource_id)
        if source is None:
            raise LaunchFailed(f"what input {port} names is gone, or not a file")
        found[port] = source
        permit = None if kind == proofs.MODEL else _permit(node, session, job, resource_id)
        if permit is not None:
            permits[permit.audit_id] = permit
    for permit in permits.values():
        if spent(permit):
            raise UsesSpent(f"the permit for {permit.resource_id} is spent: {permit.uses} of {permit.times_limit} uses")
    for permit in permits.values():
        _count(node, session, permit)
    return found


def spent(permit: PermitRow) -> bool:
    """Tell whether a permit has no use left, as far as is known before one is counted."""
    return permit.times_limit is not None and permit.uses >= permit.times_limit


def permitted_by(node: Node, session: Session, job: JobRow, dataset_id: str) -> ApprovalRow | None:
    """Return the approval by which this node has opened a dataset to the initiator of a job, None without one."""
    approval = in_force(session, Kind.DATASET, dataset_id, job.initiator_node_id, node.now())
    return None if approval is None or approval.role != Role.APPROVER else approval


def _permit(node: Node, session: Session, job: JobRow, dataset_id: str) -> PermitRow | None:
    """Return the permit by which a dataset is opened; None where it needs none, or none was issued."""
    visibility = session.scalar(select(DatasetRow.visibility).where(DatasetRow.dataset_id == dataset_id))
    if job.initiator_node_id == node.node_id or visibility == _PUBLIC:
        return None
    approval = permitted_by(node, session, job, dataset_id)
    if approval is None:
        raise NotGranted(f"{dataset_id} is not open to {job.initiator_node_id}")
    return session.get(PermitRow, approval.audit_id)


def _count(node: Node, session: Session, permit: PermitRow) -> None:
    if node.faults.on("opened-data-not-counted") or node.faults.on("late-input-opened-uncounted"):
        return
    if not count_use(session, permit.audit_id):
        raise UsesSpent(f"the permit for {permit.resource_id} is spent")
