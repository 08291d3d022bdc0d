"""Tasks begun and run again (8.5.1, 8.5.5).

Guarantees: a task keeps the id that its initiator, or the scheduler, gave it on every node; the same start again makes
no second task; a rerun begins no other task than its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain import task as rules
from reference_node.domain.ids import random_id
from reference_node.domain.job import JobStatus, resume
from reference_node.domain.task import Cause, Standing, TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import local, orders, progress, sessions
from reference_node.schedule.common import defect, schedules
from reference_node.security.guards import Caller
from reference_node.services import admission, jobs, ordered_tasks, tasks
from reference_node.services.approvals import Body
from reference_node.services.lists import without_none
from reference_node.store.jobs import (
    JobRow,
    OrderState,
    Step,
    TaskRow,
    current_tasks,
    find_task,
    gather,
    parts_of,
)

_OPTIONS = ("task_params", "run_params", "priority")


def start_own(node: Node, session: Session, body: Body, trace_id: str) -> dict[str, Any]:
    """Start one component of an own job at all its parties; the id is made here (8.5.1-a)."""
    job = jobs.initiated(node, session, body["job_id"])
    task_id = random_id("task").replace("-", "_", 1)
    given = {name: body[name] for name in _OPTIONS if name in body}
    if defect(node, "task-params-dropped"):
        given = {}
    if not _in_dag(job, body["task_name"]) and defect(node, "component-outside-dag-started"):
        return {"task_id": task_id}
    _check_start(node, session, job, body["task_name"], given)
    if schedules(node, job):
        if not defect(node, "own-task-not-begun"):
            _start_all(node, session, job, body["task_name"], task_id, given)
        session.commit()
        node.driver.kick(node)
    else:
        resume(job.course)
        message = {"task_id": task_id, "job_id": job.job_id, "task_name": body["task_name"], **given}
        asked = ("taskStart", trace_id, message)
        ordered_tasks.ask(node, session, job, asked, task_id=task_id, decided=given.get("task_params"))
    return {"task_id": task_id}


def _check_start(node: Node, session: Session, job: JobRow, name: str, given: Mapping[str, Any]) -> None:
    plan.component(job.dag, name)
    admission.check_params(node, session, job, given.get("task_params"))


def _in_dag(job: JobRow, name: str) -> bool:
    return any(part["name"] == name for part in job.dag["components"])


def _start_all(node: Node, session: Session, job: JobRow, name: str, task_id: str, given: Mapping[str, Any]) -> None:
    """As the scheduler: begin a component for itself, within the run that goes on or as a run of its own."""
    tasks = current_tasks(session, job)
    known = tasks.get(name)
    if known is not None and known.standing.status in (TaskStatus.READY, TaskStatus.RUNNING):
        raise Refusal("TASK_NOT_ENDED", pointer="/task_name")
    for feeder in plan.feeders(job.dag).get(name, ()):
        if feeder not in tasks or tasks[feeder].status != TaskStatus.SUCCESS:
            raise Refusal("JOB_NOT_READY", pointer="/task_name")
    _resume(node, session, job, name, _next_run(job))
    task = progress.new_task(
        node,
        session,
        job,
        name,
        task_id=task_id,
        params=given.get("task_params"),
        run_params=given.get("run_params"),
        priority=given.get("priority"),
    )
    progress.start_task(node, session, job, task)
    progress.advance(node, session, job)


def _resume(node: Node, session: Session, job: JobRow, name: str, run: int | None = None) -> None:
    """Let a job run for one task, by itself or beside the others; the parties learn of a first run by a start."""
    before, course = job.course, resume(job.course, run)
    job.take(course)
    if before.status is JobStatus.RUNNING:
        job.targets = list(dict.fromkeys([*job.targets, name]))
        return
    job.targets = [name]
    progress.clock_run(node, job)
    if schedules(node, job) and before.status is JobStatus.READY:
        for node_id in progress.others(node, job):
            body = {"job_id": job.job_id, "run": job.run, "task_names": job.targets}
            orders.put(node, session, job, node_id, Step.START, body)
    if not schedules(node, job):
        sessions.open_job(node, job)


def _next_run(job: JobRow) -> int:
    """Return the number under which the scheduler has a task begun for itself: a party may have ended the last one."""
    return job.run + (job.status != JobStatus.READY)


def receive_start(node: Node, session: Session, caller: Caller, body: Body) -> dict[str, Any]:
    """Begin a component under the id that is given (8.5.1-b)."""
    job = jobs.of_party(node, session, caller, body["job_id"])
    _demand(node, caller, job)
    known = find_task(session, body["task_id"])
    if known is not None:
        if (known.job_id, known.task_name) != (body["job_id"], body["task_name"]):
            raise Refusal("ID_TAKEN", pointer="/task_id")
        if defect(node, "repeated-task-start-refused"):
            raise Refusal("ID_TAKEN", pointer="/task_id")
        ordered_tasks.demand_task(node, session, caller, job, known, body.get("task_params", known.task_params))
        if not schedules(node, job) and body.get("attempt", known.attempt) > known.attempt:
            _rerun_here(node, session, job, known, body)
            session.commit()
            node.driver.kick(node)
        return {"task_id": known.task_id}
    if not _in_dag(job, body["task_name"]) and defect(node, "partner-starts-component-outside-dag"):
        return {"task_id": body["task_id"]}
    plan.component(job.dag, body["task_name"])
    task_id = body["task_id"]
    if defect(node, "task-id-replaced"):
        task_id = random_id("task").replace("-", "_", 1)
    given = {name: body[name] for name in _OPTIONS if name in body}
    wanted = ordered_tasks.proposed(job, body["task_name"], task_id, body.get("run"))
    ordered_tasks.demand_task(node, session, caller, job, wanted, body.get("task_params"))
    if schedules(node, job):
        _check_start(node, session, job, body["task_name"], given)
        _start_all(node, session, job, body["task_name"], task_id, given)
    else:
        _begin_here(node, session, job, task_id, body)
    session.commit()
    node.driver.kick(node)
    return {"task_id": body["task_id"]}


def _begin_here(node: Node, session: Session, job: JobRow, task_id: str, body: Body) -> None:
    """As a party: make this node's parts of a task ready to run."""
    run = body.get("run")
    if job.status != JobStatus.RUNNING if run is None else run < job.run:
        raise Refusal("JOB_NOT_READY", pointer="/job_id")
    _resume(node, session, job, body["task_name"], run)
    params = None if defect(node, "partner-task-params-dropped") else body.get("task_params")
    if "componentName" in body and defect(node, "order-code-taken"):
        job.dag = {**job.dag, "components": [{**row, **_code(body)} for row in job.dag["components"]]}
        job.components = None
    task = progress.new_task(
        node,
        session,
        job,
        body["task_name"],
        task_id=task_id,
        attempt=body.get("attempt", 1),
        params=params,
        run_params=ordered_tasks.operational(body.get("run_params")),
        priority=body.get("priority"),
    )
    local.begin(node, session, job, task)
    progress.advance(node, session, job)


def _code(body: Body) -> dict[str, Any]:
    """Return the component that an order names, for the defect that runs it."""
    return {name: body[name] for name in ("componentName", "version", "provider")}


def rerun_own(node: Node, session: Session, body: Body, trace_id: str) -> None:
    """Run one task again at all its parties, with other parameters if they are given (8.5.5-a)."""
    job = jobs.initiated(node, session, body["job_id"])
    task = tasks.of_job(node, session, body)
    given = None if defect(node, "task-rerun-params-ignored") else body.get("task_params")
    admission.check_params(node, session, job, given)
    if schedules(node, job):
        _rerun_all(node, session, job, task, given)
        session.commit()
        node.driver.kick(node)
    else:
        rules.rerun(task.standing)
        message = without_none({"job_id": job.job_id, "task_id": task.task_id, "task_params": given})
        decided = task.task_params if given is None else given
        asked = ("taskRerun", trace_id, message)
        ordered_tasks.ask(node, session, job, asked, task_id=task.task_id, decided=decided)


def _rerun_all(node: Node, session: Session, job: JobRow, task: TaskRow, given: Mapping[str, Any] | None) -> None:
    """As the scheduler: begin a further attempt of a task everywhere, and of no other (8.5.5)."""
    if defect(node, "task-not-rerun"):
        return
    standing = rules.rerun(task.standing)
    latest = current_tasks(session, job).get(task.task_name)
    if latest is None or latest.task_id != task.task_id:  # a later run has taken its place
        raise Refusal("JOB_NOT_READY", pointer="/task_id")
    _resume(node, session, job, task.task_name, _next_run(job))
    if given is not None:
        task.task_params = dict(given)
    for part in parts_of(session, task.task_id):
        own = part.node_id == node.node_id
        part.take(Standing(TaskStatus.PENDING if own else TaskStatus.READY, standing.attempt))
        part.poll_at = part.unheard_since = None
    task.outputs = []
    session.flush()
    gather(session, task, node.now())
    local.begin(node, session, job, task)
    _order_rerun(node, session, job, task, given)
    if defect(node, "rerun-pulls-downstream"):
        _pull_downstream(node, session, job, task)


def _order_rerun(node: Node, session: Session, job: JobRow, task: TaskRow, given: Mapping[str, Any] | None) -> None:
    """Have the parties run a task again; one that never heard of it begins with this attempt."""
    body = {"job_id": job.job_id, "task_id": task.task_id, "run": job.run, "attempt": task.attempt}
    if given is not None:
        body["task_params"] = dict(given)
    begun = {
        row.node_id
        for row in orders.of_job(session, job.job_id, Step.TASK_START)
        if row.task_id == task.task_id and row.state == OrderState.DONE
    }
    for node_id in progress.others(node, job):
        if node_id in begun:
            orders.put(node, session, job, node_id, Step.TASK_RERUN, body, task.task_id)
        else:
            orders.put(node, session, job, node_id, Step.TASK_START, progress.start_body(job, task), task.task_id)


def _pull_downstream(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    """Rerun what follows a task too, for the defect that does so."""
    for name, feeders in plan.feeders(job.dag).items():
        other = current_tasks(session, job).get(name)
        if task.task_name in feeders and other is not None and other.standing.final:
            _rerun_all(node, session, job, other, None)


def receive_rerun(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Run a task again because the scheduler says so, or for the initiator everywhere (8.5.5-b)."""
    job = jobs.of_party(node, session, caller, body["job_id"])
    _demand(node, caller, job)
    task = tasks.in_job(session, job, body["task_id"])
    ordered_tasks.demand_task(node, session, caller, job, task, body.get("task_params", task.task_params))
    if schedules(node, job):
        admission.check_params(node, session, job, body.get("task_params"))
        _rerun_all(node, session, job, task, body.get("task_params"))
    else:
        _rerun_here(node, session, job, task, body)
    session.commit()
    node.driver.kick(node)


def _rerun_here(node: Node, session: Session, job: JobRow, task: TaskRow, body: Body) -> None:
    if body.get("run", job.run) < job.run:
        raise Refusal("JOB_NOT_READY", pointer="/job_id")
    standing = rules.rerun(task.standing, body.get("attempt"))
    if standing == task.standing or defect(node, "partner-task-not-rerun"):
        return
    local.stop(node, session, job, task, Cause.STOPPED)  # of an attempt whose end was never told
    _resume(node, session, job, task.task_name, body.get("run"))
    if "task_params" in body and not defect(node, "partner-rerun-params-ignored"):
        task.task_params = dict(body["task_params"])
    for part in parts_of(session, task.task_id, node.node_id):
        part.take(Standing(TaskStatus.PENDING, standing.attempt))
    task.outputs = []
    session.flush()
    gather(session, task, node.now())
    local.begin(node, session, job, task)
    progress.advance(node, session, job)
    if defect(node, "partner-rerun-pulls-downstream"):
        for name, feeders in plan.feeders(job.dag).items():
            other = current_tasks(session, job).get(name)
            if task.task_name in feeders and other is not None and other.standing.final:
                _rerun_here(node, session, job, other, {})


def _demand(node: Node, caller: Caller, job: JobRow) -> None:
    """A party takes orders from the scheduler, the scheduler from the initiator."""
    master = job.initiator_node_id if schedules(node, job) else job.scheduler_node_id
    if caller.node_id != master and not defect(node, "tasks-driven-by-strangers"):
        raise Refusal("NOT_YOURS", pointer="/job_id")
