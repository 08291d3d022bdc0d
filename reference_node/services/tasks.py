"""Tasks as they are looked at (8.5.2), and how the other services of 8.5 find them.

Guarantees: to nodes outside its job a task does not exist; results are shown to this node's operator only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain.task import TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule.common import defect
from reference_node.security.guards import Caller
from reference_node.services import jobs
from reference_node.services.approvals import Body
from reference_node.services.lists import Listed, without_none
from reference_node.store.jobs import (
    JobRow,
    TaskRow,
    find_job,
    find_task,
    parts_of,
)

_LIST = Listed("task")


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List the tasks of a job in the order in which they were made (8.5.2-a)."""
    jobs.of_node(node, session, query["job_id"])
    wanted = select(TaskRow).order_by(TaskRow.seq)
    if not defect(node, "task-list-mixes-jobs"):
        wanted = wanted.where(TaskRow.job_id == query["job_id"])
    return _LIST.answer(node, session, query, wanted, lambda row: _shown(node, session, row))


def query_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return one task with what it has put out (8.5.2-b, 8.5.6)."""
    return _shown(node, session, of_job(node, session, query, "task-of-other-job-answered"))


def query_for(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a task to a party of its job; results are not told (8.5.2-c)."""
    job = jobs.of_party(node, session, caller, query["job_id"])
    return record(node, session, in_job(session, job, query["task_id"]))


def state_for(node: Node, session: Session, caller: Caller, body: Body) -> dict[str, Any]:
    """Tell the scheduler how this node's part in a role is (8.5.2-c)."""
    task = find_task(session, body["task_id"])
    job = None if task is None else find_job(session, task.job_id)
    if task is None or job is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    try:
        jobs.of_party(node, session, caller, job.job_id)
    except Refusal:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id") from None
    part = next((row for row in parts_of(session, task.task_id, node.node_id) if row.role == body["role"]), None)
    if part is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/role")
    status = TaskStatus.RUNNING.value if defect(node, "poll-always-running") else part.status
    return without_none({"status": status, "attempt": part.attempt, "end_reason": part.cause})


def log_lines(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Count the lines of a task's log (8.5.2-d)."""
    task = of_job(node, session, query)
    number = node.journal.count(task.task_id, query["log_level"])
    return {"num": number + 1 if defect(node, "log-count-wrong") else number}


def log(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return lines of a task's log by time, no more than an answer may hold (8.5.2-d)."""
    task = of_job(node, session, query)
    level = "DEBUG" if defect(node, "log-level-ignored") else query["log_level"]
    limit = None if defect(node, "log-without-limit") else node.journal.ANSWER_LIMIT
    lines = node.journal.read(
        task.task_id, level, query["start"], query["length"], newest_first=query["order"] == "desc", limit=limit
    )
    if defect(node, "log-out-of-order"):
        lines = lines[1:] + lines[:1]
    if defect(node, "log-without-levels"):
        lines = [{**line, "level": "INFO"} for line in lines]
    return {"data": "".join(node.journal.text(line) for line in lines), "lines": lines}


def record(node: Node, session: Session, task: TaskRow) -> dict[str, Any]:
    """Return a task as `TaskRecord`, without what it has put out."""
    names = ("task_id", "job_id", "task_name", "status", "priority", "task_params", "attempt")
    times = ("created_at", "started_at", "finished_at")
    own = parts_of(session, task.task_id, node.node_id)
    found = {name: getattr(task, name) for name in (*names, *times)}
    found |= {"end_reason": task.cause, "role": own[0].role if own else None, "detail": _detail(session, task)}
    return without_none(found)


def _detail(session: Session, task: TaskRow) -> str | None:
    return next((part.detail for part in parts_of(session, task.task_id) if part.detail), None)


def _shown(node: Node, session: Session, task: TaskRow) -> dict[str, Any]:
    found = record(node, session, task)
    outputs = [] if defect(node, "task-outputs-not-shown") else task.outputs
    if outputs:
        found["outputs"] = outputs
    return found


def of_job(node: Node, session: Session, named: Mapping[str, Any], foreign: str = "") -> TaskRow:
    """Return a task by its id; one of another job than the one that is named does not exist."""
    task = find_task(session, named["task_id"])
    if task is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    if named.get("job_id", task.job_id) != task.job_id and not (foreign and defect(node, foreign)):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    return task


def in_job(session: Session, job: JobRow, task_id: str) -> TaskRow:
    """Return a task of this very job by its id."""
    task = find_task(session, task_id)
    if task is None or task.job_id != job.job_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/task_id")
    return task
