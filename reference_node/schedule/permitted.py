"""Whether a part of a partner's job may still run: what it rests on is looked at while it does (9.2-b).

Guarantees: a part begins only on what is approved, granted and open to the initiator at that moment; once an approval
or a permit is revoked, its period over or the component taken back, the parts that rest on it are stopped at once and
the scheduler is told why (9.2-b-2, 9.2-b-3). A contract that has ended is not looked at here: it ends its jobs by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role, plan
from reference_node.domain.approval import Kind
from reference_node.domain.job import JobStatus
from reference_node.domain.task import Cause
from reference_node.node import Node
from reference_node.schedule import agreed, local, material, progress, sources
from reference_node.schedule.common import contract_with, defect
from reference_node.security import proofs
from reference_node.store.approvals import ApprovalRow, PermitRow, in_force
from reference_node.store.jobs import JobRow, PartRow, TaskRow, gather, open_tasks, parts_of
from reference_node.store.resources import DatasetRow

_PUBLIC, _PRIVATE = "PUBLIC", "PRIVATE"


def review(node: Node, session: Session) -> None:
    """Stop, within a transaction that has ended an approval or narrowed a dataset, what must not run any more."""
    for job in session.scalars(select(JobRow).where(JobRow.status == JobStatus.RUNNING.value)).all():
        if job.initiator_node_id == node.node_id:
            continue
        for task in open_tasks(session, job.job_id):
            for part in parts_of(session, task.task_id, node.node_id):
                if not part.standing.final and stopped(node, session, job, task, part):
                    break


def stopped(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow) -> bool:
    """Stop a task of which a part must not run; return whether it was stopped."""
    cause = _withdrawn(node, session, job, task, part)
    if cause is None or (cause is Cause.PERMIT_REVOKED and defect(node, "revoked-permit-spares-task")):
        return False
    if cause is Cause.PERMIT_EXPIRED and defect(node, "expired-permit-spares-task"):
        return False
    if defect(node, "withdrawal-not-told"):
        cause = Cause.STOPPED
    local.stop(node, session, job, task, cause)
    gather(session, task, node.now())
    progress.advance(node, session, job)
    return True


def _withdrawn(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow) -> Cause | None:
    """Return why a part must not run any more, None where it may."""
    initiator = job.initiator_node_id
    if agreed.stray(node, session, job, task, task.task_params) is not None:
        return Cause.PARAMS_NOT_AGREED
    if initiator == node.node_id or contract_with(node, session, initiator) is None:
        return None
    if node.config.job_approval != "none":
        approved = [(Kind.JOB, job.job_id), *([] if job.flow_id is None else [(Kind.FLOW, job.flow_id)])]
        ends = [_ended(node, session, kind, resource_id, initiator) for kind, resource_id in approved]
        if not any(in_force(session, *item, initiator, node.now()) for item in approved) and any(ends):
            ended = next(cause for cause in ends if cause is not None)
            return None if defect(node, "revoked-flow-spares-task") else ended
    wanted = plan.component(job.dag, task.task_name)
    if not open_to(node, session, wanted, initiator) and not defect(node, "closed-component-spares-task"):
        return Cause.PERMIT_REVOKED
    _, named = material.parameters(job, task, part.party, task.task_name)
    found = (_source(node, session, job, sources.kind_of(wanted, key), str(it)) for key, it in named.items() if it)
    return next((cause for cause in found if cause is not None), None)


def open_to(node: Node, session: Session, part: Mapping[str, Any], node_id: str) -> bool:
    """Tell whether a component of a DAG may be run here for a node: so configured, and so said by its owner."""
    if node_id == node.node_id:
        return True
    row = material.component_row(session, part)  # one that has gone fails the launch by itself
    return configured(node, part["componentName"], node_id) and (row is None or row.open_to(node_id))


def configured(node: Node, code: str, node_id: str) -> bool:
    """Tell whether `[components] allow` opens a component to a partner; one that it does not name is open."""
    return node_id in (node.config.component_allow or {}).get(code, (node_id,))


def _source(node: Node, session: Session, job: JobRow, kind: str, resource_id: str) -> Cause | None:
    """Return why a source must not be used any more."""
    if kind == proofs.MODEL:
        return None if sources.agreed(node, session, job, resource_id) else Cause.PERMIT_REVOKED
    return _dataset(node, session, job, resource_id)


def _dataset(node: Node, session: Session, job: JobRow, dataset_id: str) -> Cause | None:
    """Return why a dataset must not be used any more."""
    visibility = session.scalar(select(DatasetRow.visibility).where(DatasetRow.dataset_id == dataset_id))
    if visibility in (None, _PUBLIC):  # one that has gone fails the launch by itself
        return None
    if visibility == _PRIVATE:
        return Cause.PERMIT_REVOKED
    approval = in_force(session, Kind.DATASET, dataset_id, job.initiator_node_id, node.now())
    if approval is None:
        ended = _ended(node, session, Kind.DATASET, dataset_id, job.initiator_node_id)
        return ended or Cause.PERMIT_REVOKED
    permit = session.get(PermitRow, approval.audit_id)
    elsewhere = permit is not None and permit.project_id not in (None, job.project_id)
    return Cause.PERMIT_REVOKED if elsewhere else None


def _ended(node: Node, session: Session, kind: Kind, resource_id: str, partner: str) -> Cause | None:
    """Return how the last approval of a resource ended that this node gave a partner, None without one."""
    last = session.scalar(
        select(ApprovalRow)
        .where(
            ApprovalRow.kind == kind.value,
            ApprovalRow.resource_id == resource_id,
            ApprovalRow.partner_node_id == partner,
            ApprovalRow.role == Role.APPROVER.value,
        )
        .order_by(ApprovalRow.seq.desc())
        .limit(1)
    )
    if last is None:
        return None
    permit = session.get(PermitRow, last.audit_id)
    over = permit is not None and permit.time_limit is not None and permit.time_limit < node.now()
    return Cause.PERMIT_EXPIRED if over or last.end_reason == EndReason.EXPIRED else Cause.PERMIT_REVOKED
