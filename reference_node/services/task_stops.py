"""Tasks stopped (8.5.3): one task of a job everywhere or on this node, and nothing else."""

from __future__ import annotations

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.task import Cause
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import local, progress
from reference_node.schedule.common import defect, schedules
from reference_node.security.guards import Caller
from reference_node.services import jobs, tasks
from reference_node.services.approvals import Body
from reference_node.store.jobs import (
    JobRow,
    TaskRow,
    current_tasks,
    gather,
)


def stop_own(node: Node, session: Session, body: Body, trace_id: str) -> None:
    """Stop one task of a job on all its parties, and nothing else (8.5.3-a)."""
    job = jobs.of_node(node, session, body["job_id"])
    plan.component(job.dag, body["task_name"])
    task = current_tasks(session, job).get(body["task_name"])
    if task is None or body.get("task_id", task.task_id) != task.task_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id" if "task_id" in body else "/task_name")
    if defect(node, "own-task-not-stopped"):
        return
    if schedules(node, job):
        _stop_one(node, session, job, task)
        session.commit()
        node.driver.kick(node)
    else:
        message = {"job_id": job.job_id, "task_name": task.task_name, "run": job.run}
        jobs.ask_scheduler(node, session, job, "jobStopAll", trace_id, message)


def receive_stop_all(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Stop one task everywhere because one of the job's parties says so (8.5.3-b)."""
    job = jobs.of_party(node, session, caller, body["job_id"])
    if not schedules(node, job):
        raise Refusal("NOT_YOURS", pointer="/job_id")
    plan.component(job.dag, body["task_name"])
    task = current_tasks(session, job).get(body["task_name"])
    if task is not None:
        _stop_one(node, session, job, task)
    session.commit()
    node.driver.kick(node)


def receive_stop(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Stop one task on this node because its scheduler, or its initiator, says so (8.5.3-b)."""
    job = jobs.of_party(node, session, caller, body["job_id"])
    masters = (job.scheduler_node_id, job.initiator_node_id)
    if caller.node_id not in masters and not defect(node, "task-stopped-by-stranger"):
        raise Refusal("NOT_YOURS", pointer="/job_id")
    if "task_id" in body:
        task = tasks.in_job(session, job, body["task_id"])
    else:
        plan.component(job.dag, body["task_name"])
        found = current_tasks(session, job).get(body["task_name"])
        if found is None:
            return
        task = found
    if body.get("attempt", task.attempt) < task.attempt or defect(node, "partner-task-not-stopped"):
        return
    if schedules(node, job):
        _stop_one(node, session, job, task)
    else:
        local.stop(node, session, job, task, Cause.STOPPED)
        gather(session, task, node.now())
        progress.advance(node, session, job)
    session.commit()
    node.driver.kick(node)


def _stop_one(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    if defect(node, "task-stop-stops-the-job"):
        progress.end(node, session, job, Cause.STOPPED)
        return
    progress.stop_task(node, session, job, task)
