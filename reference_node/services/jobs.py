"""Jobs as they are looked at (8.4.2), and how the other services of 8.4 and 8.5 find them.

Guarantees: to a node that has nothing to do with a job the job does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.job import JobStatus
from reference_node.domain.task import TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import polling
from reference_node.schedule.common import contract_needed, defect, schedules
from reference_node.security.guards import Caller
from reference_node.services import links
from reference_node.services.lists import Listed, without_none
from reference_node.store.jobs import JobRow, current_tasks, find_job

_LIST = Listed("job")


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List the jobs of a flow, newest first (8.4.2-a)."""
    wanted = select(JobRow).order_by(JobRow.seq.desc())
    if "flow_id" in query and not defect(node, "job-list-mixes-flows"):
        wanted = wanted.where(JobRow.flow_id == query["flow_id"])
    found = _LIST.answer(node, session, query, wanted, summary)
    return {"job_list": {row["job_id"]: row["job_status"] for row in found["records"]}, **found}


def query_own(node: Node, session: Session, job_id: str) -> dict[str, Any]:
    """Return one job with DAG, configuration and the states of its tasks (8.4.2-b)."""
    job = of_node(node, session, job_id)
    found = {**summary(job), "dag": job.dag, "config": job.config, "status": task_states(node, session, job)}
    if defect(node, "job-config-lost"):
        found["config"] = {**job.config, "job_params": {plan.COMMON: {}}}
    return found


def state_own(node: Node, session: Session, job_id: str) -> dict[str, Any]:
    """Return how a job and its tasks are; the scheduler is asked first where that is another node (8.4.2-b)."""
    job = of_node(node, session, job_id)
    if not schedules(node, job) and not job.course.over:
        session.commit()
        polling.refresh(node, job_id)
        session.expire_all()
        job = of_node(node, session, job_id)
    return state(node, session, job)


def state_for(node: Node, session: Session, caller: Caller, job_id: str) -> dict[str, Any]:
    """Tell a party how a job and its tasks are (8.4.2-b)."""
    return state(node, session, of_party(node, session, caller, job_id))


def state(node: Node, session: Session, job: JobRow) -> dict[str, Any]:
    """Return a job as `JobState`."""
    found = {"job_status": job.status, "status": task_states(node, session, job), "run": job.run}
    if defect(node, "job-status-frozen"):
        found["job_status"] = JobStatus.READY.value
    return without_none({**found, "end_reason": job.cause})


def task_states(node: Node, session: Session, job: JobRow) -> dict[str, str]:
    """Return the state of each component's current task by its name in the DAG."""
    tasks = current_tasks(session, job)
    unbegun = TaskStatus.FAILED if job.status == JobStatus.FINISHED else TaskStatus.PENDING
    found = {
        part["name"]: tasks[part["name"]].status if part["name"] in tasks else unbegun.value
        for part in job.dag["components"]
    }
    if defect(node, "task-states-all-pending"):
        return dict.fromkeys(found, TaskStatus.PENDING.value)
    return found


def summary(job: JobRow) -> dict[str, Any]:
    """Return a job as `JobSummary`."""
    names = ("job_id", "flow_id", "project_id", "run", "created_at", "started_at", "finished_at", "detail")
    found = {name: getattr(job, name) for name in names}
    return without_none({**found, "job_status": job.status, "end_reason": job.cause})


def of_node(node: Node, session: Session, job_id: str) -> JobRow:
    """Return a job that this node has to do with."""
    job = find_job(session, job_id)
    if job is None:
        other = session.scalar(select(JobRow).limit(1)) if defect(node, "unknown-job-answered") else None
        if other is None:
            raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
        return other
    return job


def initiated(node: Node, session: Session, job_id: str) -> JobRow:
    """Return a job that this node's operator may drive: one it has initiated."""
    job = of_node(node, session, job_id)
    if job.initiator_node_id != node.node_id:
        raise Refusal("NOT_YOURS", pointer="/job_id")
    return job


def of_party(node: Node, session: Session, caller: Caller, job_id: str) -> JobRow:
    """Return a job that the calling node has to do with; to all others it does not exist."""
    job = find_job(session, job_id)
    if job is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    nodes = {job.scheduler_node_id, job.initiator_node_id, *(item.node_id for item in plan.parties(job.config))}
    if caller.node_id not in nodes and not defect(node, "jobs-open-to-strangers"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    return job


def ask_scheduler(
    node: Node, session: Session, job: JobRow, operation: str, trace_id: str, body: Mapping[str, Any]
) -> None:
    """Have the scheduler of an own job do something; its refusal is the operator's to see."""
    contract = contract_needed(node, session, job.scheduler_node_id, "/job_id")
    links.ask(node, session, contract.contract_id, operation, trace_id, body=dict(body))
    node.driver.kick(node)
