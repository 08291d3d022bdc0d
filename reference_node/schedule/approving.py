"""Jobs that wait for their parties' approval before they are offered (8.4.1-b, `approval` in the job's parameters)."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, Status, plan
from reference_node.domain.approval import Kind
from reference_node.domain.job import JobStatus, reject
from reference_node.node import Node
from reference_node.schedule import orders, progress
from reference_node.schedule.common import schedules
from reference_node.store.approvals import ApprovalRow
from reference_node.store.jobs import JobRow, Step


def wanted(job: JobRow) -> bool:
    """Tell whether a job asks for the approval of each of its parties."""
    return job.config["job_params"].get(plan.COMMON, {}).get("approval") is True


def proceed(node: Node) -> bool:
    """Offer the jobs that all have approved, reject those that one has not; return whether there were any."""
    pending = (JobRow.status == JobStatus.PENDING.value, JobRow.initiator_node_id == node.node_id)
    with node.store.begin() as session:
        moved = [_proceed(node, session, job) for job in session.scalars(select(JobRow).where(*pending)).all()]
    return any(moved)


def _proceed(node: Node, session: Session, job: JobRow) -> bool:
    if not wanted(job) or orders.of_job(session, job.job_id, Step.CREATE, Step.CREATE_ALL):
        return False
    asked = (
        ApprovalRow.kind == Kind.JOB.value,
        ApprovalRow.resource_id == job.job_id,
        ApprovalRow.role == Role.APPLICANT.value,
    )
    latest = {row.partner_node_id: row.status for row in session.scalars(select(ApprovalRow).where(*asked))}
    standing = [latest.get(node_id) for node_id in progress.others(node, job)]
    if any(status in (Status.REJECTED, Status.TERMINATED) for status in standing):
        job.take(reject(job.course))
        job.finished_at = node.now()
        return True
    if not all(status == Status.APPROVED for status in standing):
        return False
    offer(node, session, job)
    return True


def offer(node: Node, session: Session, job: JobRow) -> None:
    """Tell the parties of a job, through the node that schedules it."""
    if schedules(node, job):
        progress.offer(node, session, job)
    else:
        orders.put(node, session, job, job.scheduler_node_id, Step.CREATE_ALL, progress.creation(node, job))
