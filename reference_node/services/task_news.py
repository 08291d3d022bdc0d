"""What is told of tasks while they run: their ends (8.5.4) and what they have put out (8.5.6).

Guarantees: a part that has ended stays as it ended; nodes outside the job move nothing; what is reported twice is kept
once.
"""

from __future__ import annotations

import json

from sqlalchemy.orm import Session

from reference_node.domain.task import Cause, Standing, TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import dispatch, local, material, progress
from reference_node.schedule.common import cause_of, defect
from reference_node.security.guards import Caller
from reference_node.services import jobs, tasks
from reference_node.services.approvals import Body
from reference_node.store.jobs import (
    find_job,
    find_task,
    parts_of,
)


def receive_callback(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Take in what a party tells of its part (8.5.4-b)."""
    task = find_task(session, body["task_id"])
    job = None if task is None else find_job(session, task.job_id)
    if task is None or job is None or body.get("job_id", job.job_id) != job.job_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    mine = [row for row in parts_of(session, task.task_id, caller.node_id) if row.role == body["role"]]
    if defect(node, "callback-of-stranger-taken"):
        mine = [row for row in parts_of(session, task.task_id) if row.role == body["role"]]
    if not mine or caller.node_id == node.node_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    if defect(node, "callback-ignored"):
        return
    part = mine[0]
    failed = body["status"] == TaskStatus.FAILED
    cause = (cause_of(body.get("end_reason")) or Cause.COMPONENT_FAILED) if failed else None
    news = Standing(TaskStatus(body["status"]), body.get("attempt", part.attempt), cause)
    if part.standing.final and defect(node, "callback-overwrites-final-state"):
        part.take(news)
        task.status = news.status.value
        return
    progress.told(node, session, job, task, part, news)
    session.commit()
    node.driver.kick(node)


def receive_own_callback(node: Node, session: Session, body: Body) -> None:
    """Take in what a component of this node tells of its part (8.5.4-a)."""
    task = tasks.of_job(node, session, body, "own-callback-of-other-job-taken")
    part = next((row for row in parts_of(session, task.task_id, node.node_id) if row.role == body["role"]), None)
    if part is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/role")
    if defect(node, "own-callback-ignored"):
        return
    status = TaskStatus(body["status"])
    news = Standing(status, part.attempt, Cause.COMPONENT_FAILED if status is TaskStatus.FAILED else None)
    if part.standing.final and defect(node, "own-callback-overwrites-final-state"):
        part.take(news)
        task.status = status.value
        return
    files = None
    if status is TaskStatus.SUCCESS:  # what follows may begin at once, before the process has ended
        files = material.made(node, session, jobs.of_node(node, session, task.job_id), task, part)
    if local.move(session, part, news, files=files):
        dispatch.changed(node, session, part)
    session.commit()
    node.driver.kick(node)


def report(node: Node, session: Session, body: Body) -> None:
    """Keep what a task has put out; the same again is kept once (8.5.6)."""
    task = tasks.of_job(node, session, body, "report-of-other-job-taken")
    own = parts_of(session, task.task_id, node.node_id)
    if not own:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    if task.status in (TaskStatus.PENDING, TaskStatus.FAILED):
        raise Refusal("JOB_NOT_READY", pointer="/task_id")
    output = {"output_type": body["output_type"], "output_content": body["output_content"]}
    if defect(node, "report-not-kept"):
        return
    if defect(node, "report-type-lost"):
        output["output_type"] = "report"
    if defect(node, "task-outputs-kept-in-clear"):
        own[0].detail = json.dumps(output["output_content"])[:512]
    if output not in task.outputs:
        task.outputs = [*task.outputs, output]
