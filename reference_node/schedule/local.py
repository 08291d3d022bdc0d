"""This node's own parts of tasks: begun, stopped, reported to whoever schedules (8.5.3, 8.5.4).

Guarantees: a change of a part is kept together with the message that tells the scheduler of it; a part that has ended
does not change any more, whatever still arrives; what is stopped is stopped at once, with all that it has started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain import task as rules
from reference_node.domain.job import JobStatus, end
from reference_node.domain.task import Cause, Standing, TaskStatus
from reference_node.node import Node
from reference_node.runtime.contract import Key
from reference_node.schedule import files as kept
from reference_node.schedule import material, sessions
from reference_node.schedule.common import contract_with, defect, schedules
from reference_node.store.jobs import JobRow, PartRow, TaskRow, current_tasks, gather, open_tasks, parts_of


def new_parts(session: Session, task: TaskRow, parties: Iterable[plan.Party], standing: Standing) -> list[PartRow]:
    """Write the parts that parties have in a task."""
    rows = []
    for party in parties:
        row = PartRow(task_id=task.task_id, node_id=party.node_id, role=party.role.value, position=party.index)
        row.files = {}
        row.take(standing)
        session.add(row)
        rows.append(row)
    session.flush()
    return rows


def begin(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    """Make this node's parts of a task ready to run; where the component has no work for a role, it is done at once."""
    described = material.description(node, session, plan.component(job.dag, task.task_name))
    for part in parts_of(session, task.task_id, node.node_id):
        if part.standing.status is not TaskStatus.PENDING:
            continue
        idle = described is not None and part.role not in described.get("roleList", (part.role,))
        part.take(Standing(TaskStatus.SUCCESS if idle else TaskStatus.READY, part.attempt))
        if not idle:  # before it runs: other parties may be faster
            sessions.open_task(node, session, job, task, part.attempt)
        else:
            report(node, session, job, task, part)
    gather(session, task, node.now())


def move(
    session: Session,
    part: PartRow,
    told: Standing,
    detail: str | None = None,
    files: Mapping[str, str] | None = None,
) -> bool:
    """Bring one of this node's parts further; return whether it has changed."""
    before, after = part.standing, rules.adopt(part.standing, told)
    if after == before:
        return False
    part.take(after)
    part.detail = detail
    if files is not None:
        part.files = dict(files)
    session.flush()
    return True


def stop(node: Node, session: Session, job: JobRow, task: TaskRow, cause: Cause) -> None:
    """End this node's parts of a task at once."""
    for part in parts_of(session, task.task_id, node.node_id):
        if part.standing.final:
            continue
        begun = part.standing.status is TaskStatus.RUNNING
        part.take(rules.stop(part.standing, cause))
        if begun:
            node.runner.stop(Key(task.task_id, part.role, part.attempt))
            kept.forget(node, Key(task.task_id, part.role, part.attempt))
            node.journal.write(task.task_id, "WARN", f"{part.party.name} stopped: {cause.lower()}", node.now())
        report(node, session, job, task, part)
    session.flush()


def report(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow) -> None:
    """Owe the scheduler the news of a part, if another node schedules."""
    if schedules(node, job):
        return
    if defect(node, "task-callback-not-sent"):
        return
    contract = contract_with(node, session, job.scheduler_node_id)
    if contract is not None:
        node.outbox.put(session, contract.contract_id, "taskCallback", told_of(job, task, part))


def told_of(job: JobRow, task: TaskRow, part: PartRow) -> dict[str, Any]:
    """Return what a callback says of a part."""
    told: dict[str, Any] = {"job_id": job.job_id, "task_id": task.task_id, "status": part.status, "role": part.role}
    told["attempt"] = part.attempt
    return told if part.cause is None else {**told, "end_reason": part.cause}


def finish(node: Node, session: Session, job: JobRow) -> None:
    """End a job that another node schedules, once every task of its run has ended here."""
    if job.status != JobStatus.RUNNING:
        return
    tasks = current_tasks(session, job)
    if not all(name in tasks and tasks[name].standing.final for name in job.targets):
        return
    failed = next((tasks[name] for name in job.targets if tasks[name].status == TaskStatus.FAILED), None)
    over(node, job, None if failed is None else failed.standing.cause)


def end_here(node: Node, session: Session, job: JobRow, cause: Cause, run: int | None = None) -> None:
    """End a job that another node schedules: its parts here stop at once."""
    ended = end(job.course, cause, run)
    if ended == job.course:
        return
    for task in open_tasks(session, job.job_id):
        stop(node, session, job, task, cause)
        gather(session, task, node.now())
    over(node, job, cause, run)


def over(node: Node, job: JobRow, cause: Cause | None, run: int | None = None) -> None:
    """Write that a job has ended."""
    job.take(end(job.course, cause, run))
    job.finished_at = node.now()
    job.ending = job.ending_until = None
